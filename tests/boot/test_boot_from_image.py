"""A Debian made here, flattened into chunks, is a machine's disk: over NBD, vhost-user-blk and the kernel's NBD client.

One boot for all of it, for it takes its time under an emulated processor. Needs no root.
"""

from __future__ import annotations

import io
import os
import platform
import shutil
import tarfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.vm import guest_image, machine
from tests.vm.__main__ import TOOLS, why_no_image

from lambdad.block.vhost_user import DAEMON
from lambdad.image.build import BuildOptions
from lambdad.testing.image_blobs import make_image, write_layout
from lambdad.testing.image_build import build_file
from lambdad.testing.image_command import image_running, run_image

PROOF = "/usr/local/sbin/prove-disks"
PATIENCE = machine.Patience(total=600.0, silence=240.0)
MEMORY_MB = 1024


def missing() -> str:
    """Why no guest can be made and booted here; empty if it can."""
    if platform.machine() != "x86_64":
        return f"the guest is x86_64 and this machine is {platform.machine()}"
    tools = [tool for tool in (*TOOLS, DAEMON) if shutil.which(tool, path=search_path()) is None]
    return f"not installed: {' '.join(tools)}" if tools else why_no_image()


def search_path() -> str:
    return os.pathsep.join((os.environ["PATH"], "/usr/sbin", "/sbin"))


pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())


@dataclass(frozen=True, slots=True)
class Boot:
    """tree: the Debian, as a tar. lines: what the guest wrote on its console."""

    tree: bytes = field(repr=False)
    lines: list[str]

    @property
    def proofs(self) -> list[str]:
        return [line.removeprefix("proof: ") for line in self.lines if line.startswith("proof: ")]


@pytest.fixture(scope="module")
def boot(tmp_path_factory: pytest.TempPathFactory) -> Boot:
    directory = tmp_path_factory.mktemp("boot")
    try:
        return boot_from_image(directory)
    finally:
        shutil.rmtree(directory)  # hundreds of megabytes that nobody looks at


def boot_from_image(directory: Path) -> Boot:
    """The guest's whole life, from the image's birth on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", search_path())
        guest = guest_image.obtain_image()
    tree = guest.debian.read_bytes()
    layers = (tree, proof_layer())
    write_layout(directory / "layout", make_image(layers, compression=""))
    store = directory / "store"
    pulled = run_image(
        "pull", f"oci-layout:{directory}/layout", "--name", "debian", "--format", "ext4", "--store", store
    )
    assert pulled.returncode == 0, pulled.stderr
    plain = directory / "plain"
    build_file(layers, plain, BuildOptions(format="ext4"))
    lines: list[str] = []
    with ExitStack() as stack:
        serve = ("serve", "debian", "--store", store)
        root = stack.enter_context(image_running(*serve, "--nbd", "--socket", directory / "root", "--copy-on-write"))
        device = stack.enter_context(image_running(*serve, "--vhost-user", directory / "device"))
        export = stack.enter_context(image_running(*serve, "--nbd", "--port", "0"))
        hardware = make_hardware(root.line, plain, device.line, export.line.rpartition(":")[2])
        machine.run_guest(machine.choose_accelerator(guest), guest, hardware, PATIENCE, lines.append)
    print("\n".join(lines))
    return Boot(tree, lines)


def proof_layer() -> bytes:
    """A second layer, as an application has one: what the guest runs."""
    script = (Path(__file__).parent / "prove-disks.sh").read_bytes()
    member = tarfile.TarInfo(PROOF.lstrip("/"))
    member.size, member.mode = len(script), 0o755
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.addfile(member, io.BytesIO(script))
    return out.getvalue()


def make_hardware(root: str, plain: Path, device: str, port: str) -> machine.Hardware:
    """root: the URI of vda. plain: the file of vdb. device: the socket of vdc. port: of a server on this machine."""
    arguments = ["-drive", f"file={root},format=raw,if=none,id=root", "-device", "virtio-blk-pci,drive=root"]
    arguments += ["-drive", f"file={plain},format=raw,if=none,id=plain,readonly=on"]
    arguments += ["-device", "virtio-blk-pci,drive=plain"]
    # A vhost-user device reads the guest's memory itself, so that is shared.
    arguments += [
        "-object",
        f"memory-backend-memfd,id=memory,size={MEMORY_MB}M,share=on",
        "-numa",
        "node,memdev=memory",
    ]
    arguments += ["-chardev", f"socket,id=device,path={device}"]
    arguments += ["-device", "vhost-user-blk-pci,chardev=device,num-queues=1"]
    arguments += ["-nic", "user,model=virtio-net-pci"]
    parameters = f"lambdad.init={PROOF} lambdad.nbd={port}"
    return machine.Hardware(arguments=tuple(arguments), parameters=parameters, memory_mb=MEMORY_MB)


def test_a_machine_boots_from_the_nbd_export_and_is_the_debian_that_was_flattened(boot: Boot) -> None:
    assert "root is /dev/vda ext4" in boot.proofs
    begin, end = boot.lines.index("proof: os-release begins"), boot.lines.index("proof: os-release ends")
    with tarfile.open(fileobj=io.BytesIO(boot.tree)) as tar:
        member = next(member for member in tar if member.name.removeprefix("./") == "usr/lib/os-release")
        file = tar.extractfile(member)
        assert file is not None
        expected = file.read().decode().splitlines()
    assert boot.lines[begin + 1 : end] == expected
    assert "ID=debian" in expected
    assert "done" in boot.proofs


def test_what_the_guest_writes_to_its_root_it_reads_back(boot: Boot) -> None:
    assert "read back: written in the guest" in boot.proofs


def test_the_vhost_user_device_is_the_plain_image(boot: Boot) -> None:
    assert "vhost-user-blk equals the plain image" in boot.proofs


def test_the_kernels_own_nbd_client_reads_the_plain_image_and_mounts_it(boot: Boot) -> None:
    assert "kernel NBD is read-only: 1" in boot.proofs
    assert "kernel NBD equals the plain image" in boot.proofs
    assert "/etc is the same through both" in boot.proofs
