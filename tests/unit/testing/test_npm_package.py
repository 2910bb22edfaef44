"""A package is what is pinned, or it is refused; npm is played by a script."""

from __future__ import annotations

import base64
import hashlib
import tarfile
from pathlib import Path

import pytest

from lambdad.runtimes.tree_cache import TreeError
from lambdad.testing.npm_package import NpmPackage, fetch_package, unpack_package

CONTENT = b"an archive"
INTEGRITY = "sha512-" + base64.b64encode(hashlib.sha512(CONTENT).digest()).decode()


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Packs whatever is asked for, or fails."""
    script = tmp_path / "npm"
    script.write_text("""#!/bin/sh
case "$2" in broken@*) echo "no such package" >&2; exit 1;; esac
name=$(echo "$2" | sed "s/^@//; s,/,-,; s/@/-/")
case "$2" in real@*) cp "$(dirname "$0")/archive" "$6/$name.tgz";; *) printf "an archive" > "$6/$name.tgz";; esac
""")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


@pytest.mark.parametrize(("name", "file"), [("plain", "plain-1.0.0.tgz"), ("@scope/name", "scope-name-1.0.0.tgz")])
def test_an_archive_that_is_the_one_that_is_known_is_given(npm: Path, name: str, file: str) -> None:
    archive = fetch_package(NpmPackage(name, "1.0.0", INTEGRITY), npm)
    assert (archive.name, archive.read_bytes()) == (file, CONTENT)


def test_its_files_are_unpacked_and_its_archive_goes(npm: Path) -> None:
    (npm / "package.json").write_text("{}")
    with tarfile.open(npm / "archive", "w:gz") as tar:
        tar.add(npm / "package.json", "package/package.json")
    integrity = base64.b64encode(hashlib.sha512((npm / "archive").read_bytes()).digest()).decode()
    (npm / "work").mkdir()

    found = unpack_package(NpmPackage("real", "1.0.0", f"sha512-{integrity}"), npm / "work")

    assert (found / "package.json").read_text() == "{}"
    assert list((npm / "work").iterdir()) == [found]


def test_another_one_and_none_are_refused_in_words(npm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TreeError, match="delivered another plain"):
        fetch_package(NpmPackage("plain", "1.0.0", "sha512-other"), npm)
    with pytest.raises(TreeError, match="no such package"):
        fetch_package(NpmPackage("broken", "1.0.0", INTEGRITY), npm)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(TreeError, match="npm cannot fetch"):
        fetch_package(NpmPackage("plain", "1.0.0", INTEGRITY), npm)
