"""LRU-K: what goes first, what is remembered, and that a scan does not flush the hot set."""

from __future__ import annotations

import random
from collections import OrderedDict

import pytest

from lambdad.chunks.lru_k import LruK


def test_what_was_used_once_goes_before_what_was_used_twice() -> None:
    policy: LruK[str] = LruK(3, correlated=0)
    for now, key in enumerate(("hot", "cold", "warm")):
        policy.add(key, 1, now)
    policy.touch("hot", 3)
    policy.touch("warm", 4)
    policy.touch("hot", 5)
    assert policy.add("new", 1, 6) == ["cold"]
    assert policy.add("newer", 1, 7) == ["new"]
    assert sorted(policy) == ["hot", "newer", "warm"]


def test_among_equals_the_older_second_use_goes_first() -> None:
    policy: LruK[str] = LruK(2, correlated=0)
    policy.add("a", 1, 0)
    policy.add("b", 1, 1)
    policy.touch("b", 2)
    policy.touch("a", 3)
    policy.touch("a", 4)
    # a was used at 4 and 3, b at 2 and 1
    assert policy.evict() == "b"


def test_uses_within_the_correlated_period_are_one_use() -> None:
    policy: LruK[str] = LruK(2, correlated=10)
    policy.add("read in pieces", 1, 0)
    for now in range(1, 5):
        policy.touch("read in pieces", now)
    policy.add("read twice", 1, 5)
    policy.touch("read twice", 20)
    assert policy.evict() == "read in pieces"


def test_history_outlives_eviction() -> None:
    policy: LruK[str] = LruK(1, correlated=0)
    policy.add("regular", 1, 0)
    assert policy.add("once", 1, 1) == ["regular"]
    assert policy.add("regular", 1, 2) == ["once"]
    # "regular" has two uses now although it was evicted between them; a newcomer has one.
    policy.capacity = 2
    policy.add("newcomer", 1, 3)
    assert policy.evict() == "newcomer"


def test_history_is_bounded() -> None:
    policy: LruK[int] = LruK(1, correlated=0, retained=2)
    for key in range(10):
        policy.add(key, 1, key)
    assert len(policy._history) <= 2


def test_sizes_are_counted_and_too_big_is_refused() -> None:
    policy: LruK[str] = LruK(10)
    assert policy.add("a", 4, 0) == []
    assert policy.add("b", 6, 1) == []
    assert policy.used == 10
    assert policy.add("huge", 11, 2) == ["huge"]
    assert policy.add("c", 5, 3) == ["a", "b"]
    assert (policy.used, len(policy)) == (5, 1)
    policy.add("c", 7, 4)
    assert policy.used == 7
    policy.discard("c")
    policy.discard("c")
    assert (policy.used, len(policy), policy.evict()) == (0, 0, None)


def test_the_heap_stays_in_proportion() -> None:
    policy: LruK[int] = LruK(100, correlated=0)
    for now in range(20_000):
        if now % 150 in policy:
            policy.touch(now % 150, now)
        else:
            policy.add(now % 150, 1, now)
    assert len(policy) == 100
    assert len(policy._heap) <= 4 * 100 + 64 + 1


def hit_rates(requests: list[int], hot: int, capacity: int) -> tuple[float, float]:
    """Hit rates of the hot keys under LRU-K and under plain LRU."""
    policy: LruK[int] = LruK(capacity, correlated=0)
    plain: OrderedDict[int, None] = OrderedDict()
    hits, plain_hits, total = 0, 0, 0
    for now, key in enumerate(requests):
        is_hot = key < hot
        total += is_hot
        if key in policy:
            hits += is_hot
            policy.touch(key, now)
        else:
            policy.add(key, 1, now)
        if key in plain:
            plain_hits += is_hot
            plain.move_to_end(key)
        else:
            plain[key] = None
            if len(plain) > capacity:
                plain.popitem(last=False)
    return hits / total, plain_hits / total


def test_a_scan_does_not_flush_the_hot_set_and_plain_lru_fails_the_same_test() -> None:
    """The paper's cron functions: many chunks, each read once, between the reads of the hot set."""
    chooser = random.Random(3)
    hot, requests, scanned = 80, [], 1000
    for _ in range(200):
        requests += [min(int(chooser.paretovariate(0.6)) - 1, hot - 1) for _ in range(60)]
        requests += range(scanned, scanned + 150)
        scanned += 150
    with_scan, plain = hit_rates(requests, hot, capacity=100)
    without_scan, _ = hit_rates([key for key in requests if key < hot], hot, capacity=100)
    assert with_scan > without_scan - 0.05
    assert plain < with_scan - 0.15


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="capacity"):
        LruK(-1)
