"""The kernel's own NBD client on an export of ours: every byte and file, and servers that die or stand still under it.

Runs where the kernel has the module: in the QEMU guest of `make test-vm`.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Literal

import pytest

from lambdad.block.messages import Configure
from lambdad.block.nbd_server import AnyExport, CopyOnWriteExport, NbdServer, ReadOnlyExport
from lambdad.block.overlay import OverlaySource
from lambdad.block.read_path import open_read_path
from lambdad.block.reader import ImageReader
from lambdad.chunks.manifest import FileSystem
from lambdad.image.build import BuildOptions, build_image
from lambdad.image.oci import Platform
from lambdad.image.sources import DirectorySource
from lambdad.model.clock import SystemClock
from lambdad.testing.block_images import UploadedImage, make_tree, upload_file
from lambdad.testing.image_build import scan
from lambdad.testing.waiting import wait_until

DEVICE = Path("/dev/nbd0")
CLIENT = shutil.which("nbd-client", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
DEADLINE_S = 120
PATIENT_S = 60
"""For the kernel's requests where none may fail, even on a machine with much else to do."""
IMPATIENT_S = 3

Kind = Literal["ext4", "erofs"]
KINDS: tuple[Kind, ...] = ("ext4", "erofs")


def missing() -> str:
    """Why the kernel's client cannot be used here; empty if it can."""
    if os.geteuid() != 0:
        return "attaching a network block device needs root"
    if not DEVICE.exists():
        return "this kernel has no network block devices: load the module nbd"
    return "" if CLIENT else "no nbd-client: install the package of that name"


pytestmark = [pytest.mark.kernel, pytest.mark.skipif(bool(missing()), reason=missing())]


@dataclass(frozen=True, slots=True)
class Images:
    """tree: what was flattened. plain: the images of it by file system. uploaded: the same in chunks."""

    tree: Path
    plain: dict[Kind, bytes]
    uploaded: dict[Kind, UploadedImage]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Images:
    directory = tmp_path_factory.mktemp("nbd")
    found = Images(directory / "tree", {}, {})
    found.tree.mkdir()
    make_tree(found.tree)
    (found.tree / "link").symlink_to("d1/file1")
    for kind in KINDS:
        with open(directory / kind, "wb") as out:
            build_image(DirectorySource(str(found.tree)), Platform("amd64"), out, BuildOptions(format=kind))
        found.plain[kind] = (directory / kind).read_bytes()
        upload = upload_file(directory / kind, directory / "origin", FileSystem[kind.upper()])
        found.uploaded[kind] = asyncio.run(upload)
    return found


async def serve(images: Images, socket: Path, spool: Path) -> None:
    """Exports called as the file systems, and one more, `copy`, that is the ext4 image and may be written to."""
    origin = images.uploaded["ext4"].origin
    async with open_read_path(Configure(origin_directory=str(origin)), SystemClock()) as path:

        def open_reader(kind: Kind) -> ImageReader:
            image = images.uploaded[kind]
            return path.open_image(image.uploaded.manifest, image.key, image.uploaded.digest)

        async def open_overlay() -> OverlaySource:
            return OverlaySource(open_reader("ext4"), spool, len(images.plain["ext4"]))

        exports: dict[str, AnyExport] = {kind: ReadOnlyExport(open_reader(kind)) for kind in KINDS}
        exports["copy"] = CopyOnWriteExport(len(images.plain["ext4"]), open_overlay)
        async with NbdServer(exports) as server:
            await server.listen_unix(str(socket))
            await asyncio.Event().wait()


@contextmanager
def serving(images: Images, directory: Path) -> Iterator[tuple[Path, BaseProcess]]:
    """A server in a process of its own: a fork, for under an emulated processor imports take long."""
    socket = directory / "socket"
    process = get_context("fork").Process(target=lambda: asyncio.run(serve(images, socket, directory)))
    process.start()
    try:
        wait_until(socket.exists, "the server listens", DEADLINE_S)
        yield socket, process
    finally:
        process.kill()
        process.join()
        socket.unlink(missing_ok=True)  # it never listened: that is the failure to be told


