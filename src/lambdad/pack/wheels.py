"""Python packages for the target: resolved by pip for its glibc and processor, unpacked by us, the same every time.

pip only resolves and downloads; the wheels are unpacked here without running anything, because an installer writes
times, paths of the build machine and byte code into what it installs.
"""

from __future__ import annotations

import os
import posixpath
import sys
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from lambdad.pack.archive import checked_name
from lambdad.pack.cache import Cache
from lambdad.pack.errors import PackError
from lambdad.pack.inside import write_file
from lambdad.pack.lock import Pin
from lambdad.pack.manifest import file_digest
from lambdad.pack.no_wheel import explain_no_wheel, unmet_requirement
from lambdad.pack.process import ToolFailed, run_tool
from lambdad.pack.requirements import Requirements
from lambdad.pack.target import Arch

WHEEL_MAX = 1024 * 1024 * 1024
_OLDEST_MINOR = 5
_SHEBANGS = (b"#!python\n", b"#!pythonw\n", b"#!python\r\n")
_DROPPED = frozenset({"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"})


def platform_tags(arch: Arch, glibc: tuple[int, int]) -> list[str]:
    """Every wheel platform that runs on `arch` with `glibc`, best first (PEP 600 and its three older names)."""
    tags = []
    for minor in range(glibc[1], _OLDEST_MINOR - 1, -1):
        tags.append(f"manylinux_2_{minor}_{arch.wheel}")
        older = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}.get(minor)
        if older and (older == "manylinux2014" or arch.wheel == "x86_64"):
            tags.append(f"{older}_{arch.wheel}")
    return [*tags, f"linux_{arch.wheel}"]


def fetch_wheels(
    requirements: Requirements, python: str, arch: Arch, glibc: tuple[int, int], cache: Cache
) -> tuple[Pin, ...]:
    """Resolve and download `requirements` and what they need. Raises PackError with pip's reason."""
    with cache.scratch() as scratch:
        _download(requirements.arguments(scratch), python, arch, glibc, scratch)
        pins = []
        for path in sorted(scratch.glob("*.whl")):
            name, version = path.name.split("-")[:2]
            pin = Pin(
                source="pip",
                name=name.replace("_", "-").lower(),
                version=version,
                filename=path.name,
                sha256=file_digest(path),
                size=path.stat().st_size,
            )
            pins.append(pin)
            path.replace(_kept(cache, pin))
    return tuple(pins)


def wheel_files(pins: Iterable[Pin], python: str, arch: Arch, glibc: tuple[int, int], cache: Cache) -> list[Path]:
    """The locked wheels, from the cache or downloaded again. Raises PackError if the index has other bytes."""
    wanted = list(pins)
    missing = [pin for pin in wanted if not _kept(cache, pin).exists()]
    if missing:
        with cache.scratch() as scratch:
            listing = scratch / "locked.txt"
            listing.write_text("".join(f"{pin.name}=={pin.version} --hash=sha256:{pin.sha256}\n" for pin in missing))
            options = ["--no-deps", "--require-hashes", "-r", str(listing)]
            _download(options, python, arch, glibc, scratch)
            for pin in missing:
                (scratch / pin.filename).replace(_kept(cache, pin))
    return [_kept(cache, pin) for pin in wanted]


def _kept(cache: Cache, pin: Pin) -> Path:
    return cache.downloads / f"{pin.sha256}.whl"


def _download(arguments: Sequence[str], python: str, arch: Arch, glibc: tuple[int, int], directory: Path) -> None:
    platforms = [word for tag in platform_tags(arch, glibc) for word in ("--platform", tag)]
    argv = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
    argv += ["--only-binary=:all:", "--python-version", python, "--implementation", "cp", *platforms]
    argv += ["--dest", str(directory)]
    try:
        run_tool([*argv, *arguments])
    except ToolFailed as error:
        unmet = unmet_requirement(error.output)
        target = f"CPython {python} on {arch.lambda_name} with glibc {glibc[0]}.{glibc[1]}"
        reason = None if unmet is None else explain_no_wheel(unmet, argv, target)
        raise PackError(reason or f"pip cannot give what is asked for:\n{error.output}") from None


def unpack_wheel(wheel: Path, tree: Path, package: str) -> dict[str, tuple[str, str]]:
    """Unpack into `tree`/python, as Lambda's Python looks for it; facts by path. Raises PackError."""
    facts: dict[str, tuple[str, str]] = {}
    left = WHEEL_MAX
    try:
        with zipfile.ZipFile(wheel) as archive:
            for info in archive.infolist():
                target = wheel_target(info.filename)
                if target is None or info.is_dir():
                    continue
                left -= info.file_size
                if left < 0:
                    raise PackError(f"{package}: more than {WHEEL_MAX} bytes unpacked")
                if os.path.lexists(tree / target):
                    raise PackError(f"/opt/{target} comes from two packages, {package} is the second")
                data = archive.read(info)
                script = target.startswith("python/bin/")
                mode = info.external_attr >> 16
                content = _portable(data) if script else data
                write_file(tree, target, content, 0o755 if script or mode & 0o111 else 0o644)
                facts[target] = (f"pip:{package}", "")
    except (zipfile.BadZipFile, OSError) as error:
        raise PackError(f"{package}: the wheel cannot be unpacked ({error})") from None
    return facts


def wheel_target(name: str) -> str | None:
    """Where an entry of a wheel goes under /opt; None for what a layer has no use for."""
    clean = checked_name(name)
    first, _, rest = clean.partition("/")
    if first.endswith(".dist-info") and rest in _DROPPED:
        return None
    if first.endswith(".data"):
        scheme, _, below = rest.partition("/")
        folders = {"purelib": "python", "platlib": "python", "scripts": "python/bin"}
        return posixpath.join(folders[scheme], below) if scheme in folders and below else None
    return f"python/{clean}" if clean else None


def _portable(script: bytes) -> bytes:
    for shebang in _SHEBANGS:
        if script.startswith(shebang):
            return b"#!/usr/bin/env python3\n" + script[len(shebang) :]
    return script
