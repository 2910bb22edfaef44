"""Removes packages that nobody refers to any more: what deleted functions, layers and old updates have left.

A package is stored before the record that refers to it is written, so a new one is never taken; `put` makes an old one
new again. Safe beside everything else that uses the store of this process.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from concurrent.futures import Executor
from typing import Protocol

from lambdad.store.metadata import Store, Transaction

_DIGEST = re.compile(r'"(?:manifest_)?sha256":"([0-9a-f]{64})"')
"""In a version's document. Found in the text, because to read every version takes a large store minutes; a quote inside
of a string is escaped there, so nothing that a user writes looks like this."""
GRACE_S = 3600.0
"""How long a package may lie without a record: far longer than any request takes from the one to the other."""


class SweptBlobs(Protocol):
    """What a sweep needs of a blob store."""

    def list(self) -> Iterator[tuple[str, float]]:
        """(digest, when it was last put, in epoch seconds) of every blob."""
        ...

    def delete_unused(self, sha: str, since: float) -> bool:
        """Delete the blob unless it was put after `since`, epoch seconds; says whether it did."""
        ...


class Sweep:
    """One pass at a time, whenever the node says so."""

    def __init__(self, store: Store, blobs: SweptBlobs, executor: Executor) -> None:
        self._store = store
        self._blobs = blobs
        self._executor = executor

    async def run(self, now: float) -> int:
        """Remove what is not referred to and older than the grace. now: epoch seconds. Returns how many went."""
        loop = asyncio.get_running_loop()
        since = now - GRACE_S
        # Listed before the records are read: what is referred to by a record written meanwhile is too new to go.
        old = await loop.run_in_executor(self._executor, self._list_old, since)
        if not old:
            return 0
        unused = old - await self._store.read(referenced)
        return await loop.run_in_executor(self._executor, self._delete, unused, since)

    def _list_old(self, since: float) -> set[str]:
        return {sha for sha, put in self._blobs.list() if put < since}

    def _delete(self, unused: set[str], since: float) -> int:
        return sum(self._blobs.delete_unused(sha, since) for sha in unused)


def referenced(transaction: Transaction) -> set[str]:
    """The digests of all blobs that a record refers to."""
    found = {layer.code.sha256 for layer in transaction.layers.all()}
    for _, _, _, document in transaction.functions.version_documents():
        found.update(_DIGEST.findall(document))
    return found
