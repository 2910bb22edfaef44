"""Where credentials come from, and that a broken place is told and not passed over."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from lambdad.image.credentials import Credentials, Keychain
from lambdad.image.errors import ImageAccessDenied

AUTH = base64.b64encode(b"me:pa:ss").decode()


def keychain(tmp_path: Path, document: object) -> Keychain:
    (tmp_path / "config.json").write_text(document if isinstance(document, str) else json.dumps(document))
    return Keychain(str(tmp_path / "config.json"))


@pytest.mark.parametrize("key", ["reg.example:5000", "https://reg.example:5000", "https://reg.example:5000/v2/"])
def test_an_entry_is_found_however_the_tool_wrote_the_host(tmp_path: Path, key: str) -> None:
    found = keychain(tmp_path, {"auths": {"other.example": {"auth": "x"}, key: {"auth": AUTH}}})
    assert found.find("reg.example:5000") == Credentials("me", "pa:ss")
    assert found.find("reg.example") is None


def test_docker_hub_has_a_name_of_its_own(tmp_path: Path) -> None:
    found = keychain(tmp_path, {"auths": {"https://index.docker.io/v1/": {"auth": AUTH}}})
    assert found.find("docker.io") == Credentials("me", "pa:ss")


def test_an_identity_token_wins_over_a_password(tmp_path: Path) -> None:
    found = keychain(tmp_path, {"auths": {"r.io": {"auth": AUTH, "identitytoken": "tok"}}})
    assert found.find("r.io") == Credentials(identity_token="tok")


def test_a_helper_is_asked_for_its_registry_and_others_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper = tmp_path / "docker-credential-mine"
    helper.write_text(
        '#!/bin/sh\nread host\n[ "$1" = get ] && printf \'{"Username": "u-%s", "Secret": "s"}\' "$host"\n'
    )
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    found = keychain(tmp_path, {"credHelpers": {"r.io": "mine"}, "auths": {"q.io": {"auth": AUTH}}})
    assert found.find("r.io") == Credentials("u-r.io", "s")
    assert found.find("q.io") == Credentials("me", "pa:ss")


@pytest.mark.parametrize(
    "document",
    [
        "{",
        "[]",
        {"credsStore": "not-installed-anywhere"},
        {"credsStore": "../evil"},
        {"auths": {"r.io": {"auth": "%%"}}},
    ],
)
def test_a_broken_file_or_helper_is_an_error_not_anonymous_access(tmp_path: Path, document: object) -> None:
    with pytest.raises(ImageAccessDenied):
        keychain(tmp_path, document).find("r.io")


def test_no_file_means_no_credentials_and_secrets_are_never_printed(tmp_path: Path) -> None:
    assert Keychain(str(tmp_path / "none")).find("r.io") is None
    assert "hush" not in repr(Credentials("me", "hush"))
