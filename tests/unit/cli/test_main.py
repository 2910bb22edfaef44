"""The list of commands, their help, and exit statuses."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lambdad.cli.main import COMMANDS

Command = Callable[..., tuple[int, str, str]]


def test_help_lists_every_command_and_how_to_reach_aws(lambdad: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    status, out, _ = lambdad("--help")
    assert status == 0
    for entry in COMMANDS:
        assert f" {entry.name} " in out
        assert lambdad(entry.name, "--help")[0] == 0
    assert "--endpoint" in lambdad("invoke", "--help")[1]
    assert "AWS itself" in " ".join(lambdad("invoke", "--help")[1].split())


def test_an_unknown_command_is_wrong_use(lambdad: Command) -> None:
    status, _, err = lambdad("fly")
    assert status == 2
    assert "No such command 'fly'" in err
