"""Takes away what `lambdad image mount` mounted when it has ended, however it ended: python -m lambdad.cli.image_guard.

A process of its own, because a command that was killed cannot clean up. It waits for the end of its standard input,
which only the command holds open. Its arguments are the directory on which the image is shown and the command's own
directory of mounts.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from lambdad.block.fuse_mount import unmount
from lambdad.block.mount import mounts_below, remove_leftovers

_END_S = 30.0


@contextlib.contextmanager
def guarded(target: Path, state: Path) -> Iterator[None]:
    """Inside, mounts at `target` and below `state` may be made; afterwards there are none, and no `state`."""
    guard = subprocess.Popen(
        [sys.executable, "-m", __name__, str(target.resolve()), str(state.resolve())],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    assert guard.stdin is not None
    try:
        yield
    finally:
        guard.stdin.close()
        try:
            guard.wait(_END_S)
        except subprocess.TimeoutExpired:
            guard.kill()
            guard.wait()


def clear(target: Path, state: Path) -> None:
    """Take the mounts away. The target is left alone if nothing of ours is on it."""
    if str(target) in mounts_below(target.parent):
        unmount(str(target))
    remove_leftovers(state)


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    clear(Path(sys.argv[1]), Path(sys.argv[2]))


if __name__ == "__main__":
    main()
