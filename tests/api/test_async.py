"""Event invokes on a real node: retries, records and dead letters at every kind of target, the queue's own pages."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from lambdad.testing.deploying import Deployed, deploy_python
from lambdad.testing.local_node import REGION, LocalNode, free_port
from lambdad.testing.waiting import wait_until

MOTO = shutil.which("moto_server", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
KEYS = {"AWS_ACCESS_KEY_ID": "000000000000", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": REGION}
SOURCE = """
def handler(event, context):
    if event.get("fail"):
        raise ValueError(event["fail"])
    return {"id": context.aws_request_id, "arn": context.invoked_function_arn, "event": event}
"""


@pytest.fixture(scope="module")
def cloud() -> Iterator[str]:
    """SQS, SNS, EventBridge and S3 by moto's server; its URL."""
    if MOTO is None:
        pytest.skip("moto's server is not installed")
    port = free_port()
    environment = {**os.environ, "MOTO_ACCOUNT_ID": "000000000000"}
    process = subprocess.Popen(
        [MOTO, "-H", "127.0.0.1", "-p", str(port)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            with urllib.request.urlopen(f"{url}/moto-api/data.json", timeout=5):
                return True
        except OSError:
            assert process.poll() is None, "moto's server ended"
            return False

    try:
        wait_until(answers, "moto's server")
        yield url
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, cloud: str) -> Iterator[LocalNode]:
    """A node whose retries are quick and whose AWS is `cloud`."""
    place = tmp_path_factory.mktemp("async")
    config = place / "lambdad.toml"
    config.write_text("retry_delays = [0.1, 0.2]\ndelivery_delays = [0.1, 0.2]\n")
    services = {f"AWS_ENDPOINT_URL_{name}": cloud for name in ("SQS", "SNS", "EVENTBRIDGE", "S3")}
    environment = {**os.environ, **KEYS, **services}
    with LocalNode.start(place / "data", arguments=("--config", str(config)), environment=environment) as node:
        yield node
        assert node.stop() == []


@pytest.fixture
def function(here: LocalNode) -> Iterator[Deployed]:
    with deploy_python(here.client(), SOURCE) as deployed:
        yield deployed


def aws(service: str, url: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
    )


def send(function: Deployed, event: Mapping[str, Any], **options: Any) -> str:
    """Invoke as Event; the request id."""
    outcome = function.invoke(event, InvocationType="Event", **options)
    assert (outcome.status, outcome.body, outcome.version) == (202, b"", None)
    return outcome.headers["x-amzn-requestid"]


def configure(function: Deployed, *, success: str = "", failure: str = "", **more: Any) -> None:
    targets = {"OnSuccess": success, "OnFailure": failure}
    function.client.put_function_event_invoke_config(
        FunctionName=function.name,
        DestinationConfig={side: {"Destination": arn} for side, arn in targets.items() if arn},
        **more,
    )


def record_in(node: LocalNode, name: str, request_id: str, kind: str) -> Any:
    """The record that a `file` destination holds, once it is there."""
    path = node.data_dir / "destinations" / name / f"{request_id}.{kind}.json"
    wait_until(path.exists, f"the record {path.name}")
    return json.loads(path.read_text())


class Mailbox:
    """An SQS queue of moto's."""

    def __init__(self, url: str, name: str) -> None:
        self._sqs = aws("sqs", url)
        self._queue = self._sqs.create_queue(QueueName=name)["QueueUrl"]
        self.arn = f"arn:aws:sqs:{REGION}:000000000000:{name}"

    def receive(self) -> Any:
        """The next message, once it is there."""
        found: list[Any] = []

        def arrived() -> bool:
            answer = self._sqs.receive_message(
                QueueUrl=self._queue, MessageAttributeNames=["All"], VisibilityTimeout=600
            )
            found.extend(answer.get("Messages", ()))
            return bool(found)

        wait_until(arrived, "a message in the queue")
        [message] = found
        return message


def queue_page(node: LocalNode, path: str, method: str = "GET") -> Any:
    request = urllib.request.Request(f"{node.endpoint}/_lambdad/queue{path}", method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


def cli(node: LocalNode, *arguments: str) -> str:
    command = [sys.executable, "-m", "lambdad", "queue", *arguments, "--endpoint", node.endpoint]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_success_is_recorded_as_aws_does(here: LocalNode, function: Deployed) -> None:
    configure(function, success="arn:aws:lambdad:::file/ok")
    request_id = send(function, {"n": 1})
    record = record_in(here, "ok", request_id, "on-success")
    arn = f"arn:aws:lambda:{REGION}:000000000000:function:{function.name}"
    assert record.pop("timestamp").endswith("Z")
    assert record == {
        "version": "1.0",
        "requestContext": {
            "requestId": request_id,
            "functionArn": f"{arn}:$LATEST",
            "condition": "Success",
            "approximateInvokeCount": 1,
        },
        "requestPayload": {"n": 1},
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST"},
        "responsePayload": {"id": request_id, "arn": arn, "event": {"n": 1}},
    }


def test_a_failing_function_is_tried_three_times_with_one_request_id(here: LocalNode, function: Deployed) -> None:
    configure(function, failure="arn:aws:lambdad:::file/bad")
    request_id = send(function, {"fail": "broken"})
    record = record_in(here, "bad", request_id, "on-failure")
    context = record["requestContext"]
    assert (context["condition"], context["approximateInvokeCount"]) == ("RetriesExhausted", 3)
    assert record["responseContext"]["functionError"] == "Unhandled"
    assert record["responsePayload"]["errorMessage"] == "broken"

    def starts() -> int:
        with urllib.request.urlopen(f"{here.endpoint}/_lambdad/logs/{function.name}", timeout=30) as answer:
            return answer.read().decode().count(f"START RequestId: {request_id}")

    wait_until(lambda: starts() == 3, "three starts in the log")


def test_no_retry_is_made_where_none_is_wanted(here: LocalNode, function: Deployed) -> None:
    configure(function, failure="arn:aws:lambdad:::file/once", MaximumRetryAttempts=0)
    record = record_in(here, "once", send(function, {"fail": "x"}), "on-failure")
    assert record["requestContext"]["approximateInvokeCount"] == 1


def test_reserved_concurrency_of_zero_ends_events_at_once(here: LocalNode, function: Deployed) -> None:
    configure(function, failure="arn:aws:lambdad:::file/zero")
    function.client.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=0)
    record = record_in(here, "zero", send(function, {"n": 1}), "on-failure")
    context = record["requestContext"]
    assert (context["condition"], context["approximateInvokeCount"]) == ("ZeroReservedConcurrency", 0)
    assert not {"responseContext", "responsePayload"} & record.keys()


def test_throttled_events_are_accepted_and_run_later(here: LocalNode, function: Deployed) -> None:
    configure(function, success="arn:aws:lambdad:::file/throttled")
    function.client.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=1)
    for request_id in [send(function, {"n": number}) for number in range(8)]:
        record = record_in(here, "throttled", request_id, "on-success")
        assert record["requestContext"]["approximateInvokeCount"] == 1


