"""An image of the local store shown as a directory until Ctrl-C. As a disk: `image_disk`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

from lambdad.block.messages import Configure
from lambdad.block.mount import ImageMounts
from lambdad.block.read_path import ReadPath, open_read_path
from lambdad.block.service import BlockService
from lambdad.cli.errors import CliError
from lambdad.cli.image_guard import guarded
from lambdad.cli.image_store import ImageStore
from lambdad.linux import syscalls
from lambdad.model.clock import SystemClock

RECORD_MS = 10_000
"""What is read in so many milliseconds after the first read is the start: `heat` draws it."""
_MS_BIND = 4096


async def mount_until_interrupted(images: ImageStore, name: str, target: Path, ready: Callable[[], None]) -> None:
    """Show the image's files at `target`, an empty directory, read-only, until a signal. Needs root.

    A process of its own (`image_guard`) takes the mounts away even if this one is killed.
    ready: called when it can be browsed. Raises `CliError`, `BlockError`; then nothing is left mounted.
    """
    _check_target(target)
    state = images.directory / "mounts" / str(os.getpid())
    service = BlockService(Configure(origin_directory=str(images.chunks), record_s=RECORD_MS / 1000))
    mounts = ImageMounts(state, service)
    manifest, key = await images.sealed(name)
    with interruption() as interrupted, guarded(target, state):
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            await service.start()
            image = await mounts.mount_image(manifest, key, images.record(name).manifest)
            await asyncio.to_thread(syscalls.mount, str(image.root), str(target), "", _MS_BIND)
            try:
                ready()
                await interrupted.wait()
            finally:
                await asyncio.shield(asyncio.to_thread(syscalls.umount, str(target), syscalls.MNT_DETACH))
        finally:
            await mounts.close()
            await service.close()


def image_read_path(images: ImageStore) -> contextlib.AbstractAsyncContextManager[ReadPath]:
    """Reads the images of the store."""
    return open_read_path(Configure(origin_directory=str(images.chunks)), SystemClock())


def _check_target(target: Path) -> None:
    if os.geteuid() != 0:
        raise CliError("mounting needs root: run it with sudo, or `lambdad image serve NAME --nbd` without")
    if not target.is_dir() or any(target.iterdir()):
        raise CliError(f"{target} is no empty directory: make one to mount on")
    if target.is_mount():
        raise CliError(f"something is mounted on {target} already: take another directory")


@contextlib.contextmanager
def interruption() -> Iterator[asyncio.Event]:
    """An event that Ctrl-C and SIGTERM set."""
    event = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, event.set)
    try:
        yield event
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
