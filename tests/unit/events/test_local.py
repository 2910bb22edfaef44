"""Files and webhooks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from lambdad.events.destinations import DeliveryError
from lambdad.events.event import Event
from lambdad.events.local import FileSender, WebhookSender
from lambdad.events.records import delivery
from lambdad.model.destination import parse_destination
from lambdad.testing.specs import HERE

EVENT = Event(namespace=HERE, function="f", qualifier=None, request_id="r", trace_id="t", payload=b"{}", accepted=0.0)
RECORD = delivery("on-success", "arn", EVENT, b'{"a":1}', 1.0)


def send(sender: FileSender | WebhookSender, target: str) -> None:
    destination = parse_destination(f"arn:aws:lambdad:::{target}")
    assert destination is not None
    sender.send(RECORD, destination)


def test_a_record_is_one_whole_file_however_often_it_comes(tmp_path: Path) -> None:
    for _ in range(2):
        send(FileSender(tmp_path), "file/audit")
    [found] = tmp_path.rglob("*.json")
    assert (found.name, found.read_bytes()) == ("r.on-success.json", b'{"a":1}')
    assert len(list((tmp_path / "audit").iterdir())) == 1


def test_a_file_that_cannot_be_written_is_a_failed_delivery(tmp_path: Path) -> None:
    (tmp_path / "audit").write_text("in the way")
    with pytest.raises(DeliveryError, match="cannot write"):
        send(FileSender(tmp_path), "file/audit")


@pytest.fixture
def hook() -> Iterator[Any]:
    """A server: `status` is what it answers, `calls` what it got."""

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            server.calls.append((self.path, dict(self.headers), body))  # type: ignore[attr-defined]
            self.send_response(server.status)  # type: ignore[attr-defined]
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Hook) as server:
        server.status, server.calls = 200, []  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_webhook_gets_the_record_and_its_key(hook: Any) -> None:
    send(WebhookSender(), f"webhook/http://127.0.0.1:{hook.server_port}/in?x=1")
    [(path, headers, body)] = hook.calls
    assert (path, body, headers["Idempotency-Key"]) == ("/in?x=1", b'{"a":1}', "r/on-success")
    assert headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("status", [302, 400, 500])
def test_anything_but_success_is_a_failed_delivery_and_no_redirect_is_followed(hook: Any, status: int) -> None:
    hook.status = status
    with pytest.raises(DeliveryError, match=f"answered {status}"):
        send(WebhookSender(), f"webhook/http://127.0.0.1:{hook.server_port}")
    assert len(hook.calls) == 1


@pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::1]", "[::ffff:169.254.169.254]"])
def test_nothing_is_sent_to_link_local_addresses(host: str) -> None:
    with pytest.raises(DeliveryError, match="link-local"):
        send(WebhookSender(), f"webhook/http://{host}/latest")


def test_a_webhook_that_is_not_there_is_a_failed_delivery(hook: Any) -> None:
    with pytest.raises(DeliveryError, match="refused"):
        send(WebhookSender(), "webhook/http://127.0.0.1:1/")
