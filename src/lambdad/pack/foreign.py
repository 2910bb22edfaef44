"""Bases for a processor that this machine is not: packages unpacked, no script run.

What the scripts of the essential packages would have made and a function needs is made here: users, the bundle of
certificates, a few names. Layers are resolved, linked and checked against such a base; their tests need the real
processor, or an emulator that the kernel knows.
"""

from __future__ import annotations

import os
from pathlib import Path

from lambdad.pack.apt import Apt
from lambdad.pack.base import (
    INCLUDE,
    Base,
    build_base,
    describe_base,
    open_base,
    shape_like_lambda,
    suite_of,
)
from lambdad.pack.cache import Cache, remove_tree
from lambdad.pack.errors import PackError
from lambdad.pack.install import unpack_deb
from lambdad.pack.process import can_execute, clean_environment, find_tool, run_tool
from lambdad.pack.target import Arch


def make_base(
    directory: Path, name: str, arch: Arch, cache: Cache, include: tuple[str, ...] = INCLUDE
) -> tuple[Base, str]:
    """Make a base in the way that this machine can; the base, and a sentence on what it lacks (empty: nothing)."""
    if can_execute(arch):
        return build_base(directory, name, arch, include), ""
    base = unpack_base(directory, name, arch, cache, include)
    return base, f"no script was run: this machine cannot execute {arch.lambda_name} programs (qemu-user-static can)"


def unpack_base(directory: Path, name: str, arch: Arch, cache: Cache, include: tuple[str, ...] = INCLUDE) -> Base:
    """Make the base `name` in `directory`, which must not exist, by unpacking Debian's essential packages."""
    suite = suite_of(name)
    if directory.exists():
        raise PackError(f"{directory} already exists: remove it, or build elsewhere")
    partial = directory.with_name(f"{directory.name}.partial-{os.getpid()}")
    rootfs = partial / "rootfs"
    try:
        (rootfs / "var/lib/dpkg").mkdir(parents=True)
        (rootfs / "var/lib/dpkg/status").write_text("")
        for part in ("bin", "sbin", "lib", "lib64"):
            (rootfs / "usr" / part).mkdir(parents=True, exist_ok=True)
            (rootfs / part).symlink_to(f"usr/{part}")
        (rootfs / "dev").mkdir()
        (partial / "base.json").write_text(describe_base(name, arch, {}))
        apt = Apt(Base(partial, name, suite, arch, ""), cache)
        archives = apt.files(apt.fetch(apt.resolve(("?essential", *include))))
        packages = _unpack(archives, rootfs)
        _stand_in_for_scripts(rootfs)
        shape_like_lambda(rootfs, arch)
        (partial / "base.json").write_text(describe_base(name, arch, packages))
        partial.rename(directory)
    finally:
        remove_tree(partial)
    return open_base(directory)


def _unpack(archives: list[Path], rootfs: Path) -> dict[str, str]:
    tool = find_tool("dpkg-deb", "the Debian package dpkg")
    paragraphs: list[str] = []
    packages: dict[str, str] = {}
    for archive in archives:
        unpack_deb(archive, rootfs)
        control = run_tool([tool, "-f", str(archive)], environment=clean_environment()).strip()
        paragraphs.append(as_installed(control))
        fields = dict(line.split(": ", 1) for line in control.splitlines() if ": " in line and line[0] != " ")
        packages[fields["Package"]] = fields["Version"]
    (rootfs / "var/lib/dpkg/status").write_text("\n\n".join(paragraphs) + "\n")
    return packages


def as_installed(control: str) -> str:
    """A package's control paragraph as dpkg's list has it."""
    first, _, rest = control.partition("\n")
    return f"{first}\nStatus: install ok installed\n{rest}"


def _stand_in_for_scripts(rootfs: Path) -> None:
    masters = rootfs / "usr/share/base-passwd"
    for name in ("passwd", "group"):
        master = masters / f"{name}.master"
        if master.exists():
            (rootfs / "etc" / name).write_text(master.read_text())
    certificates = sorted((rootfs / "usr/share/ca-certificates").rglob("*.crt"))
    if certificates:
        bundle = rootfs / "etc/ssl/certs/ca-certificates.crt"
        bundle.parent.mkdir(parents=True, exist_ok=True)
        bundle.write_text("".join(path.read_text() for path in certificates))
    for link, target in (("usr/bin/awk", "mawk"), ("usr/bin/sh", "dash")):
        if not os.path.lexists(rootfs / link) and (rootfs / "usr/bin" / target).exists():
            (rootfs / link).symlink_to(target)
