"""Why there is no wheel is told by what pip passes over, in a directory of the test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from lambdad.pack.cache import Cache
from lambdad.pack.errors import PackError
from lambdad.pack.no_wheel import Passed, describe, passed_over, unmet_requirement
from lambdad.pack.requirements import named_requirements
from lambdad.pack.target import arch_named
from lambdad.pack.wheels import fetch_wheels

FOREIGN = "native-1.0-cp312-cp312-manylinux_2_17_x86_64.whl"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where pip finds packages, and nowhere else."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    return tmp_path


def refusal(requirement: str, index: Path) -> str:
    with pytest.raises(PackError) as raised:
        fetch_wheels(
            named_requirements([requirement], "test"), "3.12", arch_named("arm64"), (2, 34), Cache(index / "cache")
        )
    return str(raised.value)


def test_a_package_that_is_source_only_is_said_to_be_so_and_is_not_run(index: Path) -> None:
    (index / "only-1.0.tar.gz").write_bytes(b"not even an archive")

    text = refusal("only==1.0", index)

    assert text.startswith("only comes as source only (only-1.0.tar.gz)")
    assert "CPython 3.12 on arm64 with glibc 2.34" in text


def test_wheels_for_other_targets_are_named(index: Path) -> None:
    (index / FOREIGN).touch()
    (index / "native-1.0.tar.gz").touch()

    text = refusal("native", index)

    assert text == f"native has no wheel for CPython 3.12 on arm64 with glibc 2.34; there are others, such as {FOREIGN}"


def test_a_package_that_is_nowhere_is_told_in_pips_words(index: Path) -> None:
    assert "No matching distribution found for nowhere" in refusal("nowhere", index)


def test_only_files_of_the_version_that_was_asked_for_count() -> None:
    output = (
        "  Skipping link: No sources permitted for a: https://index/a-2.0.tar.gz#sha256=1 (from https://index/a/)\n"
        "  Skipping link: none of the wheel's tags (cp39-cp39-win_amd64) are compatible (run pip debug --verbose to "
        "show compatible tags): https://index/a-1.0-cp39-cp39-win_amd64.whl#sha256=2 (from https://index/a/)\n"
    )
    assert passed_over(output, None) == Passed(("a-2.0.tar.gz",), ("a-1.0-cp39-cp39-win_amd64.whl",))
    assert passed_over(output, "2.0") == Passed(("a-2.0.tar.gz",), ())
    assert describe("a", passed_over(output, "3.0"), "anything") is None


def test_what_pip_says_is_read_without_its_marks() -> None:
    assert unmet_requirement("ERROR: No matching distribution found for a==1.0; python_version > '3'") == "a==1.0"
    assert unmet_requirement("ERROR: something else") is None