def test_waiting_events_run_the_new_code(here: LocalNode, function: Deployed) -> None:
    configure(function, success="arn:aws:lambdad:::file/new")
    function.client.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=1)
    function.update({"app.py": "import time\ndef handler(e, c):\n    time.sleep(e.get('s', 0)); return 'old'\n"})
    function.configure(Timeout=30)

    def is_throttled(event: dict[str, int]) -> bool:
        try:
            function.invoke(event)
        except ClientError as error:
            return bool(error.response["Error"]["Code"] == "TooManyRequestsException")
        return False

    def block() -> None:
        while is_throttled({"s": 3}):  # by the probe below, which needs the one place for a moment
            pass

    blocked = threading.Thread(target=block)
    blocked.start()

    wait_until(lambda: is_throttled({}), "the function to be busy")
    request_id = send(function, {})
    function.update({"app.py": "def handler(e, c):\n    return 'new'\n"})
    blocked.join(60)
    assert record_in(here, "new", request_id, "on-success")["responsePayload"] == "new"


def test_aliases_and_versions_have_settings_of_their_own(here: LocalNode, function: Deployed) -> None:
    version = function.client.publish_version(FunctionName=function.name)["Version"]
    function.client.create_alias(FunctionName=function.name, Name="live", FunctionVersion=version)
    function.client.put_function_event_invoke_config(
        FunctionName=function.name,
        Qualifier="live",
        DestinationConfig={"OnSuccess": {"Destination": "arn:aws:lambdad:::file/live"}},
    )
    record = record_in(here, "live", send(function, {}, Qualifier="live"), "on-success")
    assert record["requestContext"]["functionArn"].endswith(f"{function.name}:live")
    assert record["responseContext"]["executedVersion"] == version


