"""What a package.json asks for is installed by npm for the target; packages come from archives of the test's own."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from lambdad.cli.bundle import bundle_directory
from lambdad.cli.dependencies import with_dependencies
from lambdad.cli.errors import CliError

pytestmark = pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")


@pytest.fixture(autouse=True)
def no_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("npm_config_offline", "true")
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm-cache"))


def archive(directory: Path, name: str, **more: Any) -> str:
    """A package as npm takes it; returns the dependency on it."""
    package = {"name": name, "version": "1.0.0", "bin": {name: "run.js"}, **more}
    path = directory / f"{name}.tgz"
    with tarfile.open(path, "w:gz") as tar:
        for member, text in (("package.json", json.dumps(package)), ("run.js", "#!/usr/bin/env node\n")):
            info = tarfile.TarInfo(f"package/{member}")
            info.size, info.mode = len(text), 0o755
            tar.addfile(info, io.BytesIO(text.encode()))
    return f"file:{path}"


@pytest.fixture
def function(tmp_path: Path) -> Path:
    """It has a dependency whose scripts leave a mark, and one for each processor."""
    scripts = {"install": f"touch {tmp_path / 'ran'}", "postinstall": f"touch {tmp_path / 'ran'}"}
    package = {
        "dependencies": {"tool": archive(tmp_path, "tool", scripts=scripts)},
        "optionalDependencies": {
            "native-x64": archive(tmp_path, "native-x64", os=["linux"], cpu=["x64"]),
            "native-arm64": archive(tmp_path, "native-arm64", os=["linux"], cpu=["arm64"]),
            "native-mac": archive(tmp_path, "native-mac", os=["darwin"], cpu=["x64"]),
        },
    }
    directory = tmp_path / "function"
    directory.mkdir()
    (directory / "package.json").write_text(json.dumps(package))
    (directory / "index.mjs").write_text("export const handler = async () => 1;\n")
    return directory


NATIVE = {"x86_64": "native-x64", "aarch64": "native-arm64"}.get(os.uname().machine, "")


def _npm_version() -> str:
    return subprocess.run(["npm", "--version"], capture_output=True, text=True, timeout=60, check=True).stdout.strip()


@pytest.mark.parametrize(("architecture", "native"), [("x86_64", "native-x64"), ("arm64", "native-arm64")])
def test_modules_are_those_of_the_target_and_no_script_runs(
    architecture: str, native: str, function: Path, tmp_path: Path
) -> None:
    if native != NATIVE and int(_npm_version().partition(".")[0]) < 10:
        pytest.skip(f"npm {_npm_version()} knows the processor of this machine only")
    with with_dependencies(function, "nodejs20.x", architecture) as built:
        assert sorted(path.name for path in (built / "node_modules").glob("[!.]*")) == sorted([native, "tool"])
        assert (built / "node_modules" / ".bin" / "tool").readlink() == Path("../tool/run.js")
    assert not (tmp_path / "ran").exists()
    assert not (function / "node_modules").exists()


def test_the_same_package_makes_the_same_zip(function: Path) -> None:
    digests = set()
    for _ in range(2):
        with with_dependencies(function, "nodejs20.x", "x86_64") as built:
            digests.add(bundle_directory(built).code_sha256)
    assert len(digests) == 1


def test_what_npm_cannot_give_is_told_in_its_words(function: Path) -> None:
    (function / "package.json").write_text(json.dumps({"dependencies": {"nowhere": "1.0.0"}}))
    with pytest.raises(CliError, match="npm cannot give"), with_dependencies(function, "nodejs20.x", "x86_64"):
        pass
