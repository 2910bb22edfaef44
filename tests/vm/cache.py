"""Directories that took long to make, kept by the content of what they were made from.

A build that dies half-way is never seen: it grows under another name and is renamed when it is whole. Only the
newest directory of a kind is kept, so that the cache does not grow with the project's age.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path


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
    return digest.hexdigest()[:16]


def obtain(kind: str, key: str, build: Callable[[Path], None]) -> Path:
    """The directory `kind`-`key` of the cache, made by `build(empty directory)` unless it is there."""
    root = cache_root()
    root.mkdir(parents=True, exist_ok=True)
    wanted = root / f"{kind}-{key}"
    if wanted.is_dir():
        return wanted
    growing = Path(tempfile.mkdtemp(prefix=f".{kind}-", dir=root))
    growing.chmod(0o755)
    try:
        build(growing)
        for older in root.glob(f"{kind}-*"):
            shutil.rmtree(older, ignore_errors=True)
        growing.rename(wanted)
    except BaseException:
        shutil.rmtree(growing, ignore_errors=True)
        raise
    return wanted
