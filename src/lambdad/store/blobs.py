"""Zips and manifests by content: bytes under the SHA-256 of themselves.

Blocking; callers on an event loop use a thread. What `put` has returned is on disk.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol


class BlobStore(Protocol):
    """sha: 64 hex digits. A blob that is not there is `BlobNotFound`."""

    def put(self, data: bytes) -> str:
        """Store and return the digest; durable, and nothing happens if it is there already."""
        ...

    def get(self, sha: str) -> bytes:
        """The bytes, verified against `sha`."""
        ...

    def open(self, sha: str) -> BinaryIO:
        """For reading in pieces; seekable, not verified."""
        ...

    def path(self, sha: str) -> Path | None:
        """The file that holds it, if this store keeps files and has it."""
        ...

    def has(self, sha: str) -> bool: ...

    def size(self, sha: str) -> int: ...

    def delete(self, sha: str) -> None:
        """Idempotent."""
        ...


class BlobNotFound(Exception):
    """The store has no blob of this digest."""

    def __init__(self, sha: str) -> None:
        super().__init__(f"no blob {sha} in the store")
        self.sha = sha


class BlobDamaged(Exception):
    """The bytes on disk are not those that were stored: the disk, or somebody who wrote to it."""

    def __init__(self, sha: str, path: Path) -> None:
        super().__init__(f"the blob {sha} is damaged on disk; restore {path} from a backup, or upload the code again")


class DirectoryBlobs:
    """Blobs as files `root/ab/abcdef…`, written beside and renamed into place."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._renewing = threading.Lock()
        root.mkdir(parents=True, exist_ok=True)
        for leftover in root.glob(".new-*"):
            leftover.unlink(missing_ok=True)

    def put(self, data: bytes) -> str:
        sha = hashlib.sha256(data).hexdigest()
        path = self._locate(sha)
        if self._is_whole(path, len(data)):
            return sha
        path.parent.mkdir(exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".new-", dir=self._root)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(name).rename(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        _sync_directory(path.parent)
        _sync_directory(self._root)
        return sha

    def get(self, sha: str) -> bytes:
        with self.open(sha) as file:
            data = file.read()
        if hashlib.sha256(data).hexdigest() != sha:
            raise BlobDamaged(sha, self._locate(sha))
        return data

    def open(self, sha: str) -> BinaryIO:
        try:
            return self._locate(sha).open("rb")
        except FileNotFoundError:
            raise BlobNotFound(sha) from None

    def path(self, sha: str) -> Path | None:
        path = self._locate(sha)
        return path if path.exists() else None

    def has(self, sha: str) -> bool:
        return self._locate(sha).exists()

    def size(self, sha: str) -> int:
        try:
            return self._locate(sha).stat().st_size
        except FileNotFoundError:
            raise BlobNotFound(sha) from None

    def delete(self, sha: str) -> None:
        self._locate(sha).unlink(missing_ok=True)

    def delete_unused(self, sha: str, since: float) -> bool:
        """Delete the blob unless it was put after `since`, epoch seconds; says whether it did."""
        path = self._locate(sha)
        with self._renewing:
            try:
                unused = path.stat().st_mtime <= since
            except FileNotFoundError:
                return False
            if unused:
                path.unlink()
            return unused

    def list(self) -> Iterator[tuple[str, float]]:
        """(digest, when it was last put, in epoch seconds) of every blob."""
        for path in self._root.glob("[0-9a-f][0-9a-f]/*"):
            with contextlib.suppress(FileNotFoundError):
                yield path.name, path.stat().st_mtime

    def _locate(self, sha: str) -> Path:
        if len(sha) != 64 or not all(digit in "0123456789abcdef" for digit in sha):
            raise BlobNotFound(sha)
        return self._root / sha[:2] / sha

    def _is_whole(self, path: Path, size: int) -> bool:
        """Whether the blob is there; if so it counts as new again, so that a sweep does not take it meanwhile."""
        with self._renewing:
            try:
                whole = path.stat().st_size == size
                if whole:
                    os.utime(path)
            except FileNotFoundError:
                return False
            return whole


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
