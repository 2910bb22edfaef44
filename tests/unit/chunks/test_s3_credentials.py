"""Whose keys sign the requests to a bucket: given ones, or what each link of AWS's chain has."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from lambdad.chunks.interface import StoreUnavailable
from lambdad.chunks.objects import ObjectMissing, open_s3
from lambdad.chunks.s3_credentials import GivenKeys, find_keys
from lambdad.testing.chunk_servers import free_port


@dataclass
class Cloud:
    """A server that is S3 (everything is missing), the metadata of an instance, and that of a container."""

    url: str = ""
    signed: list[tuple[str, str]] = field(default_factory=list)
    """Access key and session token of each request to S3."""

    def answer(self, method: str, path: str, headers: dict[str, str]) -> tuple[int, str]:
        role = "/latest/meta-data/iam/security-credentials/"
        if (method, path) == ("PUT", "/latest/api/token"):
            return 200, "metadata-token"
        if path.startswith("/latest/") and headers.get("x-aws-ec2-metadata-token") != "metadata-token":
            return 401, ""
        if path == role:
            return 200, "worker-role"
        if path == f"{role}worker-role":
            return 200, json.dumps({"Code": "Success", **_temporary("instance")})
        if path == "/container":
            return 200, json.dumps(_temporary("container"))
        key = headers.get("authorization", "").partition("Credential=")[2].partition("/")[0]
        self.signed.append((key, headers.get("x-amz-security-token", "")))
        return 404, "<Error><Code>NoSuchKey</Code></Error>"


def _temporary(owner: str) -> dict[str, str]:
    expires = (datetime.now(UTC) + timedelta(hours=6)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"AccessKeyId": owner, "SecretAccessKey": "hush", "Token": f"{owner}-token", "Expiration": expires}


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    found = Cloud()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, body = found.answer(self.command, self.path, headers)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        do_PUT = do_GET

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An environment in which AWS's tools find nothing; the directory of its files."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def ask(cloud: Cloud, keys: GivenKeys | None = None) -> tuple[str, str]:
    """Who signed a read of the bucket."""

    async def run() -> None:
        objects = open_s3("bucket", endpoint=cloud.url, keys=keys)
        for _ in range(3):
            with pytest.raises(ObjectMissing):
                await objects.get("x")

    asyncio.run(run())
    assert len(cloud.signed) == 3
    assert len(set(cloud.signed)) == 1
    return cloud.signed[0]


def test_given_keys_win_over_the_environment(cloud: Cloud, bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "environment")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "environment-token")
    assert ask(cloud, GivenKeys("given", "hush")) == ("given", "")


def test_given_keys_may_be_temporary(cloud: Cloud, bare: Path) -> None:
    assert ask(cloud, GivenKeys("given", "hush", "given-token")) == ("given", "given-token")


def test_the_environment(cloud: Cloud, bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "environment")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "environment-token")
    assert ask(cloud) == ("environment", "environment-token")


def test_the_role_of_an_instance(cloud: Cloud, bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", cloud.url)
    assert ask(cloud) == ("instance", "instance-token")


def test_the_role_of_a_container(cloud: Cloud, bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (bare / "token").write_text("container-authorization")
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{cloud.url}/container")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(bare / "token"))
    assert ask(cloud) == ("container", "container-token")


def test_who_has_none_is_told_where_they_could_be(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", f"http://127.0.0.1:{free_port()}")

    async def run() -> None:
        with pytest.raises(StoreUnavailable, match=r"set AWS_ACCESS_KEY_ID .* or give the machine a role"):
            await open_s3("bucket", endpoint=f"http://127.0.0.1:{free_port()}").get("x")

    asyncio.run(run())


def test_a_profile_has_its_turn_behind_keys_and_a_web_identity(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text(
        "[default]\naws_access_key_id=d\naws_secret_access_key=hush\n[ci]\naws_access_key_id=c\n"
        "aws_secret_access_key=hush\naws_session_token=t\n"
    )
    here = {"AWS_SHARED_CREDENTIALS_FILE": str(file)}
    assert find_keys(here) == GivenKeys("d", "hush")
    assert find_keys({**here, "AWS_PROFILE": "ci"}) == GivenKeys("c", "hush", "t")
    assert find_keys({**here, "AWS_ACCESS_KEY_ID": "e", "AWS_SECRET_ACCESS_KEY": "hush"}) is None
    assert find_keys({**here, "AWS_WEB_IDENTITY_TOKEN_FILE": "/t", "AWS_ROLE_ARN": "r"}) is None


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"[other]\n",
        b"hush",
        b"\xff\xfe",
        b"[ci]\naws_access_key_id=c\n",
        b"[ci]\naws_access_key_id=\naws_secret_access_key=hush\n",
    ],
)
def test_a_useless_file_is_passed_over_unless_its_profile_was_asked_for(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "credentials"
    if content is not None:
        file.write_bytes(content)
    here = {"AWS_SHARED_CREDENTIALS_FILE": str(file)}
    assert find_keys(here) is None
    with pytest.raises(ValueError, match=r"profile ci of .* has no keys") as raised:
        find_keys({**here, "AWS_PROFILE": "ci"})
    assert "hush" not in str(raised.value)


def test_keys_show_nothing_but_their_name() -> None:
    assert repr(GivenKeys("id", "hush", "hush")) == "GivenKeys(access_key_id='id')"