@contextmanager
def attached(socket: Path, *options: str, timeout: int = PATIENT_S) -> Iterator[Path]:
    """The export at a socket as the kernel's device. timeout: seconds that the kernel gives to a request."""
    assert CLIENT is not None
    command = [CLIENT, "-unix", str(socket), str(DEVICE), "-timeout", str(timeout), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    try:
        wait_until(lambda: sectors() > 0, "the size of the device", DEADLINE_S)
        yield DEVICE
    finally:
        subprocess.run([CLIENT, "-d", str(DEVICE)], capture_output=True, timeout=DEADLINE_S, check=True)
        wait_until(lambda: not Path("/sys/block/nbd0/pid").exists(), "the end of the device", DEADLINE_S)


def sectors() -> int:
    return int(Path("/sys/block/nbd0/size").read_text())


@contextmanager
def mounted(kind: str, at: Path, options: str) -> Iterator[Path]:
    at.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", kind, "-o", options, str(DEVICE), str(at)], check=True, timeout=DEADLINE_S)
    try:
        yield at
    finally:
        subprocess.run(["umount", str(at)], check=True, timeout=DEADLINE_S)


def forget_pages() -> None:
    """What is read next comes from the server."""
    subprocess.run(["blockdev", "--flushbufs", str(DEVICE)], check=True, timeout=DEADLINE_S)


def direct_read(offset: int = 0) -> subprocess.Popen[bytes]:
    """A process that reads one block, past every cache; its status tells whether it got it."""
    command = ["dd", f"if={DEVICE}", "of=/dev/null", "bs=4096", "count=1", f"skip={offset // 4096}", "iflag=direct"]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def is_waiting_for_the_disk(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "D"


@pytest.mark.parametrize("kind", KINDS)
def test_the_device_is_the_plain_image_and_its_files_are_the_tree(kind: Kind, images: Images, tmp_path: Path) -> None:
    plain = images.plain[kind]
    options = "ro,noload" if kind == "ext4" else "ro"
    with serving(images, tmp_path) as (socket, _), attached(socket, "-N", kind, "-readonly"):
        assert Path("/sys/block/nbd0/ro").read_text().strip() == "1"
        assert DEVICE.read_bytes() == plain
        forget_pages()
        chooser = random.Random(23)
        with DEVICE.open("rb", buffering=0) as device:
            for _ in range(100):
                offset = chooser.randrange(len(plain))
                length = chooser.choice((1, 513, 4096, 70_000, 600_000))
                assert os.pread(device.fileno(), length, offset) == plain[offset : offset + length]
        forget_pages()
        with mounted(kind, tmp_path / "at", options) as shown:
            assert scan(shown) == scan(images.tree)


def test_a_copy_on_write_export_takes_a_file_system_in_use_and_forgets_it(images: Images, tmp_path: Path) -> None:
    with serving(images, tmp_path) as (socket, _):
        with attached(socket, "-N", "copy"):
            with mounted("ext4", tmp_path / "at", "rw") as shown:
                (shown / "d1" / "file1").write_bytes(b"changed in the guest")
                (shown / "link").unlink()
            forget_pages()
            with mounted("ext4", tmp_path / "at", "ro,noload") as shown:
                assert (shown / "d1" / "file1").read_bytes() == b"changed in the guest"
                assert not (shown / "link").is_symlink()
        for export in ("copy", "ext4"):
            with attached(socket, "-N", export):
                assert DEVICE.read_bytes() == images.plain["ext4"]


def test_a_server_that_was_killed_under_a_mounted_image_gives_errors_and_hangs_nobody(
    images: Images, tmp_path: Path
) -> None:
    with (
        serving(images, tmp_path) as (socket, server),
        attached(socket, "-N", "ext4", "-readonly", timeout=IMPATIENT_S),
        mounted("ext4", tmp_path / "at", "ro,noload"),
    ):
        assert server.pid is not None
        os.kill(server.pid, signal.SIGSTOP)
        with direct_read(1024 * 1024) as under_way:
            wait_until(lambda: is_waiting_for_the_disk(under_way.pid), "a request under way", DEADLINE_S)
            server.kill()
            assert under_way.wait(DEADLINE_S) != 0
        with direct_read() as later:
            assert later.wait(DEADLINE_S) != 0
    with (
        serving(images, tmp_path) as (socket, _),
        attached(socket, "-N", "ext4", "-readonly"),
        direct_read() as healthy,
    ):
        assert healthy.wait(DEADLINE_S) == 0


def test_a_server_that_stands_still_costs_an_error_after_the_clients_own_timeout(
    images: Images, tmp_path: Path
) -> None:
    with (
        serving(images, tmp_path) as (socket, server),
        attached(socket, "-N", "ext4", "-readonly", timeout=IMPATIENT_S),
    ):
        assert server.pid is not None
        os.kill(server.pid, signal.SIGSTOP)
        with direct_read() as waiting:
            assert waiting.wait(DEADLINE_S) != 0
