"""Finding the function's program, and saying in AWS's words why there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from lambdad.sandbox.inside import runtime_process
from lambdad.sandbox.inside.calls import Refused


def test_a_program_is_looked_for_on_the_path(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    (tmp_path / "first" / "tool").mkdir()  # a directory is no program
    (tmp_path / "second" / "tool").write_text("#!/bin/sh\n")
    (tmp_path / "second" / "tool").chmod(0o755)
    path = f"{tmp_path}/first:{tmp_path}/second"
    assert runtime_process.find_program("tool", path) == f"{tmp_path}/second/tool"
    assert runtime_process.find_program("/any/path", path) == "/any/path"
    with pytest.raises(Refused, match=r"executable file not found in \$PATH") as caught:
        runtime_process.find_program("missing", path)
    assert caught.value.kind == "Runtime.InvalidEntrypoint"


def test_reasons_are_worded_as_awss() -> None:
    assert runtime_process.reason(FileNotFoundError(2, "No such file or directory")) == "no such file or directory"
    assert runtime_process.reason(ValueError("embedded null byte")) == "embedded null byte"
