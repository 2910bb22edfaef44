"""Directories that took long to make, kept for the next test run by the content of what they were made from.

A build that dies half-way is never seen: it grows under another name and is renamed when it is whole. Of several
processes that want the same one makes it and the others wait. Only the newest directory of a kind is kept, so that the
cache does not grow with the project's age.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

_KEY_LENGTH = 16
_KEY_GLOB = "[0-9a-f]" * _KEY_LENGTH


def cache_root() -> Path:
    """`lambdad-test` in the user's cache directory."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "lambdad-test"


def content_key(parts: Iterable[bytes]) -> str:
    """A short name for these parts in this order."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()[:_KEY_LENGTH]


def obtain(kind: str, key: str, build: Callable[[Path], None]) -> Path:
    """The directory `kind`-`key` of the cache, made by `build(empty directory)` unless it is there.

    key: of `content_key`. Blocks while another process makes one of this kind.
    """
    root = cache_root()
    root.mkdir(parents=True, exist_ok=True)
    wanted = root / f"{kind}-{key}"
    with (root / f".{kind}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not wanted.is_dir():
            _make(root, kind, wanted, build)
    return wanted


def _make(root: Path, kind: str, wanted: Path, build: Callable[[Path], None]) -> None:
    growing = root / f".{kind}.growing"
    shutil.rmtree(growing, ignore_errors=True)  # of a process that was killed: nobody else makes one of this kind
    growing.mkdir()
    growing.chmod(0o755)  # whatever the umask
    try:
        build(growing)
        for older in root.glob(f"{kind}-{_KEY_GLOB}"):
            shutil.rmtree(older, ignore_errors=True)
        growing.rename(wanted)
    except BaseException:
        shutil.rmtree(growing, ignore_errors=True)
        raise
