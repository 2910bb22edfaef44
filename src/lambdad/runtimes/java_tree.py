"""Builds the /var/runtime of Java functions: our client and the interfaces that handlers implement, compiled once.

The class files are for Java 11 and serve every later one, so whichever JDK is there compiles them. A Java without a
compiler borrows that of PATH. No network is needed.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from importlib import resources
from pathlib import Path

from lambdad.runtimes.tree_cache import TreeError, building

CLASSES = "classes"
"""The directory of the tree that goes into the class path."""
_RELEASE = "11"
_COMPILE_TIMEOUT_S = 120.0


def java_tree_name() -> str:
    """Directory name of the tree, such as `java-51d0…`."""
    state = hashlib.sha256(_RELEASE.encode())
    for source in _sources():
        state.update(hashlib.sha256(source.read_bytes()).digest())
    return f"java-{state.hexdigest()[:16]}"


def build_java_tree(target: Path, home: str) -> None:
    """Make `target` (named by `java_tree_name`) if it is not there. Takes seconds. Raises `TreeError`.

    home: JAVA_HOME.
    """
    if target.is_dir():
        return
    beside = Path(home) / "bin" / "javac"
    compiler = str(beside) if beside.exists() else shutil.which("javac")
    if compiler is None:
        raise TreeError(
            f"lambdad compiles its Java client when it is first needed, and there is no javac in {home} or on PATH: "
            f"install a JDK (Debian: default-jdk-headless)."
        )
    with building(target) as tree:
        classes = tree / CLASSES
        argv = (compiler, "--release", _RELEASE, "-Xlint:-options", "-d", str(classes), *map(str, _sources()))
        try:
            subprocess.run(
                argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_COMPILE_TIMEOUT_S, check=True
            )
        except subprocess.CalledProcessError as error:
            raise TreeError(
                f"{compiler} did not compile lambdad's Java client: {error.stderr.strip()[-500:]}"
            ) from error
        except subprocess.TimeoutExpired as error:
            raise TreeError(f"{compiler} did not compile lambdad's client in {_COMPILE_TIMEOUT_S:.0f} s.") from error


def _sources() -> list[Path]:
    return sorted(Path(str(resources.files("lambdad.runtimes.java"))).rglob("*.java"))
