"""The requests that AWS's services get, caught on their way."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from lambdad.events.aws import AwsSender
from lambdad.events.destinations import DeliveryError
from lambdad.events.event import Event
from lambdad.events.records import DeliveryKind, delivery
from lambdad.model.destination import parse_destination
from lambdad.testing.specs import HERE

EVENT = Event(namespace=HERE, function="f", qualifier=None, request_id="r", trace_id="t", payload=b"{}", accepted=0.0)


class Cloud:
    """answers: status and body for each X-Amz-Target, else 200 and `{}`."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, bytes]] = []
        self.answers: dict[str, tuple[int, Any]] = {}
        self.url = ""


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    found = Cloud()

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            target = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
            found.calls.append((target or self.command, self.path, body))
            status, document = found.answers.get(target, (200, {}))
            answer = json.dumps(document).encode() if target else b""  # S3 speaks XML
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.0")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_POST = do_PUT = _serve

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", found.url)
        monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
            monkeypatch.delenv(name, raising=False)
        yield found
        server.shutdown()
        thread.join()


def send(cloud: Cloud, target: str, kind: DeliveryKind = "on-success", **attributes: str) -> None:
    destination = parse_destination(target)
    assert destination is not None
    record = delivery(kind, target, EVENT, b'{"a":1}', 1_573_755_365.0, attributes)
    AwsSender({"AWS_ENDPOINT_URL": cloud.url}).send(record, destination)


def test_sqs_gets_the_body_and_typed_attributes(cloud: Cloud) -> None:
    cloud.answers["GetQueueUrl"] = (200, {"QueueUrl": f"{cloud.url}/q"})
    send(cloud, "arn:aws:sqs:eu-west-1:000000000000:q", "dead-letter", ErrorCode="200", RequestID="r")
    asked, sent = (json.loads(body) for _, _, body in cloud.calls)
    assert asked == {"QueueName": "q", "QueueOwnerAWSAccountId": "000000000000"}
    assert sent["MessageBody"] == '{"a":1}'
    assert sent["MessageAttributes"] == {
        "ErrorCode": {"DataType": "Number", "StringValue": "200"},
        "RequestID": {"DataType": "String", "StringValue": "r"},
    }


def test_a_bus_that_refuses_the_entry_is_a_failed_delivery(cloud: Cloud) -> None:
    cloud.answers["PutEvents"] = (200, {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "E", "ErrorMessage": "m"}]})
    with pytest.raises(DeliveryError, match="E: m"):
        send(cloud, "arn:aws:events:us-east-1:000000000000:event-bus/b", "on-failure")
    [(_, _, body)] = cloud.calls
    [entry] = json.loads(body)["Entries"]
    assert entry["DetailType"] == "Lambda Function Invocation Result - Failure"
    assert (entry["Source"], entry["Detail"]) == ("lambda", '{"a":1}')


def test_an_object_has_the_same_name_each_time(cloud: Cloud) -> None:
    for _ in range(2):
        send(cloud, "arn:aws:s3:::bucket", "on-failure")
    first, second = cloud.calls
    assert first[1] == second[1]
    assert first[1].startswith("/bucket/aws/lambda/async/f/2019/11/14/2019-11-14T18.16.05-")


def test_an_error_of_the_service_is_a_failed_delivery_after_one_call(cloud: Cloud) -> None:
    cloud.answers["GetQueueUrl"] = (500, {"message": "down"})
    with pytest.raises(DeliveryError):
        send(cloud, "arn:aws:sqs:us-east-1:000000000000:q")
    assert len(cloud.calls) == 1
