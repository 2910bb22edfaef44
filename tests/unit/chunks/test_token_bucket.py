"""Extra requests are a share of ordinary ones, whatever happens."""

from __future__ import annotations

import pytest

from lambdad.chunks.token_bucket import TokenBucket


def test_extra_requests_are_at_most_the_burst_and_the_ratio() -> None:
    bucket = TokenBucket(0.1, 3)
    taken = 0
    for _ in range(1000):
        bucket.deposit()
        taken += bucket.take()
    assert 100 <= taken <= 103


def test_tokens_do_not_pile_up_beyond_the_burst() -> None:
    bucket = TokenBucket(1, 2)
    for _ in range(100):
        bucket.deposit()
    assert [bucket.take() for _ in range(3)] == [True, True, False]


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        TokenBucket(-1, 1)
