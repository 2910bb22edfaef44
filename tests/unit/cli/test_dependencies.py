"""What a function asks for is in the copy that is deployed. Packages come from a directory of the test's own."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from lambdad.cli import dependencies
from lambdad.cli.bundle import bundle_directory
from lambdad.cli.dependencies import with_dependencies
from lambdad.cli.errors import CliError


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where pip finds packages, and nowhere else."""
    wheels = tmp_path / "index"
    wheels.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return wheels


@pytest.fixture(autouse=True)
def nothing_is_resolved_yet() -> None:
    dependencies._resolve.cache_clear()


def _wheel(index: Path, name: str, tag: str = "py3-none-any") -> None:
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(index / f"{name}-1.0-{tag}.whl", "w") as archive:
        archive.writestr(f"{name}.py", f"NAME = {name!r}\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n")
        archive.writestr(f"{info}/RECORD", "")


def _function(directory: Path, **files: str) -> Path:
    directory.mkdir()
    for name, text in files.items():
        (directory / name.replace("__", ".")).write_text(text)
    return directory


def test_a_function_that_asks_for_nothing_is_deployed_as_it_is(tmp_path: Path) -> None:
    function = _function(tmp_path / "f", app__py="", requirements__txt="# nothing\n\n")
    with with_dependencies(function, "python3.12", "x86_64") as built:
        assert built == function


def test_wheels_lie_beside_the_functions_own_files(tmp_path: Path, index: Path) -> None:
    _wheel(index, "wanted")
    function = _function(tmp_path / "f", app__py="import wanted\n", requirements__txt="wanted==1.0\n")
    with with_dependencies(function, "python3.12", "x86_64") as built:
        assert (built / "wanted.py").read_text() == "NAME = 'wanted'\n"
        assert (built / "app.py").read_text() == "import wanted\n"
    assert not built.exists()
    assert sorted(path.name for path in function.iterdir()) == ["app.py", "requirements.txt"]


def test_a_wheel_for_another_processor_is_not_taken(tmp_path: Path, index: Path) -> None:
    _wheel(index, "native", "cp312-cp312-manylinux_2_17_x86_64")
    function = _function(tmp_path / "f", app__py="", requirements__txt="native==1.0\n")
    with with_dependencies(function, "python3.12", "x86_64") as built:
        assert (built / "native.py").exists()
    with pytest.raises(CliError, match="native"), with_dependencies(function, "python3.12", "arm64"):
        pass


def test_a_wheel_for_another_python_is_not_taken_whatever_runs_here(tmp_path: Path, index: Path) -> None:
    for python in ("cp39", "cp313"):
        _wheel(index, "native", f"{python}-{python}-manylinux_2_17_x86_64")
    function = _function(tmp_path / "f", app__py="", requirements__txt="native==1.0\n")
    with with_dependencies(function, "python3.13", "x86_64") as built:
        assert "cp313" in (built / "native-1.0.dist-info" / "WHEEL").read_text()
    with (
        pytest.raises(CliError, match=r"no wheel for CPython 3\.12 on x86_64"),
        with_dependencies(function, "python3.12", "x86_64"),
    ):
        pass


def test_a_package_without_any_wheel_is_said_to_be_source_only(tmp_path: Path, index: Path) -> None:
    (index / "only-1.0.tar.gz").write_bytes(b"")
    function = _function(tmp_path / "f", app__py="", requirements__txt="only\n")
    with (
        pytest.raises(CliError, match="only comes as source only"),
        with_dependencies(function, "python3.12", "x86_64"),
    ):
        pass


def test_links_are_kept_and_the_same_files_make_the_same_zip(tmp_path: Path, index: Path) -> None:
    _wheel(index, "wanted")
    digests = set()
    for name in ("one", "two"):
        function = _function(tmp_path / name, app__py="import wanted\n", requirements__txt="wanted\n")
        (function / "link.py").symlink_to("app.py")
        with with_dependencies(function, "python3.12", "x86_64") as built:
            assert (built / "link.py").readlink() == Path("app.py")
            digests.add(bundle_directory(built).code_sha256)
    assert len(digests) == 1


def test_a_watch_asks_the_index_once_for_the_same_requirements(tmp_path: Path, index: Path) -> None:
    _wheel(index, "wanted")
    function = _function(tmp_path / "f", app__py="1", requirements__txt="wanted\n")
    with with_dependencies(function, "python3.12", "x86_64"):
        pass
    (index / "wanted-1.0-py3-none-any.whl").unlink()
    (function / "app.py").write_text("2")
    with with_dependencies(function, "python3.12", "x86_64") as built:
        assert (built / "wanted.py").exists()
        assert (built / "app.py").read_text() == "2"
    (function / "requirements.txt").write_text("wanted==1.0\n")
    with pytest.raises(CliError), with_dependencies(function, "python3.12", "x86_64"):
        pass


def test_the_dependencies_of_a_project_are_taken_where_there_are_no_requirements(tmp_path: Path, index: Path) -> None:
    _wheel(index, "wanted")
    function = _function(tmp_path / "f", app__py="", pyproject__toml='[project]\ndependencies = ["wanted>=1"]\n')
    with with_dependencies(function, "python3.12", "x86_64") as built:
        assert (built / "wanted.py").exists()
    (function / "requirements.txt").write_text("# none\n")
    with with_dependencies(function, "python3.12", "x86_64") as built:
        assert built == function


@pytest.mark.parametrize("dependency", ['"--index-url=http://elsewhere"', '"./local"', "{}"])
def test_a_dependency_that_pip_would_take_for_something_else_is_refused(dependency: str, tmp_path: Path) -> None:
    function = _function(tmp_path / "f", pyproject__toml=f"[project]\ndependencies = [{dependency}]\n")
    with (
        pytest.raises(CliError, match="neither a package by name"),
        with_dependencies(function, "python3.12", "x86_64"),
    ):
        pass


@pytest.mark.parametrize("text", ["[project", "", "project = 1", '[project]\nname = "f"\n', "[tool.x]\n"])
def test_a_project_that_asks_for_nothing_is_deployed_as_it_is(text: str, tmp_path: Path) -> None:
    function = _function(tmp_path / "f", pyproject__toml=text)
    with with_dependencies(function, "python3.12", "x86_64") as built:
        assert built == function


def test_the_functions_own_file_wins(tmp_path: Path, index: Path) -> None:
    _wheel(index, "wanted")
    function = _function(tmp_path / "f", wanted__py="mine", requirements__txt="wanted\n")
    with with_dependencies(function, "python3.12", "x86_64") as built:
        assert (built / "wanted.py").read_text() == "mine"


def test_modules_that_are_there_are_taken_as_they_are(tmp_path: Path) -> None:
    package = json.dumps({"dependencies": {"never-published-by-anyone": "1"}})
    function = _function(tmp_path / "f", index__js="", package__json=package)
    (function / "node_modules").mkdir()
    with with_dependencies(function, "nodejs20.x", "x86_64") as built:
        assert built == function
