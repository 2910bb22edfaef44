"""The disk that carries the project into the guest and the results out of it. Made anew for every run."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

CARRIED = ("src", "tests", "examples", "pyproject.toml")
SIZE = "96M"


def make(path: Path, repository: Path, arguments: Sequence[str]) -> None:
    """Write the disk. arguments: what the guest gives to pytest."""
    with tempfile.TemporaryDirectory(prefix="lambdad-project-") as temporary:
        tree = Path(temporary) / "tree"
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "node_modules", ".*")
        tree.mkdir()
        for name in CARRIED:
            source = repository / name
            if source.is_dir():
                shutil.copytree(source, tree / name, ignore=ignored, symlinks=True)
            elif source.exists():
                shutil.copy2(source, tree / name)
        results = tree / "results"
        results.mkdir()
        (results / "arguments").write_text("".join(f"{argument}\n" for argument in arguments))
        command = [
            "mke2fs",
            "-q",
            "-F",
            "-t",
            "ext4",
            "-m",
            "0",
            "-E",
            "root_owner=0:0",
            "-d",
            str(tree),
            str(path),
            SIZE,
        ]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def read_result(path: Path, name: str) -> bytes | None:
    """A file of the guest's `results` directory, or None if the guest did not get that far."""
    command = ["debugfs", "-R", f"cat /results/{name}", str(path)]
    done = subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True)
    return done.stdout or None
