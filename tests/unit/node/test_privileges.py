"""Who the API process becomes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lambdad.node import privileges
from lambdad.node.config import Config, ConfigError


def test_an_ordinary_user_stays_who_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "getegid", lambda: 1001)
    assert privileges.api_identity(Config(data_dir=tmp_path)) == (1000, 1001)


def test_root_gets_a_user_that_nobody_else_has(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    uid, gid = privileges.api_identity(Config(data_dir=tmp_path / "a"))
    assert uid == gid
    assert 61_184 <= uid < 65_520
    assert privileges.api_identity(Config(data_dir=tmp_path / "a")) == (uid, gid)


def test_a_user_that_does_not_exist_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(ConfigError, match="no user of this machine"):
        privileges.api_identity(Config(data_dir=tmp_path, api_user="nobody-like-this"))
