"""examples/hello-php-fpm behind a function URL: HTTP as a browser means it, from a layer of Debian's PHP."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.api.test_function_url import ask, create_url

from lambdad.testing.deploying import Deployed
from lambdad.testing.example_layers import LayerFailed, deployed_example, obtain_layer, why_no_layers
from lambdad.testing.local_node import LocalNode

LAYER = "layers/php/layer.toml"


@pytest.fixture(scope="module")
def php() -> Path:
    """The zip of the layer with PHP."""
    if reason := why_no_layers():
        pytest.skip(reason)
    try:
        return obtain_layer(LAYER)
    except LayerFailed as error:
        if error.mirror:
            pytest.skip(f"the mirror or the disk failed: {error}")
        raise


@pytest.fixture(scope="module")
def site(php: Path, lambda_client: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    directory = tmp_path_factory.mktemp("site") / "task"
    options = {"MemorySize": 512, "Timeout": 60}
    with deployed_example(lambda_client, "php-fpm", directory, "provided.al2023", "index.php", **options) as function:
        yield function


@pytest.fixture(scope="module")
def url(site: Deployed) -> str:
    return create_url(site)


def test_the_layer_with_php_is_within_110_mb(php: Path) -> None:
    with zipfile.ZipFile(php) as archive:
        assert sum(entry.file_size for entry in archive.infolist()) <= 110 * 1024 * 1024


def test_a_request_reaches_the_script_as_cgi_has_it(node: LocalNode, url: str) -> None:
    headers = [("User-Agent", "Ünicode/1".encode().decode("latin-1")), ("Proxy", "http://evil")]
    answer = ask(node, url, path="/a/b%20c?word=stra%C3%9Fe&list[]=1&list[]=2", headers=headers)

    assert answer.status == 200
    assert answer.all("content-type") == ["application/json; charset=utf-8"]
    told = json.loads(answer.body)
    assert told["uri"] == "/a/b%20c?word=stra%C3%9Fe&list[]=1&list[]=2"
    assert told["query"] == {"word": "straße", "list": ["1", "2"]}
    assert told["upper"] == "STRASSE"
    assert told["proxy"] is False
    assert told["interface"] == "fpm-fcgi"


def test_fpm_and_its_extensions_are_those_of_the_layer(node: LocalNode, url: str) -> None:
    told = json.loads(ask(node, url).body)
    assert told["binary"].startswith("/opt/")
    assert {"curl", "mbstring", "intl", "xml", "gd", "Zend OPcache"} <= set(told["extensions"])


def test_forms_and_bytes_arrive_whole(node: LocalNode, url: str) -> None:
    form = [("Content-Type", "application/x-www-form-urlencoded")]
    told = json.loads(ask(node, url, "POST", body=b"name=Ada&tags[]=x&tags[]=y", headers=form).body)
    assert told["form"] == {"name": "Ada", "tags": ["x", "y"]}

    blob = bytes(range(256)) * 2000
    told = json.loads(ask(node, url, "PUT", body=blob, headers=[("Content-Type", "application/octet-stream")]).body)
    assert (told["method"], told["body_sha256"]) == ("PUT", hashlib.sha256(blob).hexdigest())


def test_cookies_go_both_ways(node: LocalNode, url: str) -> None:
    first = ask(node, url, path="/visits")
    assert first.body == b"1"
    assert first.all("set-cookie") == ["visits=1", "seen=yes; HttpOnly"]
    again = ask(node, url, path="/visits", headers=[("Cookie", "visits=41; seen=yes")])
    assert (again.body, again.all("set-cookie")[0]) == (b"42", "visits=42")


def test_bytes_that_are_no_text_come_back_as_they_are(node: LocalNode, url: str) -> None:
    answer = ask(node, url, path="/photo")
    assert answer.all("content-type") == ["image/png"]
    assert answer.body.startswith(b"\x89PNG\r\n\x1a\n") and answer.body.endswith(b"IEND\xaeB`\x82")


def test_a_status_is_the_scripts(node: LocalNode, url: str) -> None:
    answer = ask(node, url, path="/missing")
    assert (answer.status, answer.body) == (404, b"not here")


def test_a_worker_that_dies_fails_its_request_alone(node: LocalNode, url: str) -> None:
    assert ask(node, url, path="/crash").status == 502
    assert ask(node, url, path="/visits").body == b"1"
