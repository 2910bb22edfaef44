"""The root file system that is made of the host's own files: what of them a sandbox sees, and where.

A layout is data that the launcher carries out for every cell: directories, links, and binds of the launcher's kit.
/etc is made anew with what programs need to look up names, users, certificates and their libraries; a file of the
host is copied only if everyone on the host may read it.
"""

from __future__ import annotations

import contextlib
import shutil
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lambdad.sandbox.identity import GROUP, USER
from lambdad.sandbox.network import GATEWAY
from lambdad.sandbox.spec import Bind

USER_NAME = "sbx_user1051"
SANDBOX_NAMES = "sandbox.localdomain sandbox"
"""What a sandbox calls itself; extensions listen there for telemetry."""

_TOP_LEVEL = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_WHOLE = ("usr", "nix/store")
_EMPTY = ("/proc", "/sys", "/dev", "/tmp", "/opt", "/mnt", "/var/task", "/var/runtime", "/var/lang", "/var/tmp")

_WRITTEN = {
    "passwd": f"root:x:0:0:root:/root:/sbin/nologin\n{USER_NAME}:x:{USER}:{GROUP}::/home/{USER_NAME}:/sbin/nologin\n"
    "nobody:x:65534:65534:nobody:/:/sbin/nologin\n",
    "group": f"root:x:0:\n{USER_NAME}:x:{GROUP}:\nnobody:x:65534:\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nservices: files\n",
    "host.conf": "multi on\n",
}
_COPIED = (
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "alternatives",
    "ssl/certs",
    "ssl/openssl.cnf",
    "ssl/cert.pem",
    "pki/tls/certs",
    "pki/tls/cert.pem",
    "pki/tls/openssl.cnf",
    "pki/ca-trust/extracted",
    "crypto-policies",
    "ca-certificates",
    "java-*-openjdk",
    "fonts",
    "localtime",
    "timezone",
    "mime.types",
    "protocols",
    "services",
    "os-release",
    "debian_version",
    "magic",
)


@dataclass(frozen=True, slots=True)
class Layout:
    """kit: host paths and whether each is a directory; the launcher shows them at /kit/0, /kit/1 and so on.

    steps: `("directory", path)`, `("link", path, target)`, `("bind", path, path in the launcher's root)`, in order.
    """

    kit: tuple[tuple[str, bool], ...]
    steps: tuple[tuple[str, ...], ...]


def host_layout(etc: Path, binds: Sequence[Bind], host: Path = Path("/")) -> Layout:
    """The host's programs and libraries, `etc` as /etc, and a runtime's own binds. Reads the host's directories."""
    kit: list[tuple[str, bool]] = []
    steps: list[tuple[str, ...]] = [("directory", path) for path in _EMPTY]

    def show(source: Path, target: str) -> None:
        steps.append(("bind", target, f"/kit/{len(kit)}"))
        kit.append((str(source), source.is_dir()))

    for name in _TOP_LEVEL:
        source = host / name
        if source.is_symlink():
            steps.append(("link", f"/{name}", str(source.readlink())))
        elif source.is_dir():
            show(source, f"/{name}")
    for name in _WHOLE:
        if (host / name).is_dir():
            show(host / name, f"/{name}")
    show(etc, "/etc")
    steps.append(("bind", "/dev", "/dev"))
    for entry in binds:
        show(Path(entry.source), entry.target)
    return Layout(tuple(kit), tuple(steps))


def write_etc(directory: Path, names: Mapping[str, str], host: Path = Path("/etc")) -> None:
    """Make `directory` anew as the /etc of every sandbox. names: what `name_files` said."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o755, parents=True)
    for pattern in _COPIED:
        for source in sorted(host.glob(pattern)):
            _copy(source, directory / source.relative_to(host))
    for name, text in {**_WRITTEN, **names}.items():
        (directory / name).write_text(text)
    (directory / "mtab").symlink_to("/proc/self/mounts")


def name_files(egress: str, host: Path = Path("/etc")) -> dict[str, str]:
    """The files of /etc that say how names become addresses, by what network a sandbox has."""
    hosts = f"127.0.0.1 localhost {SANDBOX_NAMES}\n::1 localhost ip6-localhost\n"
    match egress:
        case "internet":
            return {"hosts": hosts, "resolv.conf": f"nameserver {GATEWAY}\n"}
        case "host":
            own = f"127.0.0.1 {SANDBOX_NAMES}\n"
            return {"hosts": own + _read(host / "hosts"), "resolv.conf": _read(host / "resolv.conf")}
        case _:
            return {"hosts": hosts, "resolv.conf": ""}


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _copy(source: Path, target: Path) -> None:
    """Copy what everyone may read: links as links, files, directories with what is below."""
    with contextlib.suppress(OSError):
        mode = source.lstat().st_mode
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        if stat.S_ISLNK(mode):
            target.symlink_to(str(source.readlink()))
        elif stat.S_ISDIR(mode) and mode & stat.S_IXOTH:
            target.mkdir(mode=0o755, exist_ok=True)
            for entry in source.iterdir():
                _copy(entry, target / entry.name)
        elif stat.S_ISREG(mode) and mode & stat.S_IROTH:
            shutil.copyfile(source, target)
