"""Records on their way to one subscriber: batches by number, size and age, never more than fits. Pure.

Rule: a subscriber that does not keep up loses the newest records, and is told how many and how large they were. What
waits is bounded by twice a batch, whoever writes however fast. `now`: monotonic seconds.
"""

from __future__ import annotations

from collections import deque


class DeliveryBuffer:
    """max_items, max_bytes: of one batch. timeout: seconds after which a smaller one is sent."""

    def __init__(self, max_items: int, max_bytes: int, timeout: float) -> None:
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._timeout = timeout
        self._records: deque[tuple[float, bytes]] = deque()
        self._size = 0
        self._dropped = [0, 0]

    def __len__(self) -> int:
        return len(self._records)

    @property
    def size(self) -> int:
        """Bytes that wait."""
        return self._size

    def add(self, record: bytes, now: float) -> bool:
        """Take a record, or count it as dropped. True if whoever waits for `due` must look again."""
        if len(self._records) >= 2 * self._max_items or self._size + len(record) > 2 * self._max_bytes:
            self.drop(1, len(record))
            return False
        was_due = self._is_full
        self._records.append((now, record))
        self._size += len(record)
        return len(self._records) == 1 or self._is_full != was_due

    def drop(self, records: int, size: int) -> None:
        """Records that will never come. size: bytes."""
        self._dropped[0] += records
        self._dropped[1] += size

    def due(self, now: float) -> float | None:
        """Seconds until a batch is to be sent, 0 or less if now; None if nothing waits."""
        if not self._records:
            return 0.0 if self._dropped[0] else None
        if self._is_full:
            return 0.0
        return self._records[0][0] + self._timeout - now

    def take(self) -> tuple[list[bytes], tuple[int, int]]:
        """One batch, and what was dropped since the last one (records, bytes)."""
        batch: list[bytes] = []
        size = 0
        while self._records and len(batch) < self._max_items and (not batch or size < self._max_bytes):
            record = self._records.popleft()[1]
            batch.append(record)
            size += len(record)
        self._size -= size
        dropped = (self._dropped[0], self._dropped[1])
        self._dropped = [0, 0]
        return batch, dropped

    @property
    def _is_full(self) -> bool:
        return len(self._records) >= self._max_items or self._size >= self._max_bytes
