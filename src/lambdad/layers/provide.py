"""Unpacked code by content: a zip's tree under `root/<sha256>`, made once, shared by everybody, kept while in use.

A tree is complete or not there: it is unpacked beside and renamed into place, and what a killed process left half-made
is removed by `open`. Trees are not forced to disk, so those of an earlier boot are not trusted. Trees that nobody holds
are removed, least recently used first, when together they are larger than allowed; one that is held (`acquire`) never.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import OrderedDict
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from lambdad.layers.archive import extract
from lambdad.model.environment import Code
from lambdad.model.limits import UNZIPPED_MAX
from lambdad.store.blobs import BlobStore

_TEMPORARY = ".new-"
_DOOMED = ".old-"

SIZE_MAX = 20 * 1024 * 1024 * 1024
"""Bytes of trees on one host, if its owner says nothing: 80 of the largest, thousands of ordinary ones."""


@dataclass(slots=True)
class _Tree:
    """size: bytes, as the archive counts them. holders: how many have acquired it and not released it."""

    size: int
    holders: int = 0


class CodeStore:
    """Belongs to one event loop; unpacking and removing run in `executor`.

    root: a directory of this store's own. size_max: bytes. unzipped_max: bytes of one tree.
    """

    def __init__(
        self,
        root: Path,
        blobs: BlobStore,
        executor: Executor,
        size_max: int = SIZE_MAX,
        unzipped_max: int = UNZIPPED_MAX,
    ) -> None:
        self._root = root
        self._blobs = blobs
        self._executor = executor
        self._size_max = size_max
        self._unzipped_max = unzipped_max
        self._trees: OrderedDict[str, _Tree] = OrderedDict()
        self._size = 0
        self._making: dict[str, asyncio.Future[None]] = {}
        """Resolved once the tree is among `_trees`, and no earlier: who looks there must find it."""

    async def open(self) -> None:
        """Make the directory, remove half-made trees, and take stock of the whole ones."""
        found = await asyncio.get_running_loop().run_in_executor(self._executor, self._take_stock)
        for sha, size in found:
            self._trees[sha] = _Tree(size)
            self._size += size

    async def provide(self, code: Code) -> str:
        """The directory of the unpacked zip. Raises ArchiveError or BlobNotFound.

        Nothing keeps it there but recent use; see `acquire`.
        """
        directory = await self.acquire(code)
        self.release(code)
        return directory

    async def acquire(self, code: Code) -> str:
        """`provide`, and the tree stays until a `release` for each `acquire`."""
        sha = code.sha256
        tree = self._trees.get(sha)
        while tree is None:
            await self._join(sha)
            # Between its making and our turn, a smaller cache may already have dropped it.
            tree = self._trees.get(sha)
        tree.holders += 1
        self._trees.move_to_end(sha)
        return str(self._root / sha)

    def release(self, code: Code) -> None:
        """Give back one `acquire`; may start the removal of trees that are too many."""
        tree = self._trees[code.sha256]
        assert tree.holders > 0
        tree.holders -= 1
        self._shrink()

    async def _join(self, sha: str) -> None:
        """Wait for the tree to be made; whoever comes first starts it, and nobody's leaving stops it."""
        making = self._making.get(sha)
        if making is None:
            loop = asyncio.get_running_loop()
            making = self._making[sha] = loop.create_future()
            loop.run_in_executor(self._executor, self._make, sha).add_done_callback(lambda done: self._made(sha, done))
        await asyncio.shield(making)

    def _made(self, sha: str, done: asyncio.Future[_Tree]) -> None:
        making = self._making.pop(sha)
        if done.cancelled():
            making.cancel()
            return
        error = done.exception()
        if error is not None:
            making.set_exception(error)
            making.exception()  # whoever asked may have left
            return
        tree = done.result()
        self._trees[sha] = tree
        self._size += tree.size
        making.set_result(None)

    def _shrink(self) -> None:
        """Drop trees that nobody holds, least recently used first, until the rest is small enough."""
        for sha in list(self._trees) if self._size > self._size_max else ():
            tree = self._trees[sha]
            if self._size <= self._size_max:
                return
            if tree.holders == 0:
                del self._trees[sha]
                self._size -= tree.size
                doomed = _move_away(self._root, sha)
                self._executor.submit(shutil.rmtree, doomed, ignore_errors=True)

    def _make(self, sha: str) -> _Tree:
        """In a thread: unpack beside, then rename."""
        directory = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=self._root))
        try:
            tree = directory / "tree"
            tree.mkdir(mode=0o755)
            info = extract(self._archive(sha, directory), tree, self._unzipped_max)
            (self._root / f"{sha}.note").write_text(f"{info.unzipped_size} {_boot_id()}")
            tree.rename(self._root / sha)
        finally:
            shutil.rmtree(directory, ignore_errors=True)
        return _Tree(info.unzipped_size)

    def _archive(self, sha: str, directory: Path) -> Path:
        """The zip as a file: the store's own, or a copy where the store keeps none."""
        path = self._blobs.path(sha)
        if path is not None:
            return path
        path = directory / "code.zip"
        path.write_bytes(self._blobs.get(sha))
        return path

    def _take_stock(self) -> list[tuple[str, int]]:
        """(digest, bytes) of every tree that can be used, the oldest first; the rest is removed."""
        self._root.mkdir(parents=True, exist_ok=True)
        found = []
        for path in list(self._root.iterdir()):
            if path.suffix == ".note":
                continue
            size = None if path.name.startswith((_TEMPORARY, _DOOMED)) else _noted_size(path)
            if size is None:
                path.with_suffix(".note").unlink(missing_ok=True)
                shutil.rmtree(path, ignore_errors=True)
            else:
                found.append((path.stat().st_ctime, path.name, size))
        return [(sha, size) for _, sha, size in sorted(found)]


def _noted_size(tree: Path) -> int | None:
    """Bytes of a tree that was made since the machine started; None for any other."""
    try:
        size, boot = tree.with_suffix(".note").read_text().split()
        return int(size) if boot == _boot_id() else None
    except (FileNotFoundError, ValueError):
        return None


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _move_away(root: Path, sha: str) -> Path:
    """Out of the way at once, so that it can be made anew while the old one is being removed."""
    doomed = Path(tempfile.mkdtemp(prefix=_DOOMED, dir=root))
    (root / sha).rename(doomed / "tree")
    (root / f"{sha}.note").unlink(missing_ok=True)
    return doomed
