"""`lambdad keys` on a data directory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lambdad.cli.main import run


def _run(capsys: pytest.CaptureFixture[str], directory: Path, *arguments: str) -> tuple[int, str, str]:
    status = run(["keys", *arguments, "--data-dir", str(directory)])
    told = capsys.readouterr()
    return status, told.out, told.err


def test_a_key_is_made_listed_and_taken_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = _run(capsys, tmp_path, "create", "ada", "--policy", "AWSLambdaRole", "--days", "1", "--json")
    made = json.loads(out)
    assert (status, made["Arn"]) == (0, "arn:aws:iam::000000000000:user/ada")
    status, out, _ = _run(capsys, tmp_path, "ls")
    assert made["AccessKeyId"] in out
    assert "AWSLambdaRole" in out
    assert made["SecretAccessKey"] not in out
    assert _run(capsys, tmp_path, "revoke", made["AccessKeyId"])[0] == 0
    assert json.loads(_run(capsys, tmp_path, "ls", "--json")[1]) == []


def test_a_policy_is_checked_before_there_is_a_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy = tmp_path / "policy.json"
    policy.write_text('{"Statement": [{"Effect": "Allow", "Action": "*"}]}')
    status, _, err = _run(capsys, tmp_path, "create", "--policy", str(policy))
    assert status == 1
    assert "either Resource or NotResource" in err
    status, _, err = _run(capsys, tmp_path, "create", "--policy", "NoSuchAccess")
    assert "or one of AdministratorAccess" in err
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("arguments", [("create", "--account", "1"), ("create", "a/b"), ("revoke", "AKIAX")])
def test_what_is_wrong_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    (tmp_path / "state").mkdir()
    status, _, err = _run(capsys, tmp_path, *arguments)
    assert status == 1
    assert err.startswith("error: ")


def test_a_temporary_key_is_shown_for_a_shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = _run(capsys, tmp_path, "create", "ada", "--temporary", "--days", "1")
    assert status == 0
    assert [line.partition("=")[0] for line in out.splitlines()] == [
        "export AWS_ACCESS_KEY_ID",
        "export AWS_SECRET_ACCESS_KEY",
        "export AWS_SESSION_TOKEN",
    ]
    assert "the secret is not shown again" in err
    assert "a temporary key must expire" in _run(capsys, tmp_path, "create", "--temporary")[2]
    token = out.splitlines()[2].partition("=")[2]
    assert token not in _run(capsys, tmp_path, "ls", "--json")[1]
