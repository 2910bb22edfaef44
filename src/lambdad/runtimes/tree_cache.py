"""Directories that are made once, named by their content, and never changed: what sandboxes see at /var/runtime.

A tree appears whole or not at all, whoever dies while making it and however many make it at once. Trees that no
discovery has named for a month are removed: they belong to interpreters or releases that are gone.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

BUILDING = ".building-"
UNUSED_S = 30 * 86_400.0
ABANDONED_S = 3_600.0


class TreeError(Exception):
    """A tree could not be built. The text says why and what to do."""


@contextlib.contextmanager
def building(target: Path) -> Iterator[Path]:
    """A directory to fill, which becomes `target` at the end of the block. Raises `TreeError` for errors of the disk.

    Of several builders at once one wins and the others' work is thrown away: it was the same.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=BUILDING, dir=target.parent))
        try:
            yield work
            _open_to_all(work)
            _publish(work, target)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise TreeError(f"{target.name} could not be put into {target.parent}: {error}") from error


def sweep(directory: Path, used: Iterable[str], now: float) -> None:
    """Note which trees are used at `now` (seconds since the epoch), and remove those that were not for long."""
    names = set(used)
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                if entry.name in names:
                    os.utime(entry.path, (now, now))
                    continue
                limit = ABANDONED_S if entry.name.startswith(BUILDING) else UNUSED_S
                if entry.stat(follow_symlinks=False).st_mtime < now - limit:
                    shutil.rmtree(entry.path, ignore_errors=True)


def _publish(work: Path, target: Path) -> None:
    try:
        work.rename(target)
    except OSError:
        if not target.is_dir():
            raise


def _open_to_all(tree: Path) -> None:
    """Readable by every user of a sandbox, whatever the umask of this process is."""
    for directory, _, files in os.walk(tree):
        Path(directory).chmod(0o755)
        for path in (Path(directory) / file for file in files):
            if not path.is_symlink():  # what it leads to may be the host's
                path.chmod(0o644)
