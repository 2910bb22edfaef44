"""Of requirements files pip is given what it takes from an index, and nothing that it would run."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.pack.cache import Cache
from lambdad.pack.errors import PackError
from lambdad.pack.requirements import LINES_MAX, Requirements, named_requirements, read_requirements
from lambdad.pack.target import arch_named
from lambdad.pack.wheels import fetch_wheels

HARMLESS = [
    "requests",
    "requests==2.31.0",
    "boto3 >=1.2,<2 ; python_version >= '3.8'",
    "uvicorn[standard,extra]~=0.3",
    "a.b_c-d (>=1.0)",
    "numpy==1.26.*",
    "x==1.0+cu121",
    "pinned==1.0 --hash=sha256:" + "0" * 64 + " --hash=sha256:" + "1" * 64,
    "--index-url https://user:${TOKEN}@index/simple",
    "--extra-index-url=https://other/simple",
    "--pre",
    "--only-binary :all:",
    "https://host/mine-1.0-py3-none-any.whl",
    "mine @ https://host/mine-1.0-py3-none-any.whl#sha256=" + "0" * 64,
    "file:///srv/mine-1.0-py3-none-any.whl",
]
RUN = [
    ".",
    "./package",
    "../package",
    "/srv/package",
    "package/",
    "-e .",
    "--editable=./package",
    "-e git+https://host/repository#egg=x",
    "git+https://host/repository",
    "mine @ git+https://host/repository",
    "mine @ file:///srv/mine",
    "mine @ file:///srv/mine-1.0.tar.gz",
    "https://host/mine-1.0.tar.gz",
    "mine-1.0.tar.gz",
    "mine-1.0.zip ; python_version > '3'",
    "MINE-1.0.ZIP",
    "mine.zip[extra]",
    "--no-binary :all:",
    "--no-binary=mine",
    "--only-binary=:none:",
    "mine --global-option=--evil",
    "mine --config-settings=a=b",
    "mine ; python_version > '3' @ file:///srv",
    "${EVIL}",
    "--use-pep517",
]


@pytest.mark.parametrize("line", HARMLESS)
def test_what_names_packages_wheels_and_indexes_is_taken(line: str, tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text(f"# a comment\n{line}  # another\r\n\n")
    assert read_requirements(file).lines == [line]


@pytest.mark.parametrize("line", RUN)
def test_what_would_be_run_to_build_it_is_refused_with_its_place(line: str, tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text(f"requests\n{line}\n")
    with pytest.raises(PackError, match=r"requirements\.txt: .* is neither a package by name nor a wheel"):
        read_requirements(file)
    with pytest.raises(PackError, match="neither a package by name"):
        named_requirements([line], "pyproject.toml")


@pytest.mark.parametrize("encoding", ["# coding: utf-7\n+AC4-/package\n", "# -*- coding: rot13 -*-\n./cnpxntr\n"])
def test_an_encoding_that_a_file_gives_itself_hides_nothing(encoding: str, tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text(encoding)
    with pytest.raises(PackError, match="neither a package by name"):
        read_requirements(file)


def test_files_that_are_named_are_read_and_what_lies_beside_a_file_is_found_there(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "wheels").mkdir()
    (tmp_path / "requirements.txt").write_text("a\n-r more/b.txt\n--constraint=more/c.txt\n")
    (tmp_path / "more" / "b.txt").write_text("b \\\n  ==1\n--find-links wheels\n./wheels/d-1-py3-none-any.whl\n")
    (tmp_path / "more" / "c.txt").write_text("c<2\n")

    found = read_requirements(tmp_path / "requirements.txt")

    wheels = tmp_path / "more" / "wheels"
    assert found == Requirements(["a", "b    ==1", f"--find-links {wheels}", f"{wheels}/d-1-py3-none-any.whl"], ["c<2"])
    assert found.arguments(tmp_path) == ["-r", f"{tmp_path}/wanted.txt", "-c", f"{tmp_path}/constraints.txt"]


def test_files_without_an_end_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    for text, words in (
        ("-r requirements.txt\n", "deep"),
        ("a\n" * (LINES_MAX + 2), "more than"),
        ("a" * 5000, "a line of more than"),
        ("#" * 2_000_000, "more than"),
        ("-r none.txt\n", "cannot read"),
    ):
        file.write_text(text)
        with pytest.raises(PackError, match=words):
            read_requirements(file)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(PackError, match="not UTF-8"):
        read_requirements(file)


@given(st.text(alphabet="ab1.-_/\\@:;#[]<>=!~+ $\n\t'\"zipwhl", max_size=60))
def test_whatever_is_taken_has_nothing_that_pip_builds(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file = tmp_path_factory.getbasetemp() / "any.txt"
    file.write_text(text)
    try:
        lines = read_requirements(file).lines
    except PackError:
        return
    for line in lines:
        if line.startswith(("-i", "--index-url", "--extra-index-url", "--trusted-host", "--find-links")):
            continue  # where to look, not what to take
        requirement = line.partition(";")[0]
        assert ("/" not in requirement and "@" not in requirement) or requirement.strip().endswith(".whl")


def test_pip_runs_nothing_of_a_directory_that_is_asked_for(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "setup.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    (tmp_path / "requirements.txt").write_text("./package\n")
    with pytest.raises(PackError):
        wanted = read_requirements(tmp_path / "requirements.txt")
        fetch_wheels(wanted, "3.12", arch_named("x86_64"), (2, 34), Cache(tmp_path / "cache"))
    assert not (tmp_path / "ran").exists()
