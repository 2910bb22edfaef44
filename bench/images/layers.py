"""Layers as directories: each recipe carried out once, above the directories of the layers below it. Needs root.

A step runs in a root that is an overlay of the layers below; what it changed is the layer, with the kernel's marks for
removed files, as Docker does it. A finished layer is kept in the cache under its name and the hash of its recipe.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import assert_never

import pip

from bench.images.recipes import LAYERS, Apt, Debian, Files, Pip, chain

_SCRIPT = Path(__file__).parent / "build-layer.sh"
_SUITE = "bookworm"
_APT = (
    "set -eu; export DEBIAN_FRONTEND=noninteractive; apt-get -qq update; "
    'apt-get -qq install -y --no-install-recommends "$@" >/dev/null; apt-get clean; '
    "rm -rf /var/lib/apt/lists/* /var/log/apt /var/log/dpkg.log /var/cache/ldconfig/aux-cache"
)
_PIP = (
    "set -eu; PYTHONPATH=/mnt/tools PYTHONDONTWRITEBYTECODE=1 PIP_CONFIG_FILE=/dev/null python3 -m pip install -q "
    "--no-index --find-links=/mnt/wheels --root-user-action=ignore --break-system-packages --no-cache-dir "
    '--disable-pip-version-check "$@"'
)
_NO_UPDATES = 'sed -i "/security\\|-updates/d" "$1"/etc/apt/sources.list'
_TIMEOUT_S = 1800


class Layers:
    """directory: the cache. say: called with a sentence for every step that takes time."""

    def __init__(self, directory: Path, say: Callable[[str], None]) -> None:
        self._directory = directory
        self._say = say

    def path(self, name: str) -> Path:
        """The directory of a layer, built if need be, and those below it first."""
        target = self._directory / f"{name}-{self.key(name)[:12]}"
        if target.exists():
            return target
        below = [self.path(other) for other in chain(name)[:-1]]
        self._say(f"building layer {name}")
        work = self._directory / f"{name}.tmp"
        shutil.rmtree(work, ignore_errors=True)
        (work / "upper").mkdir(parents=True)
        self._carry_out(name, below, work)
        (work / "upper").rename(target)
        shutil.rmtree(work, ignore_errors=True)
        return target

    def key(self, name: str) -> str:
        """Hash of what a layer is made of, those below it included."""
        return hashlib.sha256(repr([LAYERS[layer] for layer in chain(name)]).encode()).hexdigest()

    def _carry_out(self, name: str, below: list[Path], work: Path) -> None:
        match LAYERS[name].step:
            case Debian(updates):
                _bootstrap(work, updates=updates)
            case Apt(packages):
                _run_inside(below, work, _APT, packages)
            case Pip(packages):
                self._fetch_wheels(packages, work)
                _run_inside(below, work, _PIP, packages)
            case Files(files):
                for path, text in files.items():
                    (work / "upper" / path).parent.mkdir(parents=True, exist_ok=True)
                    (work / "upper" / path).write_text(text)
            case other:
                assert_never(other)

    def _fetch_wheels(self, packages: tuple[str, ...], work: Path) -> None:
        """Wheels and their dependencies, by the host's pip with the host's settings; kept for the next layer."""
        wheels = self._directory / "wheels"
        tools = work / "mnt"
        (tools / "tools").mkdir(parents=True)
        (tools / "wheels").mkdir()
        no_bytecode = shutil.ignore_patterns("__pycache__")
        shutil.copytree(Path(pip.__file__).parent, tools / "tools" / "pip", ignore=no_bytecode)
        command = [sys.executable, "-m", "pip", "download", "-q", "--only-binary=:all:", "--python-version=3.11"]
        command += ["--dest", str(tools / "wheels"), "--find-links", str(wheels), *packages]
        wheels.mkdir(exist_ok=True)
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=_TIMEOUT_S)
        for wheel in (tools / "wheels").iterdir():
            if not (wheels / wheel.name).exists():
                shutil.copy(wheel, wheels / wheel.name)


def _bootstrap(work: Path, *, updates: bool) -> None:
    command = ["mmdebstrap", "--quiet", "--variant=minbase", "--format=tar", "--aptopt=APT::Install-Recommends false"]
    if not updates:
        command.append(f"--setup-hook={_NO_UPDATES}")
    tar = work / "base.tar"
    subprocess.run([*command, _SUITE, str(tar)], check=True, stdin=subprocess.DEVNULL, timeout=_TIMEOUT_S)
    unpack = ["tar", "--xattrs", "--numeric-owner", "-C", str(work / "upper"), "--exclude=./dev/*", "-xpf", str(tar)]
    subprocess.run(unpack, check=True, timeout=_TIMEOUT_S)


def _run_inside(below: list[Path], work: Path, script: str, arguments: tuple[str, ...]) -> None:
    tools = work / "mnt"
    tools.mkdir(exist_ok=True)
    lower = ":".join(str(path) for path in reversed(below))
    command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", str(_SCRIPT), lower]
    command += [str(work / "upper"), str(work), str(tools), "/bin/sh", "-c", script, "sh", *arguments]
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/root"}
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment, timeout=_TIMEOUT_S
    )
    if done.returncode != 0:
        raise RuntimeError(f"a layer could not be built:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")


def cache_directory() -> Path:
    """Where built images stay between runs: `lambdad-bench/images` in the user's cache directory."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "lambdad-bench" / "images"
