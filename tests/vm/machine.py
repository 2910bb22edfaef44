"""One QEMU guest from power-on to power-off: its console is streamed, its time is limited, it cannot outlive us."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.vm.guest_image import GuestImage

QEMU = "qemu-system-x86_64"
PROBE_SECONDS = 10.0
MEMORY_MB = 3072


class GuestTimeout(Exception):
    """The guest did not power itself off in time and was killed."""


@dataclass(frozen=True, slots=True)
class Accelerator:
    """How QEMU runs the guest's instructions, and the CPU it shows."""

    name: str
    arguments: tuple[str, ...]


KVM = Accelerator("kvm", ("-accel", "kvm", "-cpu", "host"))
EMULATION = Accelerator("tcg", ("-accel", "tcg,thread=multi", "-cpu", "max"))


def choose_accelerator(image: GuestImage) -> Accelerator:
    """KVM if it boots this kernel: the device's presence proves nothing, some hosts hang there."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return EMULATION
    lines: list[str] = []
    command = _command(KVM, image, disks=(), parameters="lambdad.probe", memory_mb=256)
    try:
        _run(command, PROBE_SECONDS, lines.append)
    except GuestTimeout:
        return EMULATION
    return KVM if any("guest is up" in line for line in lines) else EMULATION


def run_guest(
    accelerator: Accelerator, image: GuestImage, project: Path, timeout: float, on_line: Callable[[str], None]
) -> None:
    """Boot, wait for the guest to power off, give each line of its console to `on_line`.

    timeout: seconds. Raises `GuestTimeout`. The image's disk is not changed, the project's disk is.
    """
    disks = (f"file={image.disk},format=raw,if=virtio,snapshot=on", f"file={project},format=raw,if=virtio")
    _run(_command(accelerator, image, disks=disks, parameters="", memory_mb=MEMORY_MB), timeout, on_line)


def _command(
    accelerator: Accelerator, image: GuestImage, *, disks: Sequence[str], parameters: str, memory_mb: int
) -> list[str]:
    # setpriv: QEMU dies with us even when we are killed in a way that runs no `finally`.
    command = ["setpriv", "--pdeathsig", "KILL", QEMU, "-M", "q35", *accelerator.arguments]
    command += ["-smp", "2", "-m", str(memory_mb), "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"]
    command += ["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console", "-nic", "none"]
    command += ["-kernel", str(image.kernel), "-initrd", str(image.initramfs)]
    command += ["-append", f"console=ttyS0 quiet loglevel=3 panic=-1 {parameters}"]
    for disk in disks:
        command += ["-drive", disk]
    return command


def _run(command: list[str], timeout: float, on_line: Callable[[str], None]) -> None:
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    ) as process:
        expired = threading.Event()

        def expire() -> None:
            expired.set()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

        timer = threading.Timer(timeout, expire)
        timer.start()
        try:
            assert process.stdout is not None
            for line in process.stdout:
                on_line(line.decode(errors="replace").rstrip("\r\n"))
            process.wait()
        except BaseException:
            process.kill()
            raise
        finally:
            timer.cancel()
        if expired.is_set():
            raise GuestTimeout(f"the guest was killed after {timeout:.0f} s")
