"""Base root file systems that look like Lambda's: made from Debian packages, as a directory.

A base is a directory with `rootfs/` and `base.json`. It has AWS's paths, the user `sbx_user1051`, and the system's
shared objects under /lib64, where `LD_LIBRARY_PATH` looks first, so that a library of the system wins over one of a
layer exactly as it does on AWS. It keeps dpkg's database: that is how a layer knows what it need not carry.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lambdad.pack.cache import remove_tree
from lambdad.pack.errors import PackError
from lambdad.pack.process import clean_environment, find_tool, run_tool
from lambdad.pack.target import Arch, arch_named
from lambdad.pack.tree import Place, Root

FORMAT = 1
SANDBOX_USER = "sbx_user1051"
SANDBOX_UID = 993
SANDBOX_GID = 990
DIRECTORIES = ("var/task", "var/runtime", "var/lang", "opt", "tmp", "dev", "proc", "sys", "run")
INCLUDE = ("ca-certificates", "curl", "openssl")
SUITES: Mapping[str, str] = {"debian12": "bookworm", "debian13": "trixie"}

_INTERPRETER = re.compile(r"python3\.\d+|node")
_REMOVED = (
    "usr/share/doc", "usr/share/man", "usr/share/info", "usr/share/lintian", "usr/share/locale", "usr/share/bug",
    "usr/share/bash-completion", "usr/share/menu", "usr/share/common-licenses", "var/cache", "var/log", "var/lib/apt",
    "var/lib/dpkg/info.old", "etc/apt", "boot", "media", "mnt", "srv", "home",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Base:
    """A base that exists. digest: of its packages and of how it was made; packages: name to version."""

    directory: Path
    name: str
    suite: str
    arch: Arch
    digest: str
    packages: Mapping[str, str] = field(default_factory=dict)

    @property
    def rootfs(self) -> Path:
        return self.directory / "rootfs"

    @property
    def status(self) -> Path:
        """dpkg's list of what is installed."""
        return self.rootfs / "var/lib/dpkg/status"

    def root(self, *layers: Path, code: Path | None = None) -> Root:
        """The tree that a function sees: this base, `layers` at /opt (the last wins), `code` at /var/task."""
        places = [Place("/", (self.rootfs,))]
        if layers:
            places.append(Place("/opt", tuple(reversed(layers))))
        if code is not None:
            places.append(Place("/var/task", (code,)))
        return Root(*places)


def open_base(directory: Path) -> Base:
    """The base in a directory. Raises PackError."""
    try:
        table = json.loads((directory / "base.json").read_text())
        if table["format"] != FORMAT:
            raise PackError(f"{directory}: format {table['format']!r} is not {FORMAT}; build the base again")
        return Base(
            directory,
            str(table["name"]),
            str(table["suite"]),
            arch_named(str(table["arch"])),
            str(table["digest"]),
            {str(name): str(version) for name, version in table["packages"].items()},
        )
    except FileNotFoundError:
        raise PackError(f"{directory} is not a base: make one with `lambdad base build -o {directory}`") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PackError(f"{directory}/base.json cannot be read ({error}); build the base again") from None


def build_base(directory: Path, name: str, arch: Arch, include: tuple[str, ...] = INCLUDE) -> Base:
    """Make the base `name` in `directory`, which must not exist. Takes 10-30 s and the Debian archive."""
    suite = suite_of(name)
    if directory.exists():
        raise PackError(f"{directory} already exists: remove it, or build elsewhere")
    tool = find_tool("mmdebstrap", "the Debian package mmdebstrap")
    partial = directory.with_name(f"{directory.name}.partial-{os.getpid()}")
    rootfs = partial / "rootfs"
    partial.mkdir(parents=True)
    try:
        arguments = [tool, "--quiet", "--variant=essential", f"--architectures={arch.debian}"]
        arguments += ['--aptopt=Apt::Install-Recommends "false"', "--dpkgopt=force-unsafe-io"]
        arguments += [f"--include={','.join(include)}"] if include else []
        run_tool([*arguments, suite, str(rootfs)], environment=clean_environment(SOURCE_DATE_EPOCH="0"))
        packages = installed_packages((rootfs / "var/lib/dpkg/status").read_text())
        shape_like_lambda(rootfs, arch)
        (partial / "base.json").write_text(describe_base(name, arch, packages))
        partial.rename(directory)
    finally:
        remove_tree(partial)
    return open_base(directory)


def suite_of(name: str) -> str:
    """Debian's name for a base's release. Raises PackError."""
    if name not in SUITES:
        raise PackError(f"unknown base {name!r}: known are {', '.join(SUITES)}, or give a directory")
    return SUITES[name]


def describe_base(name: str, arch: Arch, packages: Mapping[str, str]) -> str:
    """The text of `base.json`; the digest names the packages and the way the base is made."""
    inputs = json.dumps([FORMAT, name, arch.lambda_name, sorted(packages.items())])
    table = {
        "format": FORMAT,
        "name": name,
        "suite": suite_of(name),
        "arch": arch.lambda_name,
        "digest": hashlib.sha256(inputs.encode()).hexdigest(),
        "packages": dict(sorted(packages.items())),
    }
    return json.dumps(table, indent=2) + "\n"


