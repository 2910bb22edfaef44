"""An image of the local store as a disk for others, until Ctrl-C: over NBD, or as a vhost-user-blk device.

Only this user reaches it unless it is told otherwise: a port of the loopback, or sockets. Elsewhere only with TLS.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

from lambdad.block.interface import BlockError
from lambdad.block.nbd import Access, TlsPolicy
from lambdad.block.nbd_server import AnyExport, CopyOnWriteExport, NbdServer, ReadOnlyExport
from lambdad.block.overlay import PAGE, OverlaySource
from lambdad.block.read_path import ReadPath
from lambdad.block.reader import ImageReader
from lambdad.block.trace import TraceRecorder, is_worth_saving
from lambdad.block.vhost_user import vhost_user_device
from lambdad.chunks.background import running
from lambdad.chunks.manifest import Manifest
from lambdad.cli.errors import CliError
from lambdad.cli.image_serving import RECORD_MS, image_read_path, interruption
from lambdad.cli.image_store import ImageStore
from lambdad.model.clock import SystemClock

_NAME = ""
"""Of the export: what a URI without a path asks for."""


@dataclass(frozen=True, slots=True)
class AtPort:
    """port: 0 takes a free one."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class AtSocket:
    path: Path


@dataclass(frozen=True, slots=True)
class AtVhostUser:
    """A socket for a virtual machine."""

    path: Path


@dataclass(frozen=True, slots=True)
class Disk:
    """Where an image is shown, and how. tls: for NBD at a port or a socket; then nobody comes in without."""

    place: AtPort | AtSocket | AtVhostUser
    access: Access
    tls: ssl.SSLContext | None = None


def read_certificates(directory: Path) -> ssl.SSLContext:
    """TLS as a directory in QEMU's and libnbd's layout says: server-cert.pem and server-key.pem.

    If ca-cert.pem is there as well, clients must show a certificate that it signed. Raises `CliError`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    authority = directory / "ca-cert.pem"
    try:
        context.load_cert_chain(directory / "server-cert.pem", directory / "server-key.pem")
        if authority.exists():
            context.load_verify_locations(authority)
            context.verify_mode = ssl.CERT_REQUIRED
    except OSError as error:  # what ssl raises of broken files is one, too
        raise CliError(
            f"no certificates in {directory} ({error.strerror or error}): it needs server-cert.pem and server-key.pem, "
            "and ca-cert.pem if clients must show certificates"
        ) from error
    return context


async def serve_until_interrupted(images: ImageStore, name: str, disk: Disk, ready: Callable[[str], None]) -> None:
    """The image as a disk until a signal.

    ready: called with the URI of the export, or with the socket of the device. The first reads are recorded for `heat`,
    unless the recorded start tells as much. Raises `CliError`, `BlockError`.
    """
    _check(disk)
    async with image_read_path(images) as path:
        data, key = await images.sealed(name)
        recorder = TraceRecorder(SystemClock())

        def open_reader() -> ImageReader:
            reader = path.open_image(data, key, images.record(name).manifest)
            reader.observe(recorder)
            return reader

        exports = {_NAME: _export(open_reader, disk.access, images.spool, name)}
        policy = TlsPolicy.NONE if disk.tls is None else TlsPolicy.REQUIRED
        with interruption() as interrupted:
            async with (
                NbdServer(exports, tls=disk.tls, policy=policy) as server,
                _shown(server, disk, interrupted) as where,
            ):
                ready(where)
                await interrupted.wait()
        await _save_start(path, open_reader().manifest, recorder)


def _check(disk: Disk) -> None:
    match disk.place:
        case AtPort(host, _):
            if disk.tls is None and not _is_loopback(host):
                raise CliError(f"{host} is reached by others: give --tls with certificates, or leave --host out")
        case AtSocket(path) | AtVhostUser(path):
            if path.exists():
                raise CliError(f"{path} exists: take another path for the socket, or remove it")
        case _:
            assert_never(disk.place)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _export(open_reader: Callable[[], ImageReader], access: Access, spool: Path, name: str) -> AnyExport:
    reader = open_reader()
    match access:
        case Access.READ_ONLY:
            return ReadOnlyExport(reader, name)
        case Access.COPY_ON_WRITE:

            async def open_overlay() -> OverlaySource:
                # A client can write each page once at most: the image's own size is the limit.
                return OverlaySource(open_reader(), spool, reader.size + PAGE)

            return CopyOnWriteExport(reader.size, open_overlay, name)
        case _:
            assert_never(access)


@contextlib.asynccontextmanager
async def _shown(server: NbdServer, disk: Disk, interrupted: asyncio.Event) -> AsyncIterator[str]:
    """The server listens where the disk is to be; yields where that is. `interrupted` is set if it cannot go on."""
    scheme = "nbd" if disk.tls is None else "nbds"
    match disk.place:
        case AtPort(host, port):
            shown = f"[{host}]" if ":" in host else host
            yield f"{scheme}://{shown}:{await server.listen_tcp(host, port)}"
        case AtSocket(path):
            async with _listening(server, path):
                yield f"{scheme}+unix:///?socket={path}"
        case AtVhostUser(path):
            async with contextlib.AsyncExitStack() as stack:
                with tempfile.TemporaryDirectory(prefix="lambdad-disk-") as directory:
                    inner = Path(directory) / "nbd"
                    await server.listen_unix(str(inner))
                    device = await stack.enter_async_context(vhost_user_device(inner, path, disk.access))
                # The daemon is connected: without the directory, a kill of this process leaves nothing there.
                ends: list[str] = []

                async def watch() -> None:
                    ends.append(await device.wait_until_ended())
                    interrupted.set()

                async with running(watch):
                    yield str(path)
                if ends:
                    raise BlockError(ends[0])
        case _:
            assert_never(disk.place)


@contextlib.asynccontextmanager
async def _listening(server: NbdServer, path: Path) -> AsyncIterator[None]:
    try:
        await server.listen_unix(str(path))
        yield
    finally:
        path.unlink(missing_ok=True)


async def _save_start(path: ReadPath, manifest: Manifest, recorder: TraceRecorder) -> None:
    start = tuple(entry for entry in recorder.entries() if entry.at_ms <= RECORD_MS)
    known = [entry.position for entry in await path.load_trace(manifest)]
    if is_worth_saving(known, [entry.position for entry in start]):
        await path.save_trace(manifest, start)
