"""What the settings of a node make of the chunk tiers, and where credentials do not show."""

from __future__ import annotations

from pathlib import Path

import pytest

from lambdad.node.chunk_tiers import store_of, tiers_of
from lambdad.node.config import Config, ConfigError

WORDS = {"AWS_ACCESS_KEY_ID": "an-id", "AWS_SECRET_ACCESS_KEY": "hush-hush"}


def test_without_settings_chunks_are_in_the_data_directory_and_not_cached_on_the_same_disk(tmp_path: Path) -> None:
    tiers = tiers_of(Config(data_dir=tmp_path), {})
    assert (tiers.origin_directory, tiers.bucket) == (str(tmp_path / "state" / "chunks"), "")
    assert (tiers.cache_directory, tiers.nodes) == ("", ())


def test_a_bucket_has_a_disk_cache_cache_nodes_and_the_credentials_of_the_environment(tmp_path: Path) -> None:
    config = Config(
        data_dir=tmp_path,
        chunk_store="s3://bucket/one",
        chunk_endpoint="http://127.0.0.1:1",
        cache_nodes=("redis://a:1", "b:2"),
        chunk_disk=3,
        chunk_memory=32,
    )
    tiers = tiers_of(config, WORDS)
    assert (tiers.bucket, tiers.prefix, tiers.endpoint, tiers.region) == (
        "bucket",
        "one",
        "http://127.0.0.1:1",
        "us-east-1",
    )
    assert (tiers.access_key_id, tiers.secret_access_key) == ("an-id", "hush-hush")
    assert (tiers.cache_directory, tiers.cache_bytes) == (str(tmp_path / "worker" / "chunks"), 3 * 1024**2)
    assert (tiers.memory_bytes, tiers.nodes) == (32 * 1024**2, ("redis://a:1", "redis://b:2"))


def test_builder_and_worker_have_the_same_store(tmp_path: Path) -> None:
    config = Config(data_dir=tmp_path, chunk_store="/srv/chunks")
    assert store_of(config, {}).origin_directory == tiers_of(config, {}).origin_directory == "/srv/chunks"


def test_a_credentials_file_wins_over_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text("[default]\naws_access_key_id = file-id\naws_secret_access_key = file%secret\n")
    store = store_of(Config(data_dir=tmp_path, chunk_store="s3://bucket", chunk_credentials=str(file)), WORDS)
    assert (store.access_key_id, store.secret_access_key) == ("file-id", "file%secret")


@pytest.mark.parametrize("content", [None, "aws_secret_access_key = hush-hush", "[default]\nhush-hush\n", "[other]\n"])
def test_a_credentials_file_of_no_use_is_named_without_its_content(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "credentials"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigError, match="chunk_credentials") as raised:
        store_of(Config(data_dir=tmp_path, chunk_store="s3://bucket", chunk_credentials=str(file)), {})
    assert "hush" not in str(raised.value)
    assert str(file) in str(raised.value)


def test_temporary_keys_keep_their_token(tmp_path: Path) -> None:
    store = store_of(Config(data_dir=tmp_path, chunk_store="s3://bucket"), {**WORDS, "AWS_SESSION_TOKEN": "hush-t"})
    assert store.session_token == "hush-t"
    file = tmp_path / "credentials"
    file.write_text("[default]\naws_access_key_id = i\naws_secret_access_key = s\naws_session_token = t\n")
    store = store_of(Config(data_dir=tmp_path, chunk_store="s3://bucket", chunk_credentials=str(file)), WORDS)
    assert (store.access_key_id, store.session_token) == ("i", "t")


def test_without_keys_a_profile_is_asked_and_then_whoever_opens_the_bucket_looks_for_a_role(tmp_path: Path) -> None:
    config = Config(data_dir=tmp_path, chunk_store="s3://bucket")
    file = tmp_path / "credentials"
    here = {"AWS_ACCESS_KEY_ID": "half-a-pair", "AWS_SHARED_CREDENTIALS_FILE": str(file)}
    store = store_of(config, here)
    assert (store.access_key_id, store.secret_access_key, store.session_token) == ("", "", "")
    file.write_text("[ci]\naws_access_key_id = i\naws_secret_access_key = s\n")
    assert store_of(config, {**here, "AWS_PROFILE": "ci"}).access_key_id == "i"
    with pytest.raises(ConfigError, match="profile cd"):
        store_of(config, {**here, "AWS_PROFILE": "cd"})


def test_cache_nodes_with_logins_reach_the_worker_and_nothing_that_is_printed(tmp_path: Path) -> None:
    config = Config(data_dir=tmp_path, cache_nodes=("rediss://me:hush-hush@a:1",), cache_authority="/etc/ca.pem")
    tiers = tiers_of(config, {})
    assert (tiers.nodes, tiers.node_authority) == (("rediss://me:hush-hush@a:1",), "/etc/ca.pem")
    assert "hush" not in repr(tiers) + repr(config)


def test_nobody_prints_the_credentials(tmp_path: Path) -> None:
    config = Config(data_dir=tmp_path, chunk_store="s3://bucket")
    assert "hush-hush" not in repr(tiers_of(config, WORDS))
    assert "hush-hush" not in config.to_json()
