"""Reading ahead: the next chunks, each once, never in the way of a read."""

from __future__ import annotations

from lambdad.block.readahead import AheadPolicy


def test_what_stands_behind_a_read_is_asked_for_once() -> None:
    policy = AheadPolicy(100, ahead=2)
    assert policy.read(5)
    assert not policy.read(5)
    assert sorted(policy.take()) == [6, 7]
    assert policy.read(6)
    assert policy.take() == [8]
    assert policy.read(99)
    assert policy.take() == []


def test_the_number_under_way_is_bounded_and_the_latest_goes_first() -> None:
    policy = AheadPolicy(1000, ahead=2, at_once=3)
    for position in (10, 20, 30):
        policy.read(position)
    assert policy.take() == [32, 31, 22]
    assert policy.take() == []
    policy.fetched(0)
    assert policy.take() == [21]


def test_what_was_read_meanwhile_is_not_fetched_again() -> None:
    policy = AheadPolicy(100, ahead=1, at_once=1)
    policy.read(1)
    policy.read(2)
    assert policy.take() == [3]


def test_what_waits_is_bounded() -> None:
    policy = AheadPolicy(100_000, ahead=2, at_once=1)
    for position in range(0, 100_000, 10):
        policy.read(position)
    taken = 0
    while policy.take():
        policy.fetched(0)
        taken += 1
    assert taken == 64
