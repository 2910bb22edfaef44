"""`python -m tests.vm [--timeout SECONDS] [pytest arguments]`: the suites that need a kernel, in a guest.

Exit code: that of pytest in the guest; 124 if the guest took too long; 125 if it stopped without a result.
"""

from __future__ import annotations

import argparse
import os
import platform
import pwd
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.vm import guest_image, machine, project_disk

SUITES = (
    "tests/vm",
    "tests/kernel",
    "tests/conformance/test_sandbox.py",
    "tests/hostile/test_secrets.py",
    "tests/hostile/test_runtime_api.py",
)
"""What depends on control groups and namespaces. The attacks on resources are in the kernel suite, at the driver: under
an emulated processor a whole node takes minutes to fill a disk."""
PYTEST_OPTIONS = (
    "--ignore-glob=*test_pack_*",
    "--ignore-glob=*test_block_*",
    "--ignore-glob=*test_image_*",
    "--durations=15",
)
TOOLS = (machine.QEMU, "mmdebstrap", "mke2fs", "debugfs", "setpriv")
DEFAULT_TIMEOUT = 1200.0
SILENCE = 300.0
"""Seconds without a character: more than guest_watch gives to one test, so that it speaks first if it can."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.vm", description=__doc__)
    parser.add_argument("--timeout", type=float, default=DEFAULT_TIMEOUT, help="seconds that the guest may run")
    options, arguments = parser.parse_known_args()
    os.environ["PATH"] += os.pathsep + "/usr/sbin" + os.pathsep + "/sbin"
    if platform.machine() != "x86_64":
        print(f"the guest is x86_64 and this machine is {platform.machine()}: nothing was run")
        return 0
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        print(f"needed and not found: {', '.join(missing)}. `make test-vm` installs them.", file=sys.stderr)
        return 2
    if reason := why_no_image():
        print(f"skipped, the guest cannot be made here: {reason}")
        return 0
    names_tests = any(not argument.startswith("-") for argument in arguments)
    suites = [] if names_tests else [suite for suite in SUITES if (guest_image.REPOSITORY / suite).exists()]
    return _run([*PYTEST_OPTIONS, *arguments, *suites], options.timeout)


def why_no_image() -> str:
    """Why this user cannot unpack a system with its owners; empty if it can."""
    if os.geteuid() == 0:
        return ""
    name = pwd.getpwuid(os.geteuid()).pw_name
    try:
        ranges = [line.partition(":")[0] for line in Path("/etc/subuid").read_text().splitlines()]
    except OSError:
        ranges = []
    if name not in ranges or shutil.which("newuidmap") is None:
        return f"not root, and {name} has no range of user ids (the package uidmap, and a line in /etc/subuid)"
    return ""


def _run(arguments: list[str], timeout: float) -> int:
    started = time.monotonic()
    image = guest_image.obtain_image()
    accelerator = machine.choose_accelerator(image)
    print(f"image ready after {time.monotonic() - started:.0f} s; booting with {accelerator.name}", flush=True)
    try:
        try:
            return _run_once(accelerator, image, arguments, timeout)
        except machine.GuestSilent as error:
            # It has stopped as a machine, which is no test's doing: it gets a second one.
            print(f"{error}; what it printed is above", file=sys.stderr, flush=True)
            print("NOTICE: the guest stood still and was started again", flush=True)
            return _run_once(machine.SLOW_EMULATION, image, arguments, timeout)
    except machine.GuestTimeout as error:
        print(f"{error}; what it printed is above", file=sys.stderr)
        return 124


def _run_once(
    accelerator: machine.Accelerator, image: guest_image.GuestImage, arguments: list[str], timeout: float
) -> int:
    """One boot: the exit code of its pytest, or 125. Raises `GuestTimeout`."""
    with tempfile.TemporaryDirectory(prefix="lambdad-vm-") as temporary:
        disk = Path(temporary) / "project.ext4"
        project_disk.make(disk, guest_image.REPOSITORY, arguments)
        booted = time.monotonic()
        machine.run_guest(
            accelerator,
            image,
            machine.project_hardware(image, disk),
            machine.Patience(timeout, SILENCE),
            lambda line: print(line, flush=True),
        )
        print(f"the guest ran for {time.monotonic() - booted:.0f} s", flush=True)
        if "LAMBDAD_TEST_REPORT" in os.environ:  # as tests/conftest.py does on this side
            Path(os.environ["LAMBDAD_TEST_REPORT"]).write_bytes(project_disk.read_result(disk, "report.json") or b"[]")
        code = project_disk.read_result(disk, "exit")
    if code is None:
        print("the guest stopped without a result; what it printed is above", file=sys.stderr)
        return 125
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
