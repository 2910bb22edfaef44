"""Debian packages installed for real on a base, and what that changed.

As root, dpkg runs the maintainer scripts inside the base under an overlay (or a copy, where the file system cannot
carry one), in namespaces of its own, so alternatives and triggers have their effect and nothing can be left mounted.
Without root, or for another processor, packages are only unpacked and their scripts are named. Either way the result
is the set of files that differ from the base.
"""

from __future__ import annotations

import filecmp
import os
import posixpath
import shutil
import stat
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lambdad.pack.base import Base, copy_base
from lambdad.pack.errors import PackError
from lambdad.pack.process import ToolFailed, can_execute, clean_environment, find_tool, run_tool, tool_output
from lambdad.pack.relocate import BEGINNING, canonical
from lambdad.pack.target import Arch

_DPKG = """
set -eu
root=$1; shift
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty; do
  touch "$root/dev/$device"; mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir -p "$root/usr/sbin"
printf '#!/bin/sh\\nexit 101\\n' > "$root/usr/sbin/policy-rc.d"; chmod 755 "$root/usr/sbin/policy-rc.d"
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin
dpkg --root="$root" --force-depends --force-unsafe-io --force-confnew \\
  --path-exclude='/usr/share/man/*' --path-exclude='/usr/share/info/*' --path-exclude='/usr/share/locale/*' \\
  --path-exclude='/usr/share/doc/*' --path-include='/usr/share/doc/*/copyright' --no-triggers --unpack "$@"
dpkg --root="$root" --force-depends --force-unsafe-io --force-confnew --configure --pending
rm -f "$root/usr/sbin/policy-rc.d"
umount -l "$root/proc" "$root/dev"
"""
_OVERLAY = 'mount -t overlay overlay -o "lowerdir=$1,upperdir=$2,workdir=$3" "$4"; shift 3\n'
_NAMESPACES = ("--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--net", "--ipc", "--uts")

DROPPED = (
    "usr/share/man", "usr/share/info", "usr/share/locale", "usr/share/lintian", "usr/share/bug", "usr/share/menu",
    "usr/share/bash-completion", "usr/share/zsh", "usr/share/applications", "usr/share/doc-base", "usr/share/pixmaps",
    "usr/share/icons", "usr/share/gdb", "usr/share/perl5/Debian", "usr/lib/systemd", "usr/lib/tmpfiles.d",
    "usr/lib/sysusers.d", "usr/lib/udev", "var/lib/dpkg", "var/lib/apt", "var/lib/systemd", "var/lib/ucf", "var/cache",
    "var/log", "etc/systemd", "etc/init.d", "etc/rc0.d", "etc/rc1.d", "etc/rc2.d", "etc/rc3.d", "etc/rc4.d",
    "etc/rc5.d", "etc/rc6.d", "etc/rcS.d", "etc/cron.d", "etc/cron.daily", "etc/cron.hourly", "etc/cron.weekly",
    "etc/logrotate.d", "etc/mtab", "etc/passwd-", "etc/shadow-", "etc/group-", "etc/gshadow-", "etc/.pwd.lock",
    "srv", "etc/default", "etc/bash_completion.d", "etc/apparmor.d", "etc/ufw", "etc/ld.so.cache",
    "etc/machine-id", "var/lib/dbus", "etc/ssl/private", "run", "tmp", "dev", "proc", "sys", "root", "home",
)  # fmt: skip
"""What a layer never carries: documentation, other systems' integration, caches that embed times, dpkg's state, and
what scripts make at random for one machine (its id, its keys): a secret, and other bytes in every build.
"""


@dataclass(frozen=True, slots=True)
class Change:
    """A path that the packages brought. origin: where it stands in the base's world; host: where it is now."""

    origin: str
    host: Path
    mode: int
    package: str
    """With its source in front, such as `apt:git`; nothing if no package owns it."""


@dataclass(slots=True)
class Installed:
    """What installing did. changes: new paths, and new content of the base's libraries, by origin, sorted.

    owned: origins that the base does not have; altered: the base's own files that scripts changed and a layer
    cannot carry; warnings: sentences.
    """

    changes: list[Change] = field(default_factory=list)
    owned: set[str] = field(default_factory=set)
    altered: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    library_directories: list[str] = field(default_factory=list)
    foreign: frozenset[str] = frozenset()
    """The first characters of paths that the base has, for strings that a compiler cut off."""

    def plus(self, other: Installed) -> Installed:
        """Both together. Raises PackError if they bring one path that is not a directory of both."""
        mine = {change.origin: change for change in self.changes}
        for change in other.changes:
            same = mine.get(change.origin)
            if same is not None and not (stat.S_ISDIR(same.mode) and stat.S_ISDIR(change.mode)):
                raise PackError(
                    f"{change.origin} comes from {same.package} and from {change.package}: take one of them"
                )
        changes = {**{change.origin: change for change in other.changes}, **mine}
        return Installed(
            changes=[changes[origin] for origin in sorted(changes)],
            owned=self.owned | other.owned,
            altered=self.altered + other.altered,
            warnings=self.warnings + other.warnings,
            library_directories=self.library_directories + other.library_directories,
            foreign=self.foreign | other.foreign,
        )