def test_a_dead_letter_is_the_event_with_its_attributes(cloud: str, function: Deployed) -> None:
    mailbox = Mailbox(cloud, "letters")
    function.configure(DeadLetterConfig={"TargetArn": mailbox.arn})
    request_id = send(function, {"fail": "broken"})
    message = mailbox.receive()
    assert json.loads(message["Body"]) == {"fail": "broken"}
    attributes = {
        name: (value["DataType"], value["StringValue"]) for name, value in message["MessageAttributes"].items()
    }
    assert attributes == {
        "RequestID": ("String", request_id),
        "ErrorCode": ("Number", "200"),
        "ErrorMessage": ("String", "broken"),
    }


def test_records_go_to_sqs_and_through_sns(cloud: str, function: Deployed) -> None:
    direct, behind = Mailbox(cloud, "direct"), Mailbox(cloud, "behind-topic")
    sns = aws("sns", cloud)
    topic = sns.create_topic(Name="results")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=behind.arn)
    configure(function, success=direct.arn, failure=topic, MaximumRetryAttempts=0)
    good, bad = send(function, {"n": 1}), send(function, {"fail": "no"})
    assert json.loads(direct.receive()["Body"])["requestContext"]["requestId"] == good
    notification = json.loads(behind.receive()["Body"])
    assert json.loads(notification["Message"])["requestContext"]["requestId"] == bad


def test_records_go_to_an_event_bus_and_failures_to_a_bucket(cloud: str, function: Deployed) -> None:
    events, s3 = aws("events", cloud), aws("s3", cloud)
    bus = events.create_event_bus(Name="bus")["EventBusArn"]
    mailbox = Mailbox(cloud, "behind-bus")
    events.put_rule(Name="all", EventBusName="bus", EventPattern='{"source":["lambda"]}')
    events.put_targets(Rule="all", EventBusName="bus", Targets=[{"Id": "1", "Arn": mailbox.arn}])
    s3.create_bucket(Bucket="failures")
    configure(function, success=bus, failure="arn:aws:s3:::failures", MaximumRetryAttempts=0)
    good, bad = send(function, {"n": 1}), send(function, {"fail": "no"})
    event = json.loads(mailbox.receive()["Body"])
    assert event["detail-type"] == "Lambda Function Invocation Result - Success"
    assert event["detail"]["requestContext"]["requestId"] == good
    assert event["resources"] == [bus, event["detail"]["requestContext"]["functionArn"]]
    prefix = f"aws/lambda/async/{function.name}/"
    wait_until(lambda: s3.list_objects_v2(Bucket="failures", Prefix=prefix)["KeyCount"] > 0, "the object")
    [found] = s3.list_objects_v2(Bucket="failures", Prefix=prefix)["Contents"]
    body = s3.get_object(Bucket="failures", Key=found["Key"])["Body"].read()
    assert json.loads(body)["requestContext"]["requestId"] == bad


