"""The real ld.so as a judge: what it loads for a program, inside the sandbox that layers are tested in."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from lambdad.pack.base import Base
from lambdad.pack.elf import ElfError, read_elf
from lambdad.pack.errors import PackError
from lambdad.pack.resolver import Resolver
from lambdad.pack.smoke import ChrootRunner
from lambdad.pack.target import LIBRARY_PATH

ARROW = re.compile(r"^\s*(\S+) => (not found|\S+)(?: \(0x[0-9a-f]+\))?$")
BATCH = 15
"""Programs in one sandbox: their answers fit into what a test may print."""
_LOADER = "ld-linux"
PLAIN = re.compile(r"^\s*(/\S+) \(0x[0-9a-f]+\)$")


@dataclass(frozen=True)
class Verdict:
    """paths by name, None where it was not found; errors: everything else that it said."""

    paths: dict[str, str | None]
    errors: list[str]


def parse_trace(output: str) -> Verdict:
    paths: dict[str, str | None] = {}
    errors = []
    for line in output.splitlines():
        if match := ARROW.match(line):
            paths[match.group(1)] = None if match.group(2) == "not found" else match.group(2)
        elif match := PLAIN.match(line):
            paths[match.group(1)] = match.group(1)
        elif line.strip() and "linux-vdso" not in line and "statically linked" not in line:
            errors.append(line.strip())
    return Verdict(paths, errors)


def trace_many(base: Path, layer: Path, programs: list[str], library_path: str) -> dict[str, Verdict]:
    """What ld.so would load for each program, a few in one sandbox."""
    environment = {"LD_LIBRARY_PATH": library_path, "PATH": "/usr/bin:/bin"}
    verdicts: dict[str, Verdict] = {}
    for start in range(0, len(programs), BATCH):
        batch = programs[start : start + BATCH]
        lines = "; ".join(f"echo '=== {name}'; {_command(name)} 2>&1" for name in batch)
        result = ChrootRunner().run(base, (layer,), f"{lines}; true", environment)
        parts = re.split(r"^=== (.*)\n", result.output, flags=re.MULTILINE)
        verdicts |= {name: parse_trace(text) for name, text in zip(parts[1::2], parts[2::2], strict=True)}
    return verdicts


def _command(path: str) -> str:
    """A program is started; a library (no program's name has .so in it) is given to the loader by hand."""
    return f"/lib64/ld-linux-x86-64.so.2 --list '{path}'" if ".so" in path else f"LD_TRACE_LOADED_OBJECTS=1 '{path}'"


@dataclass(frozen=True)
class Comparison:
    """files: ELF files that need a library; names: libraries that were looked up for them; differences: sentences."""

    files: int
    names: int
    differences: tuple[str, ...]


def compare_with_loader(base: Base, layer: Path) -> Comparison:
    """Hold the resolver against the real ld.so, on every dynamic ELF file of a layer at /opt of its base."""
    resolver = Resolver(base.root(layer), base.arch, library_path=LIBRARY_PATH, hwcaps=supported_hwcaps())
    programs = [
        f"/opt/{path.relative_to(layer)}"
        for path in sorted(layer.rglob("*"))
        if path.is_file() and not path.is_symlink() and _needs_libraries(path)
    ]
    verdicts = trace_many(base.rootfs, layer, programs, LIBRARY_PATH)
    names = 0
    differences = []
    for path in programs:
        linkage = resolver.link_library(path) if ".so" in path else resolver.link_program(path)
        ours: dict[str, str | None] = {one.name: one.path for one in linkage.objects[1:]}
        ours |= {one.name: None for one in linkage.missing if not one.name.startswith("/")}
        verdict = verdicts[path]
        names += len(verdict.paths)
        differences += [
            f"{path}: {name}: ours {ours.get(name)}, ld.so {verdict.paths.get(name)}"
            for name in sorted(ours.keys() | verdict.paths.keys())
            if _LOADER not in name and ours.get(name, "") != verdict.paths.get(name, "")
        ]
        wrong_versions = [one for one in linkage.unversioned if not one.weak]
        if bool(wrong_versions) != any("version" in error for error in verdict.errors):
            differences.append(f"{path}: versions: ours {len(wrong_versions)} missing, ld.so {verdict.errors}")
    return Comparison(len(programs), names, tuple(differences))


def _needs_libraries(path: Path) -> bool:
    with path.open("rb") as stream:
        if stream.read(4) != b"\x7fELF":
            return False
    try:
        return bool(read_elf(path).needed)
    except ElfError:
        return False


def supported_hwcaps() -> tuple[str, ...]:
    """The glibc-hwcaps levels that this processor has, best first, in ld.so's own words."""
    text = subprocess.run(["/lib64/ld-linux-x86-64.so.2", "--help"], capture_output=True, text=True, check=False).stdout
    return tuple(re.findall(r"^\s+(x86-64-v\d) \(supported, searched\)", text, re.MULTILINE))


def why_no_sandbox() -> str | None:
    """Why this host cannot be the judge, or None."""
    for tool in ("gcc", "unshare", "setpriv"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed"
    if not Path("/lib64/ld-linux-x86-64.so.2").exists():
        return "not x86_64 with glibc"
    try:
        done = ChrootRunner().run(Path("/"), (), "exit 42", {"PATH": "/usr/bin:/bin"})
    except PackError as error:
        return str(error)
    return None if done.status == 42 else f"namespaces cannot be made here: {done.output.strip()}"
