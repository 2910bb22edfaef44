"""Configuration: what is set where, and what is refused."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from lambdad.node.config import Config, ConfigError, from_json, load


def test_options_win_over_the_file_and_the_file_over_defaults(tmp_path: Path) -> None:
    file = tmp_path / "lambdad.toml"
    file.write_text('port = 9001\nregion = "eu-west-1"\n')
    config = load(file, {"port": 9002, "region": None})
    assert (config.port, config.region, config.host) == (9002, "eu-west-1", "127.0.0.1")


def test_a_configuration_survives_its_way_to_a_process(tmp_path: Path) -> None:
    config = Config(data_dir=tmp_path, keep_alive=3.5, zygotes=False)
    assert from_json(config.to_json()) == config


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"prot": 1}, "unknown key 'prot'"),
        ({"port": "9000"}, "port must be int"),
        ({"port": 70_000}, "between 0 and 65535"),
        ({"zygotes": 1}, "zygotes must be bool"),
        ({"concurrency": 0}, "at least 1"),
        ({"account": "12"}, "12 digits"),
        ({"prepared": -1}, "not be negative"),
        ({"code_storage": 0}, "code_storage must be at least 1"),
        ({"egress": "all"}, "none, internet or host"),
        ({"base": "/no/such/base"}, "lambdad base build"),
        ({"auth": "none"}, "auto or required"),
    ],
)
def test_what_cannot_be_used_is_named_with_what_may_be(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load(None, options)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        load(tmp_path / "missing.toml", {})
    broken = tmp_path / "broken.toml"
    broken.write_text("port = ")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load(broken, {})


def test_what_others_reach_needs_keys() -> None:
    Config().check_keys(0)
    Config(host="0.0.0.0").check_keys(1)
    with pytest.raises(ConfigError, match="lambdad keys create --data-dir"):
        Config(host="0.0.0.0").check_keys(0)


def test_a_password_of_a_cache_node_is_taken_from_a_file_alone_and_never_shown(tmp_path: Path) -> None:
    nodes = ("redis://:hush@a:1", "rediss://me:hush@b:2")
    with pytest.raises(ConfigError, match="command line") as raised:
        load(None, {"cache_nodes": list(nodes)})
    assert "hush" not in str(raised.value)
    file = tmp_path / "node.toml"
    file.write_text(f"cache_nodes = {list(nodes)}")
    config = load(file, {})
    assert config.cache_nodes == from_json(config.to_json()).cache_nodes == nodes
    assert "hush" not in repr(config)
    for text in (
        'cache_nodes = "redis://:hush@a:1"',
        'cache_nodes = ["redis://:hush@a"x"]',
        's3_secret_key = ["hush"]',
    ):
        file.write_text(text)
        with pytest.raises(ConfigError) as raised:
            load(file, {})
        assert "hush" not in str(raised.value)


def test_the_same_cache_node_under_two_names_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="twice"):
        load(None, {"cache_nodes": ["redis://a:1", "rediss://a:1"]})


def test_the_document_has_every_key_with_its_default() -> None:
    text = (Path(__file__).parents[3] / "docs" / "configuration.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+?) \| .+ \|$", text, re.MULTILINE))
    assert rows.keys() == {item.name for item in fields(Config)}
    del rows["data_dir"]
    described = {key: tomllib.loads(f"value = {shown.strip('`')}")["value"] for key, shown in rows.items()}
    config = Config()
    assert described == {
        key: list(value) if isinstance(value := getattr(config, key), tuple) else value for key in described
    }