def can_run_scripts(arch: Arch) -> bool:
    """Whether maintainer scripts of `arch` can run here, as root, in a changed root."""
    if os.geteuid() != 0 or shutil.which("dpkg") is None or shutil.which("unshare") is None:
        return False
    return can_execute(arch)


def install(base: Base, archives: Sequence[Path], scratch: Path) -> Installed:
    """Install `archives` on `base` with everything that is written kept in `scratch`."""
    if not archives:
        return Installed()
    if can_run_scripts(base.arch):
        tree, warnings = _install_for_real(base, archives, scratch), list[str]()
    else:
        tree, warnings = _unpack(base, archives, scratch)
    owners = {path: f"apt:{package}" for path, package in file_owners(tree / "var/lib/dpkg/info").items()}
    found = differences(base, tree, owners)
    found.warnings[:0] = warnings
    return found


def _install_for_real(base: Base, archives: Sequence[Path], scratch: Path) -> Path:
    unshare = [find_tool("unshare", "the Debian package util-linux"), *_NAMESPACES, "--", "/bin/sh", "-c"]
    upper, work, merged = (scratch / name for name in ("upper", "work", "merged"))
    for directory in (upper, work, merged):
        directory.mkdir()
    names = [str(path) for path in archives]
    lower = str(base.rootfs)
    if can_overlay(lower, scratch):
        argv = [*unshare, _OVERLAY + _DPKG, "sh", lower, str(upper), str(work), str(merged), *names]
        result = upper
    else:
        copy_base(base, merged)
        argv = [*unshare, _DPKG, "sh", str(merged), *names]
        result = merged
    try:
        run_tool(argv, environment=clean_environment())
    except ToolFailed as error:
        raise PackError(f"installing the packages on {base.name} failed:\n{error.output}") from None
    return result


def can_overlay(lower: str, scratch: Path) -> bool:
    """Whether an overlay can be mounted with its upper directory in `scratch`."""
    if any(character in f"{lower}{scratch}" for character in ":,\\\"'$`"):
        return False
    probe = scratch / "probe"
    parts = [probe / name for name in ("upper", "work", "merged")]
    for part in parts:
        part.mkdir(parents=True)
    try:
        run_tool(
            ["unshare", "--mount", "--propagation", "private", "/bin/sh", "-c", f"set -e\n{_OVERLAY}", "sh", lower]
            + [str(part) for part in parts]
        )
    except PackError:
        return False
    return True


