"""Prefetch: at most so many at once, in order, and never before a reader."""

from __future__ import annotations

from lambdad.block.prefetch import PrefetchPolicy


def test_the_order_is_kept_and_the_number_bounded() -> None:
    policy = PrefetchPolicy([5, 3, 5, 9, 1, 7], at_once=2)
    assert policy.take() == [5, 3]
    assert policy.take() == []
    policy.fetched(3)
    assert policy.take() == [9]
    policy.fetched(5)
    policy.fetched(9)
    assert policy.take() == [1, 7]
    assert not policy.is_finished
    policy.fetched(1)
    policy.fetched(7)
    assert policy.is_finished


def test_every_chunk_that_a_reader_waits_for_takes_a_place() -> None:
    policy = PrefetchPolicy(range(10), at_once=3)
    for position in (100, 101, 102):
        policy.wanted(position)
    assert policy.take() == []
    policy.served(101)
    assert policy.take() == [0]
    policy.wanted(0)  # a reader joins the fetch under way: no place more
    policy.served(100)
    policy.served(102)
    assert policy.take() == [1, 2]


def test_what_a_reader_fetches_already_is_skipped() -> None:
    policy = PrefetchPolicy([4, 5], at_once=2)
    policy.wanted(4)
    policy.wanted(4)
    assert policy.take() == [5]
    policy.served(4)
    policy.served(4)
    policy.served(4)
    policy.fetched(5)
    assert policy.is_finished
