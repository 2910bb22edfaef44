"""Where packing keeps what it can make or fetch again: downloads by digest, bases by name, finished stages.

Everything here may be deleted at any time. `trim` keeps each kind under its limit, oldest use first, and takes away
what killed processes were working in.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

DOWNLOADS_MAX = 4 * 1024**3
STAGES_MAX = 8 * 1024**3
_ABANDONED_S = 3600.0
"""A scratch directory is not locked in the moment that it is made: younger ones are let be."""


@dataclass(frozen=True, slots=True)
class Cache:
    """The directories under one root; made when first asked for."""

    root: Path

    @property
    def downloads(self) -> Path:
        return _made(self.root / "downloads")

    @property
    def stages(self) -> Path:
        return _made(self.root / "stages")

    @property
    def bases(self) -> Path:
        return _made(self.root / "bases")

    def apt(self, key: str) -> Path:
        """The private state of apt for one base and architecture."""
        return _made(self.root / "apt" / key)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A directory on the same file system, removed at the end, whatever happens; locked while it is used."""
        directory = Path(tempfile.mkdtemp(prefix="work-", dir=self._work))
        with _locked(directory, fcntl.LOCK_SH):
            try:
                yield directory
            finally:
                remove_tree(directory)

    def trim(self) -> None:
        """Bring downloads and stages under their limits, and remove scratch directories whose process was killed."""
        _trim(self.downloads, DOWNLOADS_MAX)
        _trim(self.stages, STAGES_MAX)
        for directory in self._work.iterdir():
            _remove_abandoned(directory)

    @property
    def _work(self) -> Path:
        return _made(self.root / "work")


def default_cache() -> Cache:
    """`$XDG_CACHE_HOME/lambdad/pack`, or under ~/.cache."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Cache(Path(home) / "lambdad" / "pack")


def remove_tree(directory: Path) -> None:
    """Remove a directory whose parts may be unreadable, as overlayfs's work directories are."""

    def allow(_function: object, path: str, _error: object) -> None:
        Path(path).parent.chmod(0o700)
        if Path(path).is_dir() and not Path(path).is_symlink():
            Path(path).chmod(0o700)
            shutil.rmtree(path, ignore_errors=True)
        else:
            Path(path).unlink(missing_ok=True)

    if directory.exists():
        shutil.rmtree(directory, onerror=allow)


def tree_size(path: Path) -> int:
    """Bytes of the regular files at and under `path`, links not followed."""
    if not path.is_dir() or path.is_symlink():
        return path.lstat().st_size
    return sum(tree_size(entry) for entry in path.iterdir())


def _made(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def _remove_abandoned(directory: Path) -> None:
    with suppress(OSError):  # in use, or gone meanwhile, or another user's
        if time.time() - directory.stat().st_mtime >= _ABANDONED_S:
            with _locked(directory, fcntl.LOCK_EX | fcntl.LOCK_NB):
                remove_tree(directory)


@contextmanager
def _locked(directory: Path, kind: int) -> Iterator[None]:
    lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, kind)
        yield
    finally:
        os.close(lock)


def _trim(directory: Path, limit: int) -> None:
    entries = sorted(directory.iterdir(), key=lambda entry: entry.lstat().st_mtime, reverse=True)
    total = 0
    for entry in entries:
        total += tree_size(entry)
        if total > limit:
            remove_tree(entry) if entry.is_dir() else entry.unlink(missing_ok=True)