def test_a_function_is_called_with_the_record_of_another(here: LocalNode, function: Deployed) -> None:
    with deploy_python(here.client(), SOURCE) as second:
        arn = f"arn:aws:lambda:{REGION}:000000000000:function:{second.name}"
        configure(function, success=arn)
        configure(second, success="arn:aws:lambdad:::file/second")
        request_id = send(function, {"n": 1})
        directory = here.data_dir / "destinations" / "second"
        wait_until(lambda: directory.exists() and any(directory.glob("*.json")), "the second function's record")
        [path] = directory.glob("*.json")
        record = json.loads(path.read_text())
        assert record["requestPayload"]["requestContext"]["requestId"] == request_id
        assert record["requestContext"]["requestId"] != request_id


class _Hook(BaseHTTPRequestHandler):
    """Refuses the first call."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        calls = self.server.calls  # type: ignore[attr-defined]
        calls.append((self.path, self.headers["Idempotency-Key"], json.loads(body)))
        self.send_response(503 if len(calls) == 1 else 204)
        self.end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
        pass


def test_a_webhook_that_refuses_is_called_again(function: Deployed) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Hook) as server:
        server.calls = calls = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        configure(function, success=f"arn:aws:lambdad:::webhook/http://127.0.0.1:{server.server_port}/hook?a=b")
        request_id = send(function, {"n": 1})
        wait_until(lambda: len(calls) == 2, "two calls of the hook")
        server.shutdown()
        thread.join()
    assert calls[0] == calls[1]
    path, key, record = calls[1]
    assert (path, key) == ("/hook?a=b", f"{request_id}/on-success")
    assert record["requestContext"]["requestId"] == request_id


def test_what_no_target_takes_is_counted_kept_and_redriven(here: LocalNode, cloud: str, function: Deployed) -> None:
    function.configure(DeadLetterConfig={"TargetArn": f"arn:aws:sqs:{REGION}:000000000000:missing"})
    configure(function, MaximumRetryAttempts=0)
    request_id = send(function, {"fail": "x"})
    letter = f"{request_id}/dead-letter"

    def dead() -> list[str]:
        return [message["id"] for message in queue_page(here, "/messages?state=dead&lane=delivery")["messages"]]

    wait_until(lambda: letter in dead(), "the dead letter that nobody took")
    with urllib.request.urlopen(f"{here.endpoint}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    assert f'lambdad_dead_letter_errors_total{{function="{function.name}"}} 1.0' in text
    assert f'lambdad_async_events_dropped_total{{function="{function.name}",reason="RetriesExhausted"}} 1.0' in text
    assert "NonExistentQueue" in json.dumps(queue_page(here, f"/messages/{letter.replace('/', '%2F')}"))
    mailbox = Mailbox(cloud, "missing")
    assert cli(here, "redrive", letter) == "redriven: 1\n"
    assert json.loads(mailbox.receive()["Body"]) == {"fail": "x"}


def test_a_record_that_is_too_large_for_its_target_is_counted_and_kept(here: LocalNode, cloud: str) -> None:
    source = "def handler(event, context):\n    return 'x' * 2_000_000\n"
    with deploy_python(here.client(), source) as function:
        configure(function, success=Mailbox(cloud, "small").arn)
        record = f"{send(function, {})}/on-success"

        def dead() -> list[str]:
            return [message["id"] for message in queue_page(here, "/messages?state=dead&lane=delivery")["messages"]]

        wait_until(lambda: record in dead(), "the record that is too large")
        with urllib.request.urlopen(f"{here.endpoint}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        assert f'lambdad_destination_delivery_failures_total{{function="{function.name}"}} 1.0' in text


def test_the_queue_is_shown_redriven_and_purged_by_the_command(here: LocalNode, function: Deployed) -> None:
    configure(function, MaximumRetryAttempts=0)
    request_id = send(function, {"fail": "x"})

    def is_dead() -> bool:
        listed = json.loads(cli(here, "ls", "--dead", "--json", "--function", function.name))
        return [message["id"] for message in listed] == [request_id]

    wait_until(is_dead, "the event among the dead")
    shown = json.loads(cli(here, "show", request_id, "--json"))
    assert (shown["reason"], shown["payload"]) == ("RetriesExhausted", '{"fail": "x"}')
    function.update({"app.py": "def handler(e, c):\n    return 'mended'\n"})
    configure(function, success="arn:aws:lambdad:::file/mended")
    assert cli(here, "redrive", "--function", function.name) == "redriven: 1\n"
    assert record_in(here, "mended", request_id, "on-success")["responsePayload"] == "mended"
    assert cli(here, "purge", "--dead", "--function", function.name, "--yes") == "purged: 0\n"


def test_invoke_async_accepts_as_of_old(here: LocalNode, function: Deployed) -> None:
    configure(function, success="arn:aws:lambdad:::file/of-old")
    answer = function.client.invoke_async(FunctionName=function.name, InvokeArgs=b'{"n": 1}')
    assert answer["Status"] == 202
    record_in(here, "of-old", answer["ResponseMetadata"]["RequestId"], "on-success")
    with pytest.raises(ClientError, match="InvalidRequestContent"):
        function.client.invoke_async(FunctionName=function.name, InvokeArgs=b"{")


def test_events_that_cannot_be_are_refused_at_once(function: Deployed) -> None:
    invoke = function.client.invoke
    with pytest.raises(ClientError, match="ResourceNotFound"):
        invoke(FunctionName="nobody", InvocationType="Event")
    with pytest.raises(ClientError, match="InvalidRequestContent"):
        invoke(FunctionName=function.name, InvocationType="Event", Payload=b"{broken")
    with pytest.raises(ClientError, match="RequestTooLarge"):
        invoke(FunctionName=function.name, InvocationType="Event", Payload=b'"' + b"x" * 1024 * 1024 + b'"')
    for arn in ("arn:aws:lambdad:::file/../x", "arn:aws:lambdad:::webhook/ftp://x/", "arn:aws:sqs:::"):
        with pytest.raises(ClientError, match=r"InvalidParameterValue|ValidationException"):
            configure(function, success=arn)


def test_killed_again_and_again_no_accepted_event_is_lost_or_ends_twice(tmp_path: Path) -> None:
    """The whole node dies by SIGKILL under a stream of events; afterwards each has exactly one record."""
    config = tmp_path / "lambdad.toml"
    config.write_text("retry_delays = [0.1, 0.2]\nprepared = 0\n")
    data = tmp_path / "data"

    def start() -> LocalNode:
        return LocalNode.start(data, arguments=("--config", str(config)))

    node = start()
    function = deploy_python(node.client(), "def handler(e, c):\n    return 1 // e['n']\n")
    configure(
        function,
        success="arn:aws:lambdad:::file/good",
        failure="arn:aws:lambdad:::file/bad",
        MaximumRetryAttempts=1,
    )
    accepted: dict[str, bool] = {}
    for life in range(3):
        sender = threading.Thread(target=_stream, args=(Deployed(node.client(), function.name), accepted))
        before = len(accepted)
        sender.start()
        wait_until(lambda before=before, life=life: len(accepted) >= before + 150 + 37 * life, "events accepted")
        node.kill()
        sender.join(60)
        node = start()

    def records() -> tuple[set[str], set[str]]:
        found = (data / "destinations" / name for name in ("good", "bad"))
        good, bad = ({path.name.partition(".")[0] for path in directory.glob("*.json")} for directory in found)
        return good, bad

    wait_until(lambda: accepted.keys() <= set().union(*records()), "a record for each accepted event", 120)
    wait_until(lambda: _is_empty(node), "an empty queue", 120)
    good, bad = records()
    assert good & bad == set()
    assert all((request_id in good) == accepted[request_id] for request_id in accepted)
    assert node.stop() == []


def _is_empty(node: LocalNode) -> bool:
    usage = queue_page(node, "")
    return all(counts["waiting"] + counts["leased"] == 0 for counts in usage.values())


def _stream(function: Deployed, accepted: dict[str, bool]) -> None:
    """Events until the node is gone; every seventh fails."""
    number = 0
    while True:
        number += 1
        try:
            request_id = send(function, {"n": 0 if number % 7 == 0 else 1})
        except Exception:  # whatever botocore makes of a node that dies: this one was not accepted
            return
        accepted[request_id] = number % 7 != 0
