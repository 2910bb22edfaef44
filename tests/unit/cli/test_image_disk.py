"""`lambdad image serve` as others see it: NBD plain and over TLS, with writes that are forgotten, vhost-user-blk."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from lambdad.block import vhost_user
from lambdad.cli.errors import CliError
from lambdad.cli.image_disk import read_certificates
from lambdad.testing.certificates import Authority
from lambdad.testing.image_command import DEADLINE_S, image_running, run_image
from lambdad.testing.vhost_user import look_at

Command = Callable[..., tuple[int, str, str]]

QEMU_TOOLS = ("qemu-io", "qemu-nbd", "nbdcopy", "nbdinfo")
missing = [tool for tool in QEMU_TOOLS if shutil.which(tool) is None]
needs_tools = pytest.mark.skipif(bool(missing), reason=f"not installed: {' '.join(missing)}")
needs_daemon = pytest.mark.skipif(
    shutil.which(vhost_user.DAEMON) is None, reason=f"no {vhost_user.DAEMON}: install qemu-system-common"
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one image, called tree."""
    directory = tmp_path_factory.mktemp("store")
    (directory / "tree").mkdir()
    (directory / "tree" / "file").write_bytes(random.Random(3).randbytes(1_500_000))
    done = run_image("pull", f"dir:{directory}/tree", "--format", "ext4", "--store", directory / "store")
    assert done.returncode == 0, done.stderr
    return directory / "store"


def tool(*command: str | Path, status: int = 0) -> str:
    """What a program of others prints."""
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=DEADLINE_S, stdin=subprocess.DEVNULL
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


@needs_tools
def test_what_a_client_writes_is_its_own_and_forgotten_when_it_leaves(store: Path, tmp_path: Path) -> None:
    with image_running("serve", "tree", "--nbd", "--socket", tmp_path / "s", "--store", store) as plain:
        tool("nbdcopy", plain.line, tmp_path / "before")
    arguments = ("serve", "tree", "--nbd", "--socket", tmp_path / "s", "--copy-on-write", "--store", store)
    with image_running(*arguments) as server:
        commands = (
            "write -P 0x5a 4096 100000",
            "read -P 0x5a 4096 100000",
            "discard 0 65536",
            "read -P 0 0 65536",
            "flush",
        )
        written = tool("qemu-io", "-f", "raw", *(part for text in commands for part in ("-c", text)), server.line)
        assert "verification failed" not in written
        tool("nbdcopy", server.line, tmp_path / "after")
    assert (tmp_path / "after").read_bytes() == (tmp_path / "before").read_bytes()
    assert list((store / "spool").iterdir()) == []
    assert "0 broken" in run_image("verify", "tree", "--store", store).stdout


@needs_tools
def test_without_being_told_so_nobody_writes(store: Path, tmp_path: Path) -> None:
    with image_running("serve", "tree", "--nbd", "--socket", tmp_path / "s", "--store", store) as server:
        tool("qemu-io", "-f", "raw", "-c", "write 0 4096", server.line, status=1)


@needs_tools
@pytest.mark.parametrize("verified", [False, True], ids=["any client", "clients with certificates"])
def test_over_tls_the_image_is_the_same_and_in_the_clear_it_is_not_had(
    verified: bool, store: Path, tmp_path: Path
) -> None:
    authority = Authority("of the test")
    server, client, stranger = (tmp_path / name for name in ("server", "client", "stranger"))
    authority.write_server(server)
    authority.write_own(client)
    authority.write_own(stranger)
    authority.write_client(client)
    Authority("of another").write_client(stranger)
    if verified:
        authority.write_own(server)
    with image_running("serve", "tree", "--nbd", "--port", "0", "--tls", server, "--store", store) as serving:
        assert serving.line.startswith("nbds://127.0.0.1:")
        port = serving.line.rpartition(":")[2]
        assert int(tool("nbdinfo", "--size", f"{serving.line}?tls-certificates={client}")) > 1_500_000
        credentials = f"tls-creds-x509,id=tls,endpoint=client,dir={client}"
        listed = tool(
            "qemu-nbd", "--list", "-b", "localhost", "-p", port, "--object", credentials, "--tls-creds", "tls"
        )
        assert "exports available: 1" in listed
        tool("nbdinfo", "--size", f"nbd://127.0.0.1:{port}", status=1)
        tool("nbdinfo", "--size", f"{serving.line}?tls-certificates={stranger}", status=1 if verified else 0)


def test_certificates_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(CliError, match=r"it needs server-cert\.pem and server-key\.pem"):
        read_certificates(tmp_path)
    (tmp_path / "server-cert.pem").write_text("noise")
    (tmp_path / "server-key.pem").write_text("noise")
    with pytest.raises(CliError, match="no certificates in"):
        read_certificates(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "say how to serve it: --nbd, or --vhost-user SOCKET"),
        (("--nbd", "--vhost-user", "v"), "say how to serve it"),
        (("--vhost-user", "v", "--socket", "s"), "--socket and --tls are for --nbd"),
        (("--nbd", "--host", "0.0.0.0"), "give --tls with certificates"),
        (("--nbd", "--host", "disks.example.com"), "give --tls with certificates"),
        (("--nbd", "--socket", "/dev/null"), "/dev/null exists: take another path"),
        (("--vhost-user", "/dev/null"), "/dev/null exists: take another path"),
        (("--vhost-user", "/" + "x" * 200), "shorter path"),
    ],
)
def test_what_cannot_be_served_is_refused_with_the_reason(
    arguments: tuple[str, ...], reason: str, store: Path, lambdad: Command
) -> None:
    status, out, err = lambdad("image", "serve", "tree", *arguments, "--store", str(store))
    assert (status, out) == (1, "")
    assert reason in err


@needs_daemon
@pytest.mark.parametrize("options", [(), ("--copy-on-write",)], ids=["read-only", "copy on write"])
def test_a_vhost_user_device_has_the_size_of_the_image_and_goes_away(
    options: tuple[str, ...], store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = tmp_path / "disk"
    with tempfile.TemporaryDirectory() as temporary:  # a short path, for a socket
        monkeypatch.setenv("TMPDIR", temporary)
        with image_running("serve", "tree", "--vhost-user", disk, *options, "--store", store) as server:
            assert server.line == str(disk)
            assert os.listdir(temporary) == []  # so that a kill leaves nothing
            device = look_at(disk)
            assert device.size > 1_500_000
            assert device.is_read_only == (not options)
        assert not disk.exists()


@needs_daemon
def test_a_device_whose_daemon_dies_ends_the_command_with_the_reason(store: Path, tmp_path: Path) -> None:
    with image_running("serve", "tree", "--vhost-user", tmp_path / "disk", "--store", store) as server:
        children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
        (daemon,) = (int(child) for child in children)
        os.kill(daemon, signal.SIGKILL)
        assert server.process.stdout is not None
        assert "qemu-storage-daemon ended with status -9" in server.process.stdout.read()
        assert server.process.wait(DEADLINE_S) == 1


def test_a_taken_port_is_a_line_and_no_traceback(store: Path, lambdad: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        status, out, err = lambdad("image", "serve", "tree", "--nbd", "--port", port, "--store", str(store))
    assert (status, out) == (1, "")
    assert "in use" in err
    assert len(err.splitlines()) == 1
