"""LRU-K: which entry a cache gives up. Pure: time is a parameter, any monotonic number.

LRU forgets its hot set when somebody reads a great many things once (nightly jobs do: the paper's cron functions).
LRU-K (O'Neil, O'Neil, Weikum 1993) evicts the entry whose K-th most recent use is oldest; an entry used fewer than K
times goes first. Two details of the paper matter here and are kept: uses within the *correlated period* count as one
(a chunk is read in 128 KiB pieces), and the history of evicted entries is *retained* for a while, so that an entry
which comes back is recognised.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

_NEVER = float("-inf")


@dataclass(slots=True)
class _Entry:
    size: int
    uses: tuple[float, ...]
    """Times of the last K uncorrelated uses, newest first."""
    last: float
    """Time of the last use of any kind."""
    generation: int


class LruK(Generic[K]):
    """Bookkeeping for a cache of at most `capacity` bytes. The caller holds the values and evicts what it is told.

    correlated: uses closer together than this are one use. retained: how many evicted entries are remembered.
    """

    def __init__(self, capacity: int, *, k: int = 2, correlated: float = 1.0, retained: int = 65_536) -> None:
        if capacity < 0 or k < 1 or retained < 0:
            raise ValueError("capacity and retained must not be negative, k must be at least 1")
        self.capacity = capacity
        self.used = 0
        self._k = k
        self._correlated = correlated
        self._retained = retained
        self._entries: dict[K, _Entry] = {}
        self._history: OrderedDict[K, tuple[tuple[float, ...], float]] = OrderedDict()
        self._heap: list[tuple[float, float, int, K]] = []
        self._generation = 0

    def __contains__(self, key: K) -> bool:
        return key in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[K]:
        return iter(self._entries)

    def touch(self, key: K, now: float) -> None:
        """An entry was used. Nothing happens if it is not here."""
        entry = self._entries.get(key)
        if entry is None:
            return
        if now - entry.last > self._correlated:
            entry.uses = (now, *entry.uses[: self._k - 1])
            entry.last = now
            self._push(key, entry)
        else:
            entry.last = now

    def add(self, key: K, size: int, now: float) -> list[K]:
        """An entry arrives (or changes size). Returns what must go to make room; `key` itself if it can never fit."""
        present = self._entries.get(key)
        known = (present.uses, present.last) if present else self._history.pop(key, ((), _NEVER))
        self.discard(key)
        if size > self.capacity:
            return [key]
        uses, last = known
        if not uses or now - last > self._correlated:
            uses = (now, *uses[: self._k - 1])
        self._generation += 1
        entry = _Entry(size, uses, now, self._generation)
        victims = self._make_room(size)
        self._entries[key] = entry
        self.used += size
        self._push(key, entry)
        return victims

    def evict(self) -> K | None:
        """Give up the worst entry, remembering its history; None if there is none."""
        while self._heap:
            kth, last, generation, key = heapq.heappop(self._heap)
            entry = self._entries.get(key)
            if entry is None or entry.generation != generation:
                continue
            if (kth, last) != self._rank(entry):
                # Used within the correlated period since it was pushed: rank it again by its true last use.
                self._push(key, entry)
                continue
            self._remember(key, entry)
            self.discard(key)
            return key
        return None

    def discard(self, key: K) -> None:
        """The entry is gone for another reason than eviction."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.used -= entry.size

    def _make_room(self, size: int) -> list[K]:
        victims = []
        while self.used + size > self.capacity:
            victim = self.evict()
            if victim is None:
                break
            victims.append(victim)
        return victims

    def _remember(self, key: K, entry: _Entry) -> None:
        if self._retained == 0:
            return
        self._history[key] = (entry.uses, entry.last)
        if len(self._history) > self._retained:
            self._history.popitem(last=False)

    def _rank(self, entry: _Entry) -> tuple[float, float]:
        kth = entry.uses[self._k - 1] if len(entry.uses) >= self._k else _NEVER
        return kth, entry.last

    def _push(self, key: K, entry: _Entry) -> None:
        self._generation += 1
        entry.generation = self._generation
        heapq.heappush(self._heap, (*self._rank(entry), entry.generation, key))
        if len(self._heap) > 4 * len(self._entries) + 64:
            # Stale tuples of touched and dropped entries: start again with one per entry.
            self._heap = [(*self._rank(e), e.generation, name) for name, e in self._entries.items()]
            heapq.heapify(self._heap)
