"""An image of the local store shown to others until Ctrl-C: as a directory, or as a disk over NBD."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

from lambdad.block.messages import Configure
from lambdad.block.mount import ImageMounts
from lambdad.block.nbd_server import NbdServer, ReadOnlyExport
from lambdad.block.read_path import ReadPath, open_read_path
from lambdad.block.service import BlockService
from lambdad.block.trace import TraceEntry, TraceRecorder, is_worth_saving
from lambdad.cli.errors import CliError
from lambdad.cli.image_guard import guarded
from lambdad.cli.image_store import ImageStore
from lambdad.linux import syscalls
from lambdad.model.clock import SystemClock

RECORD_MS = 10_000
"""What is read in so many milliseconds after the first read is the start: `heat` draws it."""
_MS_BIND = 4096


async def load_trace(images: ImageStore, name: str) -> tuple[TraceEntry, ...]:
    """What the recorded start of an image read; empty if none was recorded."""
    async with _read_path(images) as path:
        return await path.load_trace(await images.manifest(name))


async def mount_until_interrupted(images: ImageStore, name: str, target: Path, ready: Callable[[], None]) -> None:
    """Show the image's files at `target`, an empty directory, read-only, until a signal. Needs root.

    A process of its own (`image_guard`) takes the mounts away even if this one is killed.
    ready: called when it can be browsed. Raises `CliError`, `BlockError`; then nothing is left mounted.
    """
    _check_target(target)
    state = images.directory / "mounts" / str(os.getpid())
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    service = BlockService(Configure(origin_directory=str(images.chunks), record_s=RECORD_MS / 1000))
    mounts = ImageMounts(state, service)
    manifest, key = await images.sealed(name)
    with _interruption() as interrupted, guarded(target, state):
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


async def serve_until_interrupted(
    images: ImageStore, name: str, port: int, socket: Path | None, ready: Callable[[str], None]
) -> None:
    """The image as a read-only NBD export, on a port of the loopback or at a Unix socket, until a signal.

    ready: called with the URI. The first reads are recorded for `heat`, unless the recorded start tells as much.
    """
    if socket is not None and socket.exists():
        raise CliError(f"{socket} exists: take another path for the socket, or remove it")
    async with _read_path(images) as path:
        data, key = await images.sealed(name)
        reader = path.open_image(data, key, images.record(name).manifest)
        recorder = TraceRecorder(SystemClock())
        reader.observe(recorder)
        with _interruption() as interrupted:
            try:
                # The export without a name is what a URI without a path asks for.
                async with NbdServer({"": ReadOnlyExport(reader, name)}) as server:
                    if socket is None:
                        ready(f"nbd://127.0.0.1:{await server.listen_tcp(port=port)}")
                    else:
                        await server.listen_unix(str(socket))
                        ready(f"nbd+unix:///?socket={socket}")
                    await interrupted.wait()
            finally:
                if socket is not None:
                    socket.unlink(missing_ok=True)
        start = tuple(entry for entry in recorder.entries() if entry.at_ms <= RECORD_MS)
        known = [entry.position for entry in await path.load_trace(reader.manifest)]
        if is_worth_saving(known, [entry.position for entry in start]):
            await path.save_trace(reader.manifest, start)


def _read_path(images: ImageStore) -> contextlib.AbstractAsyncContextManager[ReadPath]:
    return open_read_path(Configure(origin_directory=str(images.chunks)), SystemClock())


def _check_target(target: Path) -> None:
    if os.geteuid() != 0:
        raise CliError("mounting needs root: run it with sudo, or `lambdad image serve NAME --nbd` without")
    if not target.is_dir() or any(target.iterdir()):
        raise CliError(f"{target} is no empty directory: make one to mount on")
    if target.is_mount():
        raise CliError(f"something is mounted on {target} already: take another directory")


@contextlib.contextmanager
def _interruption() -> Iterator[asyncio.Event]:
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
