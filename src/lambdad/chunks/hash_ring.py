"""Consistent hashing: which nodes keep the fragments of a chunk. Pure.

Every node stands at many points of a circle; a chunk belongs to the first distinct nodes after its own point. Adding
or losing one of n nodes moves a share of 1/n, and nothing else.
"""

from __future__ import annotations

import bisect
import hashlib
from collections.abc import Sequence


class HashRing:
    """points: places per node; 128 keep the shares of ten nodes within about 10 %."""

    def __init__(self, nodes: Sequence[str], points: int = 128) -> None:
        if not nodes or len(set(nodes)) != len(nodes):
            raise ValueError("there must be nodes, each named once")
        ring = sorted((_place(f"{node}#{number}".encode()), node) for node in nodes for number in range(points))
        self._places = [place for place, _ in ring]
        self._owners = [node for _, node in ring]
        self._count = len(nodes)

    def owners(self, key: bytes, count: int) -> list[str]:
        """The `count` nodes for a key, in order; distinct as long as there are that many, then over again."""
        start = bisect.bisect(self._places, _place(key))
        distinct: list[str] = []
        for step in range(len(self._owners)):
            owner = self._owners[(start + step) % len(self._owners)]
            if owner not in distinct:
                distinct.append(owner)
                if len(distinct) == min(count, self._count):
                    break
        return [distinct[index % len(distinct)] for index in range(count)]


def _place(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")
