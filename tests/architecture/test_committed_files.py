"""What is committed works on other machines: it names no package registry's host and no developer's own path."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from tests.architecture.source import REPOSITORY

# Put together here, so that this file does not name them itself.
REGISTRIES = (
    ("pypi", "org"),
    ("pythonhosted", "org"),
    ("debian", "org/debian"),
    ("deb", "debian", "org"),
    ("registry", "npmjs", "org"),
    ("archive", "ubuntu", "com"),
    ("proxy", "golang", "org"),
    ("crates", "io"),
)
MACHINE = ("/work/" + "main", "/work/" + "shared", "/work/" + "brief", "/root/" + ".pyenv", "/root/" + ".cargo")
FORBIDDEN = re.compile("|".join(re.escape(text) for text in (*map(".".join, REGISTRIES), *MACHINE)))


def _committed_files() -> list[Path]:
    if not (REPOSITORY / ".git").exists():
        pytest.skip("not a clone: what is committed cannot be listed")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, check=True, capture_output=True).stdout
    return [REPOSITORY / name for name in listed.decode().split("\0") if name]


def test_no_committed_file_names_a_registry_or_a_path_of_this_machine() -> None:
    broken = []
    for path in _committed_files():
        if not path.is_file():
            continue  # deleted in the working tree
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1):
            found = FORBIDDEN.search(line)
            if found:
                broken.append(f"{path.relative_to(REPOSITORY)}:{number}: {found.group()}")
    assert broken == []
