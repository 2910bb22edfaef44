"""Ask an interpreter what it is, by running it once; the answer is kept on disk by path, size and time of change.

It does not search (that is `catalogue.py`) and trusts nothing it has not run: a file named python3.12 may be anything.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROBE_TIMEOUT_S = 10.0
_OUTPUT_MAX = 16 * 1024
_CACHE_FORMAT = 2
"""Part of every cache key: raise it when a probe's answer changes its meaning."""

_PYTHON_PROBE = """
import json, os, sys, sysconfig
print(json.dumps({
    "implementation": sys.implementation.name,
    "version": "%d.%d.%d" % sys.version_info[:3],
    "final": sys.version_info[3] == "final",
    "executable": os.path.realpath(sys.executable),
    "prefix": os.path.realpath(sys.base_prefix),
    "soabi": sysconfig.get_config_var("SOABI") or "",
    "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
}))
"""
_NODE_PROBE = """
console.log(JSON.stringify({version: process.versions.node, executable: process.execPath,
                            final: !process.version.includes("-")}))
"""
_RUBY_PROBE = """
require "json"
require "rbconfig"
puts JSON.generate(version: RUBY_VERSION, engine: RUBY_ENGINE, executable: File.realpath(RbConfig.ruby),
                   prefix: File.realpath(RbConfig::CONFIG["prefix"]), final: RUBY_PATCHLEVEL >= 0)
"""


_JAVA_PROBE = 'exec "$0" -XshowSettings:properties -version 2>&1'
_JAVA_PROPERTIES = frozenset({"java.home", "java.version"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """What an interpreter said of itself. version: `3.11.7`, `20.20.2`. soabi is that of a Python."""

    language: str
    version: str
    executable: str
    prefix: str
    soabi: str = ""

    @property
    def release(self) -> tuple[int, ...]:
        """The version as numbers, to compare."""
        return tuple(int(part) for part in self.version.split("."))


def probe_python(path: str, cache_dir: Path) -> Interpreter | None:
    """The CPython at `path`, or None if it is not a released one with the GIL that runs here."""
    answer = _probe(path, (path, "-I", "-S", "-c", _PYTHON_PROBE), cache_dir)
    if answer is None or answer.get("implementation") != "cpython" or answer.get("free_threaded"):
        return None
    return _interpreter("python", answer)


def probe_node(path: str, cache_dir: Path) -> Interpreter | None:
    """The Node.js at `path`, or None if it is not a released one that runs here."""
    answer = _probe(path, (path, "-e", _NODE_PROBE), cache_dir)
    if answer is None:
        return None
    executable = os.path.realpath(str(answer.get("executable", "")))
    prefix = os.path.dirname(os.path.dirname(executable))
    return _interpreter("node", {**answer, "executable": executable, "prefix": prefix})


def probe_ruby(path: str, cache_dir: Path) -> Interpreter | None:
    """The CRuby at `path`, or None if it is not a released one that runs here."""
    answer = _probe(path, (path, "--disable=gems", "-e", _RUBY_PROBE), cache_dir)
    if answer is None or answer.get("engine") != "ruby":
        return None
    return _interpreter("ruby", answer)


def probe_java(path: str, cache_dir: Path) -> Interpreter | None:
    """The Java at `path`, or None if it is not a released one that runs here."""
    answer = _probe(path, ("/bin/sh", "-c", _JAVA_PROBE, path), cache_dir, _java_properties)
    if answer is None or not answer.get("java.home"):
        return None
    home = os.path.realpath(str(answer["java.home"]))
    release = re.match(r"(\d+)(?:\.(\d+))?(?:\.(\d+))?(?![-\d])", str(answer.get("java.version", "")))
    if release is None:
        return None
    version = ".".join(part or "0" for part in release.groups())
    final = "-" not in str(answer["java.version"])
    return _interpreter("java", {"version": version, "executable": f"{home}/bin/java", "prefix": home, "final": final})


def _java_properties(output: bytes) -> Mapping[str, Any]:
    """The lines `    name = value`."""
    lines = (line.partition(" = ") for line in output.decode(errors="replace").splitlines())
    return {name.strip(): value.strip() for name, equals, value in lines if equals and name.strip() in _JAVA_PROPERTIES}


def _interpreter(language: str, answer: Mapping[str, Any]) -> Interpreter | None:
    try:
        found = Interpreter(
            language=language,
            version=str(answer["version"]),
            executable=str(answer["executable"]),
            prefix=str(answer["prefix"]),
            soabi=str(answer.get("soabi", "")),
        )
        usable = bool(answer["final"]) and len(found.release) == 3
    except (KeyError, ValueError):
        return None
    return found if usable and found.executable.startswith("/") else None


def _probe(
    path: str, argv: tuple[str, ...], cache_dir: Path, read: Callable[[bytes], Any] = json.loads
) -> Mapping[str, Any] | None:
    """What `read` makes of that which `argv` prints; None when it fails.

    A failure is not cached: it may be the machine's load.
    """
    cached = _cache_file(path, cache_dir)
    if cached is None:
        return None
    answer = _read_object(cached)
    if answer is None:
        answer = _run(argv, read)
        if answer is not None:
            _write_atomically(cached, answer)
    return answer


def _cache_file(path: str, cache_dir: Path) -> Path | None:
    try:
        status = Path(path).stat()
    except OSError:
        return None
    identity = f"{_CACHE_FORMAT}\0{path}\0{status.st_mtime_ns}\0{status.st_size}\0{status.st_ino}"
    return cache_dir / "probes" / f"{hashlib.sha256(identity.encode(errors='surrogateescape')).hexdigest()[:32]}.json"


def _read_object(file: Path) -> Mapping[str, Any] | None:
    try:
        value = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _run(argv: tuple[str, ...], read: Callable[[bytes], Any]) -> Mapping[str, Any] | None:
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=PROBE_TIMEOUT_S,
            env=environment,
            cwd="/",
            check=True,
        )
        value = read(done.stdout[:_OUTPUT_MAX])
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _write_atomically(file: Path, value: Mapping[str, Any]) -> None:
    """Losing the cache only costs a probe, so a directory that cannot be written is no error."""
    temporary = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(value))
        temporary.replace(file)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
