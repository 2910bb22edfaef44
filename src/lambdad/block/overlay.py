"""Copy on write: a disk that can be written to over one that cannot. Chunks are never changed.

What is written goes to an unnamed file, page by page (4 KiB), and two bitmaps say where each page is: below, in the
file, or nowhere because it is zeros. A part of a page is written by reading the page first. The file is encrypted with
a key that never leaves this object (AES-256-XTS, the page number as tweak: pages are rewritten, which a stream cipher
would not survive), so that a stolen disk or a crash leaves nothing readable; the overlay dies with its object.
"""

from __future__ import annotations

import asyncio
import errno
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from lambdad.block.interface import BlockError, BlockSource, Extent, NoSpace, check_range

PAGE = 4096
SIZE_MAX = 2**44
"""16 TiB: the bitmaps take 1 GiB each there; a 10 GiB image takes 320 KiB each."""


class _Pages:
    """A set of page numbers as a bitmap."""

    def __init__(self, count: int) -> None:
        self._bits = bytearray((count + 7) // 8)

    def __contains__(self, page: int) -> bool:
        return bool(self._bits[page >> 3] & (1 << (page & 7)))

    def add(self, page: int) -> None:
        self._bits[page >> 3] |= 1 << (page & 7)

    def discard(self, page: int) -> None:
        self._bits[page >> 3] &= ~(1 << (page & 7)) & 0xFF


class OverlaySource:
    """A `WritableSource` over `below`. `limit`: bytes of pages that may be written; more is `NoSpace`."""

    def __init__(self, below: BlockSource, directory: Path, limit: int) -> None:
        if below.size > SIZE_MAX:
            raise ValueError(f"a disk of {below.size} bytes is too large for an overlay")
        self._below = below
        pages = -(-below.size // PAGE)
        self._written = _Pages(pages)
        self._zeroed = _Pages(pages)
        self._count = 0
        self._touched = False
        self._limit = limit // PAGE
        self._file = _open_unnamed(directory)
        self._key = os.urandom(64)
        self._lock = asyncio.Lock()
        self._closed = False

    @property
    def size(self) -> int:
        return self._below.size

    @property
    def written(self) -> int:
        """Bytes of pages in the file."""
        return self._count * PAGE

    async def read(self, offset: int, length: int) -> bytes:
        check_range(self.size, offset, length)
        if not self._touched:
            return await self._below.read(offset, length)
        parts = []
        for start, count, where in self._runs(offset, length):
            if where is self._written:
                parts.append(self._read_file(start, count))
            elif where is self._zeroed:
                parts.append(bytes(count))
            else:
                parts.append(await self._below.read(start, count))
        return b"".join(parts)

    def peek(self, offset: int, length: int) -> Sequence[memoryview] | None:
        return None if self._touched else self._below.peek(offset, length)

    def extents(self, offset: int, length: int) -> Iterator[Extent]:
        check_range(self.size, offset, length)
        for start, count, where in self._runs(offset, length):
            if where is None:
                yield from self._below.extents(start, count)
            else:
                yield Extent(count, is_zero=where is self._zeroed)

    async def write(self, offset: int, data: bytes) -> None:
        check_range(self.size, offset, len(data))
        async with self._lock:
            view = memoryview(data)
            while view:
                page, start = divmod(offset, PAGE)
                count = min(PAGE - start, len(view))
                await self._write_page(page, start, view[:count])
                view = view[count:]
                offset += count

    async def write_zeros(self, offset: int, length: int) -> None:
        check_range(self.size, offset, length)
        async with self._lock:
            end = offset + length
            while offset < end:
                page, start = divmod(offset, PAGE)
                count = min(PAGE - start, end - offset)
                if count == self._page_length(page):
                    self._zero_page(page)
                elif page not in self._zeroed:
                    await self._write_page(page, start, memoryview(bytes(count)))
                offset += count

    async def close(self) -> None:
        """Forget everything written. Closes what is below, too."""
        if not self._closed:
            self._closed = True
            os.close(self._file)
            self._key = b""
            await self._below.close()

    async def _write_page(self, page: int, start: int, data: memoryview) -> None:
        length = self._page_length(page)
        if len(data) == length:
            whole = bytes(data)
        else:
            old = bytearray(await self.read(page * PAGE, length))
            old[start : start + len(data)] = data
            whole = bytes(old)
        if page not in self._written:
            if self._count >= self._limit:
                raise NoSpace(f"the overlay holds {self._limit * PAGE} bytes already: give the disk a larger limit")
            self._count += 1
        try:
            os.pwrite(self._file, self._cipher(page).encryptor().update(whole.ljust(PAGE, b"\0")), page * PAGE)
        except OSError as error:
            if page not in self._written:
                self._count -= 1
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise NoSpace(f"the disk of the overlay is full: {error}") from error
            raise BlockError(f"overlay: {error}") from error
        self._touched = True
        self._written.add(page)
        self._zeroed.discard(page)

    def _zero_page(self, page: int) -> None:
        self._touched = True
        self._zeroed.add(page)
        if page in self._written:
            self._written.discard(page)
            self._count -= 1

    def _read_file(self, start: int, count: int) -> bytes:
        first, last = start // PAGE, (start + count - 1) // PAGE
        try:
            stored = os.pread(self._file, (last - first + 1) * PAGE, first * PAGE)
        except OSError as error:
            raise BlockError(f"overlay: {error}") from error
        plain = [
            self._cipher(page).decryptor().update(stored[(page - first) * PAGE : (page - first + 1) * PAGE])
            for page in range(first, last + 1)
        ]
        return b"".join(plain)[start - first * PAGE :][:count]

    def _cipher(self, page: int) -> Cipher[modes.XTS]:
        return Cipher(algorithms.AES(self._key), modes.XTS(page.to_bytes(16, "little")))

    def _page_length(self, page: int) -> int:
        return min(PAGE, self.size - page * PAGE)

    def _runs(self, offset: int, length: int) -> Iterator[tuple[int, int, _Pages | None]]:
        """The range as stretches that are in one place: start, bytes, where (None is below)."""
        end = offset + length
        start, where = offset, self._where(offset // PAGE) if length else None
        position = offset
        while position < end:
            here = self._where(position // PAGE)
            if here is not where:
                yield start, position - start, where
                start, where = position, here
            position = min(end, (position // PAGE + 1) * PAGE)
        if start < end:
            yield start, end - start, where

    def _where(self, page: int) -> _Pages | None:
        if page in self._written:
            return self._written
        return self._zeroed if page in self._zeroed else None


def _open_unnamed(directory: Path) -> int:
    try:
        return os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError:
        descriptor, path = tempfile.mkstemp(dir=directory, prefix="overlay-")
        Path(path).unlink()
        return descriptor
