"""One QEMU guest from power-on to power-off: its console is streamed, its time is limited, it cannot outlive us.

A guest that stands still is first made to tell where (see `autopsy`), then killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.vm import autopsy
from tests.vm.guest_image import GuestImage

QEMU = "qemu-system-x86_64"
PROBE_SECONDS = 10.0
MEMORY_MB = 3072


class GuestTimeout(Exception):
    """The guest did not power itself off in time and was killed."""


class GuestSilent(GuestTimeout):
    """The guest said nothing for too long and was killed."""


@dataclass(frozen=True, slots=True)
class Accelerator:
    """How QEMU runs the guest's instructions, and the CPU it shows."""

    name: str
    arguments: tuple[str, ...]


KVM = Accelerator("kvm", ("-accel", "kvm", "-cpu", "host"))
EMULATION = Accelerator("tcg", ("-accel", "tcg,thread=multi", "-cpu", "max"))
"""A thread for each emulated processor. QEMU 7.2 may translate code that another processor is just patching, as Linux
does whenever a static key is switched: the processor then meets the patch's breakpoint for ever, interrupts off and its
run queue locked, and the guest stands still. Rare; rarer since guest-init.sh keeps the key for quotas on."""
SLOW_EMULATION = Accelerator("tcg in one thread", ("-accel", "tcg,thread=single", "-cpu", "max"))
"""Cannot stand still in that way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """arguments: of QEMU, such as disks in the order of their names in the guest. parameters: of the kernel."""

    arguments: tuple[str, ...] = ()
    parameters: str = ""
    memory_mb: int = MEMORY_MB


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds. silence: without a character on the console. last_words: for what it prints after the interrupt."""

    total: float
    silence: float
    last_words: float = 20.0


def choose_accelerator(image: GuestImage) -> Accelerator:
    """KVM if it boots this kernel: the device's presence proves nothing, some hosts hang there."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return EMULATION
    lines: list[str] = []
    hardware = Hardware(parameters="lambdad.probe", memory_mb=256)
    with _start(_command(KVM, image, hardware)) as process:
        timer = threading.Timer(PROBE_SECONDS, _kill, (process,))
        timer.start()
        try:
            _read_console(process, lambda _: None, lines.append)
        finally:
            timer.cancel()
    return KVM if any("guest is up" in line for line in lines) else EMULATION


def run_guest(
    accelerator: Accelerator, image: GuestImage, hardware: Hardware, patience: Patience, on_line: Callable[[str], None]
) -> None:
    """Boot, wait for the guest to power off, give each line of its console to `on_line`.

    Raises `GuestTimeout` or `GuestSilent`, after what the autopsy found went to `on_line` as well.
    """
    with tempfile.TemporaryDirectory(prefix="lambdad-guest-") as directory:
        monitor = Path(directory) / "monitor"
        command = [*_command(accelerator, image, hardware), "-monitor", f"unix:{monitor},server=on,wait=off"]
        with _start(command) as process:
            watch = _Watch(process, monitor, patience, on_line)
            try:
                _read_console(process, watch.hear, on_line)
                process.wait()
            finally:
                _kill(process)
                watch.stop()
            if watch.verdict is not None:
                raise watch.verdict


class _Watch:
    """A thread that ends a guest which has no time left. verdict: why it did, if it did."""

    def __init__(
        self, process: subprocess.Popen[bytes], monitor: Path, patience: Patience, on_line: Callable[[str], None]
    ) -> None:
        self.verdict: GuestTimeout | None = None
        self._process = process
        self._monitor = monitor
        self._patience = patience
        self._on_line = on_line
        self._heard = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def hear(self, _: bytes) -> None:
        self._heard = time.monotonic()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        end = time.monotonic() + self._patience.total
        while not self._over.wait(max(0.0, min(end, self._heard + self._patience.silence) - time.monotonic())):
            if time.monotonic() >= end:
                self.verdict = GuestTimeout(f"the guest was killed after {self._patience.total:.0f} s")
            elif time.monotonic() >= self._heard + self._patience.silence:
                silence = f"{self._patience.silence:.0f} s"
                self.verdict = GuestSilent(f"the guest was killed: it had said nothing for {silence}")
            else:
                continue
            for line in autopsy.examine(self._process.pid, self._monitor):
                self._on_line(line)
            # It panics now and says where all its tasks are; then QEMU ends by itself, if it still can.
            self._over.wait(self._patience.last_words)
            _kill(self._process)
            return


def project_hardware(image: GuestImage, project: Path) -> Hardware:
    """The root disk, which is not changed, and the project's, which is."""
    disks = (f"file={image.disk},format=raw,if=virtio,snapshot=on", f"file={project},format=raw,if=virtio")
    return Hardware(arguments=tuple(argument for disk in disks for argument in ("-drive", disk)))


def _command(accelerator: Accelerator, image: GuestImage, hardware: Hardware) -> list[str]:
    # setpriv: QEMU dies with us even when we are killed in a way that runs no `finally`.
    command = ["setpriv", "--pdeathsig", "KILL", QEMU, "-M", "q35", *accelerator.arguments]
    command += ["-smp", "2", "-m", str(hardware.memory_mb), "-nodefaults", "-no-user-config", "-no-reboot"]
    command += ["-display", "none", "-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"]
    command += ["-kernel", str(image.kernel), "-initrd", str(image.initramfs)]
    command += ["-append", f"console=ttyS0 quiet loglevel=3 panic=-1 {autopsy.PARAMETERS} {hardware.parameters}"]
    if not any(argument in ("-nic", "-netdev") for argument in hardware.arguments):
        command += ["-nic", "none"]
    return [*command, *hardware.arguments]


def _start(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )


def _read_console(
    process: subprocess.Popen[bytes], on_bytes: Callable[[bytes], None], on_line: Callable[[str], None]
) -> None:
    """Until the guest's end. The last line may have no end."""
    assert process.stdout is not None
    rest = b""
    while piece := os.read(process.stdout.fileno(), 65536):
        on_bytes(piece)
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            on_line(_text(line))
    if rest:
        on_line(_text(rest))


def _text(line: bytes) -> str:
    return line.decode(errors="replace").rstrip("\r")


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
