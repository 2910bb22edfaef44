"""Every operation with any request, in process: an answer in AWS's form that the service model allows, never a 500.

The same requests go to a real node, fewer of them, in tests/api/test_any_request.py.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from tests.any_request import requests

from lambdad.testing.control_plane import Plane, make_zip, open_plane
from lambdad.testing.control_wire import WiredPlane
from lambdad.testing.shapes import service_model
from lambdad.wire.http import Response

DEADLINE_S = 30.0
OPERATIONS = sorted(
    name
    for name in service_model().operation_names
    if name not in ("Invoke", "InvokeAsync", "InvokeWithResponseStream")
)


class Server:
    """A wired plane with a function, two versions, an alias, a URL and a layer, on a loop in a thread of its own."""

    def __init__(self, directory: Path) -> None:
        self._ready: concurrent.futures.Future[tuple[WiredPlane, asyncio.AbstractEventLoop, asyncio.Event]] = (
            concurrent.futures.Future()
        )
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(directory)))
        self._thread.start()
        self._wired, self._loop, self._done = self._ready.result(DEADLINE_S)

    async def _serve(self, directory: Path) -> None:
        done = asyncio.Event()
        try:
            async with open_plane(directory) as plane:
                await _fill(plane)
                self._ready.set_result((WiredPlane(plane), asyncio.get_running_loop(), done))
                await done.wait()
        except BaseException as error:
            if not self._ready.done():
                self._ready.set_exception(error)
            raise

    def ask(self, method: str, target: str, body: bytes, headers: dict[str, str]) -> Response:
        asked = self._wired.ask(method, target, body, headers)
        return asyncio.run_coroutine_threadsafe(asked, self._loop).result(DEADLINE_S)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._done.set)
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive()


async def _fill(plane: Plane) -> None:
    await plane.create("f", Tags={"a": "b"}, Environment={"Variables": {"A": "b"}})
    await plane.call("PublishVersion", FunctionName="f")
    await plane.update("f", Description="second")
    await plane.call("PublishVersion", FunctionName="f")
    await plane.call("CreateAlias", FunctionName="f", Name="a", FunctionVersion="1")
    await plane.call("CreateFunctionUrlConfig", FunctionName="f", AuthType="NONE")
    await plane.call("PublishLayerVersion", LayerName="a", Content={"ZipFile": make_zip()})
    await plane.create("a")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    started = Server(tmp_path_factory.mktemp("plane"))
    yield started
    started.close()


@pytest.mark.parametrize("name", OPERATIONS)
def test_whatever_is_asked_is_answered_as_the_model_allows(server: Server, name: str) -> None:
    @settings(
        max_examples=25,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(requests(service_model().operation_model(name)))
    def run(request: tuple[str, str, bytes, dict[str, str]]) -> None:
        method, target, body, headers = request
        try:
            assert server.ask(method, target, body, headers).status < 500
        except Exception as error:
            error.add_note(f"{method} {target[:300]} {body[:300]!r} {headers}")
            raise

    run()


HUGE = [
    b'{"Description": "' + b"a" * 7_000_000 + b'"}',
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b'{"Tags": {' + b",".join(b'"%d": ""' % number for number in range(100_000)) + b"}}",
    b'{"Layers": [' + b",".join([b'"x"'] * 100_000) + b"]}",
    b'{"MemorySize": ' + b"9" * 100_000 + b"}",
    b"\xff" * 100_000,
    b'{"Description": "\xed\xa0\x80"}',
    b'{"Description": "\\ud800"}',
    b'{"MemorySize": 1e400}',
    b'{"MemorySize": NaN}',
    b'{"Timeout": 3, "Timeout": "x"}',
]


@pytest.mark.parametrize("number", range(len(HUGE)))
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/2015-03-31/functions"),
        ("PUT", "/2015-03-31/functions/f/configuration"),
        ("PUT", "/2015-03-31/functions/f/code"),
        ("POST", "/2015-03-31/functions/f/policy"),
        ("POST", "/2018-10-31/layers/a/versions"),
        ("POST", "/2015-03-31/event-source-mappings"),
    ],
)
def test_huge_and_broken_bodies_are_refused(server: Server, method: str, path: str, number: int) -> None:
    status = server.ask(method, path, HUGE[number], {"Content-Type": "application/json"}).status
    assert (
        400 <= status < 500 or (number == 11 and status == 200) or (path.endswith("/configuration") and status == 200)
    )


TARGETS = [
    "/",
    "//",
    "/2015-03-31/functions//",
    "/2015-03-31/functions/%",
    "/2015-03-31/functions/%zz",
    "/2015-03-31/functions/%ff",
    "/2015-03-31/functions/%00",
    "/2015-03-31/functions/%2F",
    "/2015-03-31/functions/..%2f..%2fetc",
    "/2015-03-31/functions/f%3Aa",
    "/2015-03-31/functions/f%253Aa",
    "/2015-03-31/functions/f?Qualifier=a&Qualifier=1",
    "/2015-03-31/functions/f?Qualifier=%ff",
    "/2015-03-31/functions/f?Qualifier",
    "/2015-03-31/functions/f?&&&=",
    "/2015-03-31/functions/f?" + "a=b&" * 5_000,
    "/2015-03-31/functions?MaxItems=1e3",
    "/2015-03-31/functions?MaxItems=" + "9" * 5_000,
    "/2015-03-31/functions?Marker=" + "A" * 5_000,
    "/2015-03-31/functions?Marker=bnVsbA==",
    "/2015-03-31/functions?FunctionVersion=all",
    "/2017-03-31/tags/arn%3Aaws%3Alambda",
    "/2018-10-31/layers/a/versions/1.5",
    "/2018-10-31/layers/a/versions/-1",
    "/2018-10-31/layers/a/versions/" + "9" * 30,
    "/2018-10-31/layers?find=LayerVersion&Arn=x",
    "/2018-10-31/layers?find=Else",
    "/" + "a/" * 20_000,
]


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: str(target)[:40])
@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE", "PATCH", "HEAD", "BREW"])
def test_odd_targets_are_answered(server: Server, method: str, target: str) -> None:
    response = server.ask(method, target, b"", {})
    assert response.status < 500
    assert response.status < 300 or json.loads(response.body)["Type"] == "User"
