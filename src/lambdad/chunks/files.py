"""Writing a file so that after a crash there is the old one, the new one, or none: never a part of one."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

TEMPORARY_PREFIX = ".tmp-"
"""Files that begin so were being written when somebody died; whoever owns the directory may delete them."""


def write_atomically(path: Path, data: bytes, *, mode: int = 0o644, replace: bool = True, durable: bool = True) -> bool:
    """Write `data` under a temporary name beside `path` and move it there. Parents must exist.

    replace: whether an existing file is replaced; if not, and there is one, it stays and False is returned.
    durable: whether the bytes and the name survive a power failure once this returns; caches do without.
    Raises OSError (ENOSPC among them); then nothing is left behind.
    """
    temporary = path.parent / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        try:
            _write_all(descriptor, data)
            if durable:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if replace:
            temporary.rename(path)
        else:
            os.link(temporary, path)
            temporary.unlink()
    except FileExistsError:
        temporary.unlink()
        return False
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    if durable:
        sync_directory(path.parent)
    return True


def sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
