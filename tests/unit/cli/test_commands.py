"""The small commands, and what all of them share: endpoints, credentials, errors, help."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lambdad import __version__
from lambdad.cli.endpoint import resolve_endpoint
from lambdad.cli.errors import CliError
from lambdad.cli.main import COMMANDS
from lambdad.node import up as node
from lambdad.node.config import Config

Command = Callable[..., tuple[int, str, str]]


def function(name: str, version: str = "$LATEST", **more: Any) -> dict[str, Any]:
    return {
        "FunctionName": name,
        "Version": version,
        "Runtime": "python3.11",
        "Handler": "app.handler",
        "CodeSize": 1234,
        "MemorySize": 128,
        "Timeout": 3,
        "LastModified": "2026-01-02T03:04:05.678+0000",
        **more,
    }


def test_functions_are_listed_in_order(fake: Any, lambdad: Command) -> None:
    fake.functions = {
        "b": function("b"),
        "a": function("a", PackageType="Image"),
        "a2": function("a", "10"),
        "a1": function("a", "9"),
    }
    status, out, err = lambdad("ls", "--versions")
    assert (status, err) == (0, "")
    rows = [line.split() for line in out.splitlines()]
    assert rows[0] == ["Function", "Version", "Runtime", "Handler", "Code", "Memory", "Timeout", "Modified"]
    assert [row[:3] for row in rows[1:]] == [
        ["a", "$LATEST", "(image)"],
        ["a", "9", "python3.11"],
        ["a", "10", "python3.11"],
        ["b", "$LATEST", "python3.11"],
    ]
    assert rows[-1][4:] == ["1.2", "kB", "128", "MB", "3", "s", "2026-01-02", "03:04:05"]
    assert fake.parameters("ListFunctions") == {"FunctionVersion": "ALL"}


def test_a_list_for_programs_is_json(fake: Any, lambdad: Command) -> None:
    fake.functions = {"a": function("a")}
    assert [item["FunctionName"] for item in json.loads(lambdad("ls", "--json")[1])] == ["a"]
    fake.functions = {}
    assert lambdad("ls") == (0, "", f"no functions at {fake.url}\n")
    assert json.loads(lambdad("ls", "--json")[1]) == []


def test_a_function_is_deleted_when_it_is_meant(fake: Any, lambdad: Command) -> None:
    fake.functions = {"a": function("a"), "b": function("b")}
    assert lambdad("rm", "a")[0] == 2
    assert "a" in fake.functions
    assert lambdad("rm", "a", "--yes") == (0, "deleted a\n", "")
    assert json.loads(lambdad("rm", "b", "--yes", "--qualifier", "3", "--json")[1]) == {"deleted": "b:3"}
    assert fake.parameters("DeleteFunction") == {"FunctionName": "b", "Qualifier": "3"}


def test_the_version_is_printed(lambdad: Command) -> None:
    assert lambdad("version") == (0, f"lambdad {__version__}\n", "")
    assert json.loads(lambdad("version", "--json")[1])["lambdad"] == __version__


def test_the_version_needs_neither_boto3_nor_the_node() -> None:
    code = (
        "import sys; from lambdad.cli.main import run; run(['version']);"
        "print([name for name in ('boto3', 'botocore', 'rich', 'asyncio', 'lambdad.node.up') if name in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert printed.stdout == f"lambdad {__version__}\n[]\n"


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


def test_nothing_at_the_endpoint_says_what_to_do(lambdad: Command) -> None:
    expected = (1, "", "error: nothing answers at http://127.0.0.1:9: start `lambdad up`, or name another --endpoint\n")
    assert lambdad("ls", "--endpoint", "127.0.0.1:9") == expected
    assert lambdad("logs", "f", "--endpoint", "127.0.0.1:9") == expected


@pytest.mark.parametrize(
    ("option", "environment", "expected"),
    [
        (None, {}, "http://127.0.0.1:9000"),
        (None, {"AWS_ENDPOINT_URL": "http://a:1"}, "http://a:1"),
        (None, {"AWS_ENDPOINT_URL": "http://a:1", "AWS_ENDPOINT_URL_LAMBDA": "https://b/"}, "https://b"),
        ("localhost:9001", {"AWS_ENDPOINT_URL": "http://a:1"}, "http://localhost:9001"),
        ("aws", {"AWS_ENDPOINT_URL": "http://a:1"}, None),
        (None, {"AWS_ENDPOINT_URL_LAMBDA": ""}, "http://127.0.0.1:9000"),
    ],
)
def test_the_endpoint_is_the_nearest_that_is_named(
    option: str | None, environment: dict[str, str], expected: str | None
) -> None:
    assert resolve_endpoint(option, environment).url == expected


@pytest.mark.parametrize("option", ["ftp://x", "http://", "http://x:port", "http://[x"])
def test_what_is_no_url_is_refused(option: str) -> None:
    with pytest.raises(CliError, match="is not a URL"):
        resolve_endpoint(option, {})


def test_credentials_and_region_are_invented_only_where_there_are_none(
    fake: Any, lambdad: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    lambdad("ls")
    assert "Credential=lambdad/" in fake.authorizations[-1]
    assert "/us-east-1/lambda/" in fake.authorizations[-1]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "123456789012")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    lambdad("ls")
    assert "Credential=123456789012/" in fake.authorizations[-1]
    assert "/eu-west-1/lambda/" in fake.authorizations[-1]


def test_aws_without_credentials_says_so(lambdad: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    status, _, err = lambdad("ls", "--endpoint", "aws")
    assert (status, err) == (1, "error: no AWS credentials: configure them, or name the --endpoint of a lambdad\n")


def test_up_runs_a_node_with_the_configuration_that_was_asked_for(
    lambdad: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Config] = []
    monkeypatch.setattr(node, "run", lambda config: started.append(config) or 7)
    file = tmp_path / "lambdad.toml"
    file.write_text('port = 9100\nregion = "eu-west-1"\n')
    status, _, _ = lambdad("up", "--config", str(file), "--port", "9200", "--data-dir", str(tmp_path), "--json-logs")
    assert status == 7
    assert started == [Config(port=9200, region="eu-west-1", data_dir=tmp_path, json_logs=True)]


def test_up_refuses_a_bad_configuration_in_one_line(lambdad: Command) -> None:
    status, _, err = lambdad("up", "--config", "/no/such/file")
    assert (status, err) == (1, "error: cannot read /no/such/file: No such file or directory\n")
    assert lambdad("up", "--port", "99999")[0] == 1
