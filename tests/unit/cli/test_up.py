"""`lambdad up` turns options into the configuration of a node."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lambdad.node import up as node
from lambdad.node.config import Config

Command = Callable[..., tuple[int, str, str]]


def test_up_runs_a_node_with_the_configuration_that_was_asked_for(
    lambdad: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Config] = []
    monkeypatch.setattr(node, "run", lambda config, ready: started.append(config) or 7)
    file = tmp_path / "lambdad.toml"
    file.write_text('port = 9100\nregion = "eu-west-1"\n')
    status, _, _ = lambdad("up", "--config", str(file), "--port", "9200", "--data-dir", str(tmp_path), "--json-logs")
    assert status == 7
    assert started == [Config(port=9200, region="eu-west-1", data_dir=tmp_path, json_logs=True)]


def test_up_refuses_a_bad_configuration_in_one_line(lambdad: Command) -> None:
    status, _, err = lambdad("up", "--config", "/no/such/file")
    assert (status, err) == (1, "error: cannot read /no/such/file: No such file or directory\n")
    assert lambdad("up", "--port", "99999")[0] == 1
