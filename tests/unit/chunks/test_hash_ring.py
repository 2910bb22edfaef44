"""Who keeps what: distinct, even, and stable when nodes come and go."""

from __future__ import annotations

import hashlib
from collections import Counter

import pytest

from lambdad.chunks.hash_ring import HashRing

KEYS = [hashlib.sha256(str(number).encode()).digest() for number in range(2000)]
NODES = [f"10.0.0.{number}:6379" for number in range(8)]


def test_owners_are_distinct_as_long_as_there_are_enough_nodes() -> None:
    ring = HashRing(NODES)
    assert all(len(set(ring.owners(key, 5))) == 5 for key in KEYS)
    few = HashRing(NODES[:2])
    assert all(Counter(few.owners(key, 5)).most_common()[0][1] == 3 for key in KEYS)


def test_shares_are_even() -> None:
    ring = HashRing(NODES)
    shares = Counter(owner for key in KEYS for owner in ring.owners(key, 5))
    mean = 5 * len(KEYS) / len(NODES)
    assert all(0.75 * mean < share < 1.25 * mean for share in shares.values())


def test_losing_a_node_moves_only_what_it_had() -> None:
    before, after = HashRing(NODES), HashRing(NODES[1:])
    for key in KEYS:
        kept = [owner for owner in before.owners(key, 5) if owner != NODES[0]]
        assert after.owners(key, 5)[: len(kept)] == kept


def test_the_order_in_which_nodes_are_named_does_not_matter() -> None:
    one, other = HashRing(NODES), HashRing(NODES[::-1])
    assert all(one.owners(key, 5) == other.owners(key, 5) for key in KEYS)


@pytest.mark.parametrize("nodes", [[], ["a:1", "a:1"]])
def test_no_nodes_and_the_same_twice_are_refused(nodes: list[str]) -> None:
    with pytest.raises(ValueError, match="nodes"):
        HashRing(nodes)
