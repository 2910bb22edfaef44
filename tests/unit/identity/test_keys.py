"""The file of keys: written whole, read as it is now, never open by accident."""

from __future__ import annotations

from pathlib import Path

import pytest

from lambdad.identity.keys import AccessKey, KeyFile, KeysError, new_key


def _key(user: str = "ada", **members: object) -> AccessKey:
    values: dict[str, object] = {"account": "111111111111", "user": user, "policies": (), "now": 1.0, "expires": 0.0}
    return new_key(**{**values, **members})  # type: ignore[arg-type]


def test_keys_are_created_found_and_revoked(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    writer, reader = KeyFile(path), KeyFile(path)
    assert reader.read() is None
    one, two = _key(), _key("bob", policies=("{}",))
    writer.create(one)
    assert reader.all() == {one.id: one}
    writer.create(two)
    assert reader.all() == {one.id: one, two.id: two}
    writer.revoke(one.id)
    assert one.id not in reader.all()
    writer.revoke(two.id)
    assert reader.all() == {}
    assert reader.read() == {}  # a node whose last key is gone does not open
    with pytest.raises(KeysError, match="there is no key AKIANOTHING"):
        writer.revoke("AKIANOTHING")


def test_nobody_else_reads_the_file_and_nothing_else_is_left(tmp_path: Path) -> None:
    KeyFile(tmp_path / "keys.json").create(_key())
    assert [(path.name, path.stat().st_mode & 0o777) for path in tmp_path.iterdir()] == [("keys.json", 0o600)]


def test_a_secret_is_in_no_text_of_a_key() -> None:
    key = _key()
    assert key.secret not in repr(key)
    assert key.id.startswith("AKIA")
    assert (len(key.id), len(key.secret)) == (20, 40)


def test_a_key_without_policies_is_the_accounts_root() -> None:
    assert _key().arn == "arn:aws:iam::111111111111:root"
    assert _key(policies=("{}",)).arn == "arn:aws:iam::111111111111:user/ada"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"keys": [{}]}', '{"keys": [{"id": "x", "more": 1}]}', "\udcff"])
def test_a_damaged_file_is_an_error_and_not_an_empty_one(tmp_path: Path, content: str) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(KeysError):
        KeyFile(path).all()


@pytest.mark.parametrize(("member", "value"), [("account", "12"), ("user", "a/b"), ("user", "")])
def test_names_that_are_none_are_refused(member: str, value: str) -> None:
    with pytest.raises(KeysError):
        _key(**{member: value})


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeysError, match="start `lambdad up` with this --data-dir once"):
        KeyFile(tmp_path / "none" / "keys.json").create(_key())
