"""Files tell the runtime and the handler."""

from __future__ import annotations

from pathlib import Path

import pytest

from lambdad.cli.errors import CliError
from lambdad.cli.guess import Guess, family_of, guess_function, newest

HANDLER = "import os\n\ndef handler(event, context):\n    pass\n"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"index.js": ""}, Guess("nodejs", "index.handler", "index.js")),
        ({"handler.cjs": ""}, Guess("nodejs", "handler.handler", "handler.cjs")),
        ({"app.py": HANDLER}, Guess("python", "app.handler", "app.py")),
        (
            {"lambda_function.py": "async def lambda_handler(e, c): ..."},
            Guess("python", "lambda_function.lambda_handler", "lambda_function.py"),
        ),
        ({"app.py": "x = 1", "main.py": HANDLER}, Guess("python", "main.handler", "main.py")),
        ({"app.py": "    def handler(self): ..."}, None),
        ({"app.py": "def handlers(): ..."}, None),
        ({"readme": ""}, None),
        ({}, None),
    ],
)
def test_files_tell_what_a_directory_is(tmp_path: Path, files: dict[str, str], expected: Guess | None) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert guess_function(tmp_path) == expected


def test_a_bootstrap_wins_if_it_can_run(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(HANDLER)
    bootstrap = tmp_path / "bootstrap"
    bootstrap.write_text("#!/bin/sh\n")
    bootstrap.chmod(0o644)
    with pytest.raises(CliError, match="is not executable"):
        guess_function(tmp_path)
    bootstrap.chmod(0o755)
    bootstrap.write_bytes(b"#!/bin/sh\r\n")
    with pytest.raises(CliError, match="Windows line ends"):
        guess_function(tmp_path)
    bootstrap.write_text("#!/bin/sh\n")
    assert guess_function(tmp_path) == Guess("provided", "bootstrap", "bootstrap")


@pytest.mark.parametrize(
    ("family", "expected"),
    [("python", "python3.14"), ("nodejs", "nodejs22.x"), ("provided", "provided.al2023"), ("java", None)],
)
def test_versions_are_compared_as_numbers(family: str, expected: str | None) -> None:
    known = [
        "python3.9",
        "python3.14",
        "python3.8",
        "nodejs8.10",
        "nodejs22.x",
        "nodejs4.3-edge",
        "provided",
        "provided.al2023",
    ]
    assert newest(known, family) == expected
    assert newest(["provided"], "provided") == "provided"


def test_a_runtime_has_a_family() -> None:
    assert [family_of(name) for name in ("python3.12", "nodejs20.x", "provided.al2", "custom", None)] == [
        "python",
        "nodejs",
        "provided",
        None,
        None,
    ]
