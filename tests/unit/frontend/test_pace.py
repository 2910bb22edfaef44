"""AWS's pace of streamed responses, in virtual time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lambdad.frontend.pace import Pace, Pacer
from lambdad.model.limits import STREAM_RATE, STREAM_UNPACED_MAX


def test_the_first_six_megabytes_go_at_once_and_the_rest_at_two_a_second() -> None:
    pacer = Pacer(STREAM_RATE)
    assert pacer.delay(STREAM_UNPACED_MAX, 100.0) == 0.0
    assert pacer.delay(STREAM_RATE, 100.0) == 0.0
    assert pacer.delay(STREAM_RATE, 100.0) == 1.0
    assert pacer.delay(STREAM_RATE, 100.5) == 1.5
    assert pacer.delay(1, 200.0) == 0.0, "a pause is not saved up"


@given(st.lists(st.tuples(st.integers(1, 200_000), st.floats(0, 2)), max_size=60))
def test_no_second_has_more_than_its_share(pieces: list[tuple[int, float]]) -> None:
    """Of what follows the free part, at most one piece more than the rate goes in any time."""
    rate, free = 100_000.0, 50_000
    pacer, now, gone = Pacer(rate, free), 0.0, list[tuple[float, int]]()
    left = free
    for size, pause in pieces:
        now += pause
        at = now + pacer.delay(size, now)
        now = at
        paced = max(size - left, 0)
        left = max(left - size, 0)
        gone.append((at, paced))
    for first, (begin, _) in enumerate(gone):
        for last in range(first, len(gone)):
            # All but the last piece have gone within this time.
            assert sum(size for _, size in gone[first:last]) <= (gone[last][0] - begin) * rate + 1


def test_each_response_has_a_pacer_of_its_own() -> None:
    class NoTimer:
        def cancel(self) -> None: ...

    pace = Pace(STREAM_RATE, lambda: 0.0, lambda seconds, callback: NoTimer())
    assert pace.pacer() is not pace.pacer()
