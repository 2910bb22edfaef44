"""`lambdad runtime test` prints a line for each case and ends with 1 when one failed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.testing.runtime_client import write_client

from lambdad.testing.deploying import zip_of
from lambdad.testing.runtime_conformance import CASE_NAMES

Command = Callable[..., tuple[int, str, str]]
PYTHON = """
def handler(event, context):
    return event if event["conformance"] == "echo" else 1 / 0
"""


def verdicts(out: str) -> dict[str, str]:
    return {line["case"]: line["verdict"] for line in json.loads(out)}


def test_a_directory_with_a_good_runtime_ends_with_0(tmp_path: Path, lambdad: Command) -> None:
    write_client(tmp_path)

    status, out, _ = lambdad("runtime", "test", str(tmp_path), "--patience", "60", "--json")

    assert status == 0
    assert list(verdicts(out)) == list(CASE_NAMES)


def test_a_runtime_that_fails_is_a_table_and_status_1(tmp_path: Path, lambdad: Command) -> None:
    program = write_client(tmp_path)
    program.write_text("#!/bin/sh\nexit 7\n")

    status, out, _ = lambdad("runtime", "test", str(program), "--patience", "60", "--case", "utf-8")

    assert status == 1
    assert "exit status 7" in out


def test_a_zip_is_unpacked_with_its_modes(tmp_path: Path, lambdad: Command) -> None:
    program = write_client(tmp_path)
    archive = tmp_path / "function.zip"
    archive.write_bytes(zip_of({"bootstrap": program.read_text()}, {"bootstrap": 0o755}))

    status, out, _ = lambdad("runtime", "test", str(archive), "--case", "utf-8", "--idle", "0.1", "--json")

    assert (status, verdicts(out)) == (0, {"utf-8": "passed", "idle": "passed"})


@pytest.mark.parametrize(("file", "handler"), [("app.py", "app.handler"), ("conformance.py", "conformance.handler")])
def test_a_functions_directory_runs_under_the_runtime_that_its_files_tell(
    file: str, handler: str, tmp_path: Path, lambdad: Command
) -> None:
    (tmp_path / file).write_text(PYTHON)

    status, out, err = lambdad("runtime", "test", str(tmp_path), "--case", "utf-8", "--case", "error", "--json")

    assert (status, verdicts(out)) == (0, {"utf-8": "passed", "error": "passed"})
    assert f"handler {handler}" in err


def test_what_is_not_executable_is_named(tmp_path: Path, lambdad: Command) -> None:
    (tmp_path / "bootstrap").write_text("#!/bin/sh\n")

    status, _, err = lambdad("runtime", "test", str(tmp_path))

    assert status == 1
    assert "chmod +x" in err


def test_an_interpreter_that_is_missing_is_explained(tmp_path: Path, lambdad: Command) -> None:
    program = write_client(tmp_path)
    program.write_text("#!/no/such/interpreter\n")

    status, _, err = lambdad("runtime", "test", str(program))

    assert status == 1
    assert "interpreter" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--case", "no-such-case"], "no such --case"),
        (["--layer", "."], "needs --sandbox"),
        (["--runtime", "dotnet8"], "does not provide"),
    ],
)
def test_wrong_use_is_told(arguments: list[str], message: str, tmp_path: Path, lambdad: Command) -> None:
    write_client(tmp_path)

    status, _, err = lambdad("runtime", "test", str(tmp_path), *arguments)

    assert status != 0
    assert message in " ".join(err.split())


def test_an_archive_that_lambda_would_refuse_is_refused(tmp_path: Path, lambdad: Command) -> None:
    archive = tmp_path / "function.zip"
    archive.write_bytes(zip_of({"../bootstrap": "#!/bin/sh\n"}))

    status, _, err = lambdad("runtime", "test", str(archive))

    assert status == 1
    assert "neither a directory nor a zip that Lambda takes" in " ".join(err.split())
