"""`lambdad runtime test` prints a line for each case and ends with 1 when one failed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

from tests.unit.testing.test_runtime_conformance import CLIENT

from lambdad.testing.runtime_conformance import CASES

Command = Callable[..., tuple[int, str, str]]


def bootstrap(directory: Path, text: str) -> Path:
    program = directory / "bootstrap"
    program.write_text(text)
    program.chmod(0o755)
    return program


def test_a_directory_with_a_good_runtime_ends_with_0(tmp_path: Path, lambdad: Command) -> None:
    bootstrap(tmp_path, CLIENT.format(python=sys.executable, echo="event"))

    status, out, _ = lambdad("runtime", "test", str(tmp_path), "--patience", "60", "--json")

    assert status == 0
    assert [line["case"] for line in json.loads(out)] == [case.name for case in CASES]


def test_a_runtime_that_fails_is_a_table_and_status_1(tmp_path: Path, lambdad: Command) -> None:
    program = bootstrap(tmp_path, "#!/bin/sh\nexit 7\n")

    status, out, _ = lambdad("runtime", "test", str(program), "--patience", "60")

    assert status == 1
    assert "ended with 7" in out


def test_what_is_not_executable_is_named(tmp_path: Path, lambdad: Command) -> None:
    (tmp_path / "bootstrap").write_text("#!/bin/sh\n")

    status, _, err = lambdad("runtime", "test", str(tmp_path))

    assert status == 1
    assert "chmod +x" in err


def test_an_interpreter_that_is_missing_is_explained(tmp_path: Path, lambdad: Command) -> None:
    status, _, err = lambdad("runtime", "test", str(bootstrap(tmp_path, "#!/no/such/interpreter\n")))

    assert status == 1
    assert "interpreter" in err
