"""The guest's kernel, initramfs and root disk: Debian 12 with the project's dependencies, made by mmdebstrap.

The project itself is not in it (see `project_disk`), so that a change of the source costs no new image. Works as root
and, through mmdebstrap's user namespaces, as an ordinary user.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from tests.vm import initramfs

from lambdad.testing.kept import content_key, obtain

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]

SUITE = "bookworm"
PYTHON = "3.11"
DISK_SIZE = "3G"
PACKAGES = (
    "python3",
    "iproute2",
    "nftables",
    "e2fsprogs",
    "erofs-utils",
    "fuse3",
    "kmod",
    "procps",
    "curl",
    "psmisc",
    "strace",
    "nbd-client",
)
BOOT_MODULES = (
    "virtio_ring",
    "virtio",
    "virtio_pci_modern_dev",
    "virtio_pci_legacy_dev",
    "virtio_pci",
    "virtio_blk",
)
"""Loaded from the initramfs, in this order."""

GUEST_TOOLS = ("pytest", "hypothesis")
"""What the guest's test run needs of the dependency group `dev`."""

PLATFORMS = ("manylinux_2_34_x86_64", "manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64", "any")
SITE_PACKAGES = f"/usr/local/lib/python{PYTHON}/dist-packages"


@dataclass(frozen=True, slots=True)
class GuestImage:
    """What QEMU boots. disk: to be used with a snapshot, never written. debian: a tar of its tree for other images."""

    kernel: Path
    initramfs: Path
    disk: Path
    debian: Path


def obtain_image() -> GuestImage:
    """From the cache, or made anew (minutes, with downloads) if something that it is made of has changed."""
    pins = pinned_requirements()
    directory = obtain("guest", _key(pins), lambda target: _build(target, pins))
    return GuestImage(
        kernel=directory / "vmlinuz",
        initramfs=directory / "initramfs.cpio",
        disk=directory / "root.ext4",
        debian=directory / "debian.tar",
    )


def pinned_requirements() -> list[str]:
    """The guest's Python packages with the versions of this environment: `name==version`, sorted.

    A package that is a dependency only under the guest's Python has no version here and stays without one.
    """
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    wanted = [Requirement(line) for line in (*project["project"]["dependencies"], *GUEST_TOOLS)]
    environment = {"python_version": PYTHON, "python_full_version": f"{PYTHON}.2", "extra": ""}
    pins: dict[str, str] = {}
    while wanted:
        requirement = wanted.pop()
        name = requirement.name.lower().replace("_", "-")
        if name in pins:
            continue
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            pins[name] = name
            continue
        pins[name] = f"{name}=={distribution.version}"
        for line in distribution.requires or ():
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate(environment):
                wanted.append(needed)
    return sorted(pins.values())


def _key(pins: list[str]) -> str:
    scripts = (HERE / "early-init.sh", HERE / "guest-init.sh", HERE / "customize-root.sh", Path(__file__))
    return content_key([path.read_bytes() for path in scripts] + [pin.encode() for pin in pins])


def _build(target: Path, pins: list[str]) -> None:
    print("making the guest's image: Debian's packages, kernel and the Python dependencies ...", flush=True)
    with tempfile.TemporaryDirectory(prefix="lambdad-guest-") as temporary:
        site_packages = Path(temporary) / "site-packages"
        _install_python_packages(site_packages, pins)
        _bootstrap(target, site_packages)
    modules = {f"modules/{name}.ko": (target / "modules" / f"{name}.ko").read_bytes() for name in BOOT_MODULES}
    files = {
        "init": (HERE / "early-init.sh").read_bytes(),
        "bin/busybox": (target / "busybox").read_bytes(),
        "modules/order": "\n".join(BOOT_MODULES).encode() + b"\n",
        **modules,
    }
    (target / "initramfs.cpio").write_bytes(initramfs.build_archive(files, executable=("init", "bin/busybox")))


def _install_python_packages(site_packages: Path, pins: list[str]) -> None:
    """Wheels for the guest's interpreter, whatever interpreter this is."""
    command = [sys.executable, "-m", "pip", "install", "-qq", "--no-compile", "--no-deps", "--only-binary=:all:"]
    command += ["--disable-pip-version-check", "--root-user-action=ignore", "--target", str(site_packages)]
    command += ["--python-version", PYTHON, "--implementation", "cp"]
    command += [f"--abi={abi}" for abi in (f"cp{PYTHON.replace('.', '')}", "abi3", "none")]
    command += [f"--platform={platform}" for platform in PLATFORMS]
    subprocess.run([*command, *pins], check=True, stdin=subprocess.DEVNULL)
    # The project is on a disk of its own; its command is one line there.
    (site_packages / "lambdad-source.pth").write_text("/lambdad/src\n")


def _bootstrap(target: Path, site_packages: Path) -> None:
    command = ["mmdebstrap", "--quiet", "--variant=minbase", "--format=null", f"--include={','.join(PACKAGES)}"]
    hooks = [
        f'mkdir -p "$1{SITE_PACKAGES}"',
        f'sync-in "{site_packages}" "{SITE_PACKAGES}"',
        f'upload "{HERE / "guest-init.sh"}" /usr/local/sbin/guest-init',
        'chmod 755 "$1/usr/local/sbin/guest-init"',
        f'"{HERE / "customize-root.sh"}" "$1"',
    ]
    command += [f"--customize-hook={hook}" for hook in hooks]
    environment = {"OUT": str(target), "BOOT_MODULES": " ".join(BOOT_MODULES), "DISK_SIZE": DISK_SIZE}
    subprocess.run([*command, SUITE, "-"], check=True, stdin=subprocess.DEVNULL, env={**os.environ, **environment})