def _unpack(base: Base, archives: Sequence[Path], scratch: Path) -> tuple[Path, list[str]]:
    """Unpack without scripts; dpkg's file lists are written as dpkg would."""
    tree = scratch / "unpacked"
    info = tree / "var/lib/dpkg/info"
    info.mkdir(parents=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        (tree / "usr" / name).mkdir(parents=True, exist_ok=True)
        (tree / name).symlink_to(f"usr/{name}")
    tool = find_tool("dpkg-deb", "the Debian package dpkg")
    skipped = []
    for archive in archives:
        paths = unpack_deb(archive, tree)
        run_tool([tool, "-e", str(archive), str(scratch / "control")])
        control = scratch / "control"
        name = next(
            line[9:].strip() for line in (control / "control").read_text().splitlines() if line.startswith("Package: ")
        )
        if (control / "postinst").exists() or (control / "preinst").exists():
            skipped.append(name)
        shutil.rmtree(control)
        (info / f"{name}.list").write_text("\n".join(paths) + "\n")
    why = "not root" if can_execute(base.arch) else f"this machine is not {base.arch.lambda_name}"
    warnings = [f"scripts were not run ({why}) for: {', '.join(skipped)}"] if skipped else []
    return tree, warnings


def unpack_deb(archive: Path, directory: Path) -> list[str]:
    """Unpack a Debian package into `directory`, through its links for merged /usr; the paths in it (`/usr/bin/git`)."""
    with tempfile.TemporaryDirectory(prefix="lambdad-deb-") as scratch:
        data = Path(scratch) / "data.tar"
        data.write_bytes(
            tool_output([find_tool("dpkg-deb", "the Debian package dpkg"), "--fsys-tarfile", str(archive)])
        )
        # dpkg-deb -x would put a directory in place of a link such as /lib
        run_tool(["tar", "-x", "-p", "--keep-directory-symlink", "-f", str(data), "-C", str(directory)])
        with tarfile.open(data) as tar:
            return [f"/{member.name.removeprefix('./')}" for member in tar]


def file_owners(info: Path) -> dict[str, str]:
    """Canonical path to package, from dpkg's `*.list` files; directories belong to whoever is read last."""
    owners: dict[str, str] = {}
    for path in sorted(info.glob("*.list")):
        package = path.name.removesuffix(".list").partition(":")[0]
        for line in path.read_text(errors="surrogateescape").splitlines():
            owners[canonical(line)] = package
    return owners


def differences(base: Base, tree: Path, owners: Mapping[str, str]) -> Installed:
    """What is in `tree` and not, or not the same, in `base`."""
    found = Installed(foreign=frozenset(path[:BEGINNING] for path in _shallow_paths(base.rootfs)))
    for origin, host, mode in _walk(tree, tree):
        relative = origin.lstrip("/")
        if any(relative == dropped or relative.startswith(dropped + "/") for dropped in DROPPED):
            continue
        if (
            "/__pycache__" in origin
            or origin.startswith("/etc/ssh/ssh_host_")
            or (relative.startswith("usr/share/doc/") and not _is_kept_doc(relative, mode))
        ):
            continue
        old = base.rootfs / relative
        existed = os.path.lexists(old)
        if existed and _same(old, host, mode):
            continue
        if relative.startswith("etc/ld.so.conf.d/") and stat.S_ISREG(mode):
            found.library_directories += [line for line in host.read_text().split() if line.startswith("/")]
            continue
        if existed:
            if _is_library(relative) and stat.S_ISREG(mode):
                found.changes.append(Change(origin, host, mode, _owner(origin, owners)))
            elif not stat.S_ISDIR(mode):
                found.altered.append(origin)
            continue
        if stat.S_ISREG(mode) or stat.S_ISLNK(mode) or stat.S_ISDIR(mode):
            found.changes.append(Change(origin, host, mode, _owner(origin, owners)))
            found.owned.add(origin)
        elif not (stat.S_ISCHR(mode) and host.lstat().st_rdev == 0):  # overlayfs's whiteout
            found.warnings.append(f"{origin}: devices, sockets and pipes cannot be in a layer")
    if found.altered:
        found.warnings.append(f"the packages changed files of the base, which a layer cannot: {_few(found.altered)}")
    return found


def _shallow_paths(rootfs: Path) -> Iterator[str]:
    """Paths of the base, no deeper than eight characters can name."""
    for top in ("usr", "etc", "var"):
        for pattern in ("*", "?/*", "??/*"):
            for path in (rootfs / top).glob(pattern):
                yield f"/{path.relative_to(rootfs)}"


def _walk(tree: Path, here: Path) -> Iterator[tuple[str, Path, int]]:
    for name in sorted(os.listdir(here)):  # noqa: PTH208 - names only
        host = here / name
        mode = host.lstat().st_mode
        origin = "/" + str(host.relative_to(tree))
        if canonical(origin) != origin:
            continue  # the merged-/usr links themselves
        yield origin, host, mode
        if stat.S_ISDIR(mode):
            yield from _walk(tree, host)


def _same(old: Path, new: Path, mode: int) -> bool:
    info = old.lstat()
    if stat.S_IFMT(info.st_mode) != stat.S_IFMT(mode):
        return False
    if stat.S_ISDIR(mode):
        return True
    if stat.S_ISLNK(mode):
        return old.readlink() == new.readlink()
    return stat.S_ISREG(mode) and info.st_size == new.lstat().st_size and filecmp.cmp(old, new, shallow=False)


def _is_library(relative: str) -> bool:
    return relative.startswith("usr/lib") and ".so" in posixpath.basename(relative)


def _is_kept_doc(relative: str, mode: int) -> bool:
    """Licences stay: a layer hands out Debian's binaries. A directory stays for the sake of what is in it."""
    return posixpath.basename(relative) == "copyright" or stat.S_ISDIR(mode)


def _owner(origin: str, owners: Mapping[str, str]) -> str:
    while origin not in owners and origin.rfind("/") > 0:
        origin = origin[: origin.rfind("/")]
    return owners.get(origin, "")


def _few(paths: Sequence[str]) -> str:
    shown = ", ".join(paths[:8])
    return shown if len(paths) <= 8 else f"{shown} and {len(paths) - 8} more"
