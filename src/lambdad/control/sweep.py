"""Removes packages that nobody refers to any more: what deleted functions, layers and old updates have left.

A package is stored before the record that refers to it is written, so a new one is never taken; `put` makes an old one
new again. Safe beside everything else that uses the store of this process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import Executor
from typing import Protocol

from lambdad.model.function import Deployment
from lambdad.store.metadata import Store, Transaction

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
    for version in transaction.functions.all_versions():
        found |= _of_deployment(version.deployment)
        if version.serving is not None:
            found |= _of_deployment(version.serving)
    return found


def _of_deployment(deployment: Deployment) -> set[str]:
    package = deployment.package
    found = {layer.code.sha256 for layer in deployment.settings.layers}
    if package.code is not None:
        found.add(package.code.sha256)
    if package.image is not None:
        found.add(package.image.manifest_sha256)
    return found
