"""A registry on a loopback port that can lie: wrong digests, cuts, endless bodies, refusals, redirects."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from lambdad.testing.image_blobs import ImageBlobs


@dataclass(slots=True)
class Request:
    """What a client asked for."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""


@dataclass(slots=True)
class Answer:
    """What it gets. endless: the body is repeated until the client goes. cut: bytes after which the line drops."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    endless: bool = False
    cut: int | None = None


Fault = Callable[[Request], Answer | None]
"""Asked first for every request; None means that the registry answers as it should."""


class FakeRegistry:
    """Images by `repository:tag`. Every request is kept in `requests`."""

    def __init__(self) -> None:
        self.images: dict[str, ImageBlobs] = {}
        self.requests: list[Request] = []
        self.fault: Fault = lambda _: None
        self.host = ""

    def answer(self, request: Request) -> Answer:
        self.requests.append(request)
        found = self.fault(request)
        return found if found is not None else self.honest(request)

    def honest(self, request: Request) -> Answer:
        """What a good registry says, ranges included."""
        path = request.path.removeprefix("/v2/")
        for kind in ("/manifests/", "/blobs/"):
            repository, found, pointer = path.partition(kind)
            if not found:
                continue
            for name, image in self.images.items():
                if name.partition(":")[0] != repository:
                    continue
                if kind == "/manifests/" and pointer == name.partition(":")[2]:
                    return Answer(200, image.manifest, {"Content-Type": image.media_type})
                if pointer in image.blobs:
                    return _ranged(image.blobs[pointer], request)
        return Answer(404, b'{"errors":[{"code":"NAME_UNKNOWN"}]}')


def _ranged(data: bytes, request: Request) -> Answer:
    wanted = request.headers.get("range", "")
    if wanted.startswith("bytes=") and wanted.endswith("-"):
        start = int(wanted[6:-1])
        return Answer(206, data[start:], {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"})
    return Answer(200, data)


@contextmanager
def fake_registry() -> Iterator[FakeRegistry]:
    """A registry that serves until the context ends. Its `host` is a loopback address with port."""
    registry = FakeRegistry()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._serve()

        def do_POST(self) -> None:
            self._serve()

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            headers = {key.lower(): value for key, value in self.headers.items()}
            answer = registry.answer(Request(self.command, self.path, headers, body))
            self.send_response(answer.status)
            for key, value in answer.headers.items():
                self.send_header(key, value)
            self.close_connection = True
            self.send_header("Connection", "close")
            if not answer.endless:
                self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            try:
                self.wfile.write(answer.body if answer.cut is None else answer.body[: answer.cut])
                while answer.endless:
                    self.wfile.write(answer.body)
            except ConnectionError:
                pass

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    registry.host = f"127.0.0.1:{server.server_port}"
    try:
        yield registry
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