def installed_packages(status: str) -> dict[str, str]:
    """Names and versions in a dpkg status file."""
    found = {}
    for paragraph in status.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in paragraph.split("\n") if ": " in line and line[0] != " ")
        if fields.get("Status", "").endswith(" installed"):
            found[fields["Package"]] = fields["Version"]
    return found


def shape_like_lambda(rootfs: Path, arch: Arch) -> None:
    """Give a root file system AWS's directories, user and /lib64, and take away what a function never needs."""
    for relative in _REMOVED:
        remove_tree(rootfs / relative)
    for device in list((rootfs / "dev").iterdir()):
        remove_tree(device) if device.is_dir() and not device.is_symlink() else device.unlink()
    for relative in DIRECTORIES:
        (rootfs / relative).mkdir(parents=True, exist_ok=True)
    for relative in ("var/cache", "var/log", "var/lib/apt", "etc/apt"):
        (rootfs / relative).mkdir(parents=True, exist_ok=True)  # maintainer scripts of layers expect them
    (rootfs / "tmp").chmod(0o1777)
    _add_user(rootfs)
    _expose_libraries(rootfs, arch)
    _expose_interpreters(rootfs)
    locale = rootfs / "usr/lib/locale"
    if (locale / "C.utf8").is_dir() and not (locale / "en_US.utf8").exists():
        (locale / "en_US.utf8").symlink_to("C.utf8")  # LANG=en_US.UTF-8 is what AWS sets
    (rootfs / "etc/localtime").unlink(missing_ok=True)
    (rootfs / "etc/hosts").write_text("127.0.0.1 localhost\n")
    (rootfs / "etc/resolv.conf").unlink(missing_ok=True)
    (rootfs / "etc/resolv.conf").write_text("nameserver 169.254.78.1\noptions timeout:1 attempts:5\n")
    (rootfs / "etc/hostname").write_text("169.254.100.1\n")


def _add_user(rootfs: Path) -> None:
    lines = {
        "etc/passwd": f"{SANDBOX_USER}:x:{SANDBOX_UID}:{SANDBOX_GID}::/home/{SANDBOX_USER}:/sbin/nologin\n",
        "etc/group": f"{SANDBOX_USER}:x:{SANDBOX_GID}:\n",
    }
    for relative, line in lines.items():
        path = rootfs / relative
        text = path.read_text() if path.exists() else ""
        if f"{SANDBOX_USER}:" not in text:
            path.write_text(text + line)


def _expose_libraries(rootfs: Path, arch: Arch) -> None:
    """Links in /lib64 to every shared object of Debian's multiarch directory."""
    directory = rootfs / "usr/lib" / arch.multiarch
    links = rootfs / "usr/lib64"
    links.mkdir(exist_ok=True)
    if not (rootfs / "lib64").is_symlink() and not (rootfs / "lib64").exists():
        (rootfs / "lib64").symlink_to("usr/lib64")
    for library in sorted(directory.glob("*.so*")) if directory.is_dir() else ():
        link = links / library.name
        if not link.is_symlink() and not library.is_dir():
            link.symlink_to(f"../lib/{arch.multiarch}/{library.name}")


def _expose_interpreters(rootfs: Path) -> None:
    """Links under /var/lang, where AWS's images have their interpreter and lambdad looks for one."""
    names = sorted(path.name for path in (rootfs / "usr/bin").iterdir())
    programs = [name for name in names if _INTERPRETER.fullmatch(name)]
    links = {name: f"/usr/bin/{name}" for name in programs}
    pythons = [name for name in programs if name.startswith("python")]
    if pythons:
        links["python3"] = max(pythons, key=lambda name: int(name.partition(".")[2]))
    for name, target in links.items():
        link = rootfs / "var/lang/bin" / name
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(target)


def list_files(directory: Path) -> dict[str, str]:
    """Paths of a directory tree (`/usr/bin/git`) with a word for each: `file 123`, `link target`, `directory`."""
    found: dict[str, str] = {}
    root = directory / "rootfs" if (directory / "base.json").exists() else directory
    for here, directories, files in os.walk(root):
        for name in (*directories, *files):
            path = Path(here) / name
            found["/" + str(path.relative_to(root))] = _describe_file(path)
    return found


def _describe_file(path: Path) -> str:
    try:
        if path.is_symlink():
            return f"link {path.readlink()}"
        return "directory" if path.is_dir() else f"file {path.stat().st_size}"
    except OSError as error:  # a process that ended, a link that may not be read
        return f"unreadable: {error.strerror}"


def parse_listing(text: str) -> set[str]:
    """Paths in another's listing: one a line, `./` or no slash in front as `tar -t` and `find` write them."""
    found = set()
    for line in text.splitlines():
        path = line.strip().split(" -> ")[0].removeprefix(".").strip("/")
        if path:
            found.add(f"/{path}")
    return found


def copy_base(source: Base, directory: Path) -> None:
    """A copy of the root file system that may be changed; for file systems that cannot carry an overlay."""
    shutil.copytree(source.rootfs, directory, symlinks=True, dirs_exist_ok=True)
