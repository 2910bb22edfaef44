"""Streamed responses on a real node: Python, Node.js and a custom runtime, over Invoke and over function URLs.

That the first byte comes before the handler has finished is shown without a clock: the function has more to write than
all buffers on the way can hold, so it cannot finish before the test reads on; the test reads the first byte, and only
then the rest. The same shows the back-pressure.
"""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import pytest

from lambdad.testing.deploying import Deployed, deploy, deploy_bootstrap, deploy_python
from lambdad.testing.local_node import LocalNode
from lambdad.testing.waiting import wait_until

BLOCK = 1024 * 1024
BLOCKS = 48
"""More than the window of a stream and every socket buffer on its way: at most about 20 MiB on Linux by default."""

NODE = """
const { once } = require("node:events");
exports.handler = awslambda.streamifyResponse(async (event, stream) => {
  const blocks = event.blocks ?? Number(event.queryStringParameters?.blocks ?? 0);
  stream.setContentType("text/x-first");
  stream.write("first;");
  console.log("began");
  const block = Buffer.alloc(1024 * 1024);
  for (let count = 0; count < blocks; count++) if (!stream.write(block)) await once(stream, "drain");
  if (event.fail) throw new RangeError("in the middle");
  console.log("finished");
  stream.end("last");
  await once(stream, "finish").catch(() => {});
});
"""
PYTHON = """
def handler(event, context):
    blocks = event.get("blocks", int((event.get("queryStringParameters") or {}).get("blocks", 0)))
    yield "first;"
    print("began")
    block = bytes(1024 * 1024)
    for _ in range(blocks):
        yield block
    if event.get("fail"):
        raise OverflowError("in the middle")
    print("finished")
    yield b"last"
"""
PYTHON_ASYNC = PYTHON.replace("def handler", "async def handler")
BASH = r"""#!/bin/bash
api=${AWS_LAMBDA_RUNTIME_API%:*} port=${AWS_LAMBDA_RUNTIME_API##*:}
chunk() { printf '%x\r\n' "$1" >&4; cat >&4; printf '\r\n' >&4; }
while :; do
  exec 3<>/dev/tcp/$api/$port
  printf 'GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n' >&3
  id= event= blocks=0
  while IFS= read -r line <&3; line=${line%$'\r'}; [ -n "$line" ]; do
    case ${line,,} in lambda-runtime-aws-request-id:*) id=${line#*: };; esac
  done
  event=$(cat <&3); exec 3>&-
  [[ $event =~ \"blocks\":\"?\ *([0-9]+) ]] && blocks=${BASH_REMATCH[1]}
  exec 4<>/dev/tcp/$api/$port
  printf 'POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\r\nHost: x\r\n' "$id" >&4
  printf 'Lambda-Runtime-Function-Response-Mode: streaming\r\nContent-Type: text/x-first\r\n' >&4
  printf 'Trailer: Lambda-Runtime-Function-Error-Type\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n' >&4
  printf 'first;' | chunk 6
  echo began
  for ((count = 0; count < blocks; count++)); do head -c 1048576 /dev/zero | chunk 1048576; done
  case $event in
    *'"fail"'*)
      body=$(printf '{"errorType":"Odd","errorMessage":"in the middle"}' | base64 -w0)
      printf '0\r\nLambda-Runtime-Function-Error-Type: Function.Odd\r\n' >&4
      printf 'Lambda-Runtime-Function-Error-Body: %s\r\n\r\n' "$body" >&4;;
    *'"cut"'*) exec 4>&-; sleep 60;;
    *) echo finished; printf 'last' | chunk 4; printf '0\r\n\r\n' >&4;;
  esac
  cat <&4 >/dev/null; exec 4>&-
done
"""
WRITTEN_IN = pytest.mark.parametrize("language", ["node", "python", "python-async", "bash"])


def deploy_in(client: Any, language: str, **configuration: Any) -> Deployed:
    """A function that streams `first;`, as many blocks as it is asked for, and `last`."""
    configuration = {"Timeout": 60, "MemorySize": 256, **configuration}
    match language:
        case "node":
            return deploy(client, {"app.js": NODE}, runtime="nodejs20.x", **configuration)
        case "python":
            return deploy_python(client, PYTHON, **configuration)
        case "python-async":
            return deploy_python(client, PYTHON_ASYNC, **configuration)
        case _:
            return deploy_bootstrap(client, BASH, **configuration)


def events(function: Deployed, event: Any, **options: Any) -> Iterator[tuple[str, Any]]:
    """The messages of InvokeWithResponseStream as (`chunk`, bytes) and (`complete`, members)."""
    answer = function.client.invoke_with_response_stream(
        FunctionName=function.name, Payload=json.dumps(event), **options
    )
    assert answer["StatusCode"] == 200
    assert answer["ExecutedVersion"] == "$LATEST"
    with closing(answer["EventStream"]) as messages:  # whoever reads may stop early
        for message in messages:
            if "PayloadChunk" in message:
                yield "chunk", message["PayloadChunk"]["Payload"]
            else:
                yield "complete", message["InvokeComplete"]


def has_logged(node: LocalNode, function: Deployed, text: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=60)
    connection.request("GET", f"/_lambdad/logs/{function.name}")
    lines = connection.getresponse().read().splitlines()
    connection.close()
    return any(text in json.loads(line)["message"] for line in lines)


class UrlReader:
    """A streamed answer of a function URL. The socket takes little, so that little is on its way."""

    def __init__(self, node: LocalNode, url: str, path: str = "/") -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=60)
        self.connection.connect()
        self.connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        self.connection.request("GET", path, headers={"Host": urlsplit(url).netloc})
        self.response = self.connection.getresponse()

    def __enter__(self) -> UrlReader:
        return self

    def __exit__(self, *error: object) -> None:
        self.response.close()
        self.connection.close()


def url_of(function: Deployed, mode: str = "RESPONSE_STREAM") -> str:
    url: str = function.client.create_function_url_config(FunctionName=function.name, AuthType="NONE", InvokeMode=mode)[
        "FunctionUrl"
    ]
    return url


@WRITTEN_IN
def test_the_first_chunk_of_an_invoke_comes_before_the_handler_has_finished(
    node: LocalNode, lambda_client: Any, language: str
) -> None:
    with deploy_in(lambda_client, language) as function:
        messages = events(function, {"blocks": BLOCKS})
        kind, first = next(messages)
        assert (kind, first[:6]) == ("chunk", b"first;")
        wait_until(lambda: has_logged(node, function, "began"), "the function's first line in its log")
        assert not has_logged(node, function, "finished")
        size, tail = len(first), first
        for kind, value in messages:
            if kind == "complete":
                assert value == {}
            else:
                size += len(value)
                tail = (tail + value)[-4:]
        assert (size, tail) == (6 + BLOCKS * BLOCK + 4, b"last")


@WRITTEN_IN
def test_the_first_byte_of_a_url_comes_before_the_handler_has_finished(
    node: LocalNode, lambda_client: Any, language: str
) -> None:
    with (
        deploy_in(lambda_client, language) as function,
        UrlReader(node, url_of(function), f"/?blocks={BLOCKS}") as reader,
    ):
        assert reader.response.status == 200
        assert reader.response.read(6) == b"first;"
        wait_until(lambda: has_logged(node, function, "began"), "the function's first line in its log")
        assert not has_logged(node, function, "finished")
        rest = reader.response.read()
        assert (len(rest), rest[-4:]) == (BLOCKS * BLOCK + 4, b"last")


@WRITTEN_IN
def test_an_error_in_the_middle_is_told_in_the_last_message(lambda_client: Any, language: str) -> None:
    with deploy_in(lambda_client, language) as function:
        *chunks, (kind, complete) = events(function, {"fail": True}, LogType="Tail")
        assert b"".join(value for _, value in chunks) == b"first;"
        assert kind == "complete"
        assert json.loads(complete["ErrorDetails"])["errorMessage"] == "in the middle"
        assert complete["ErrorCode"] == json.loads(complete["ErrorDetails"])["errorType"]
        assert complete["LogResult"]
        *chunks, (kind, complete) = events(function, {})
        assert (b"".join(value for _, value in chunks), complete) == (b"first;last", {}), "the runtime goes on"


@WRITTEN_IN
def test_a_plain_invoke_collects_the_pieces_up_to_its_limit(lambda_client: Any, language: str) -> None:
    with deploy_in(lambda_client, language) as function:
        outcome = function.invoke({"blocks": 2})
        assert (outcome.error, outcome.body) == (None, b"first;" + bytes(2 * BLOCK) + b"last")
        outcome = function.invoke({"fail": True})
        assert (outcome.error, outcome.value["errorMessage"]) == ("Unhandled", "in the middle")
        outcome = function.invoke({"blocks": 7})
        assert outcome.error == "Unhandled"
        assert outcome.value["errorType"] == "Function.ResponseSizeTooLarge"
        assert function.invoke({}).body == b"first;last"


def test_a_buffered_answer_is_a_stream_of_one_chunk(lambda_client: Any) -> None:
    source = "def handler(event, context):\n    return {'a': 1 / event['by']}\n"
    with deploy_python(lambda_client, source) as function:
        assert list(events(function, {"by": 1})) == [("chunk", b'{"a": 1.0}'), ("complete", {})]
        [(kind, complete)] = events(function, {"by": 0})
        assert (kind, complete["ErrorCode"]) == ("complete", "ZeroDivisionError")


def test_a_timeout_and_a_body_that_breaks_off_end_the_stream_with_their_reason(lambda_client: Any) -> None:
    with deploy_bootstrap(lambda_client, BASH, Timeout=60) as function:
        *_, (_, complete) = events(function, {"cut": 1})
        assert complete["ErrorCode"] == "Runtime.TruncatedResponse"
    source = "import time\ndef handler(event, context):\n    yield 'a'\n    time.sleep(60)\n"
    with deploy_python(lambda_client, source, Timeout=1) as function:
        assert next(iter(events(function, {}))) == ("chunk", b"a")
        *_, (_, complete) = events(function, {})
        assert complete["ErrorCode"] == "Sandbox.Timedout"
        assert "Task timed out after 1.00 seconds" in complete["ErrorDetails"]


def test_a_process_that_ends_in_the_middle_is_told_and_cuts_a_url(node: LocalNode, lambda_client: Any) -> None:
    source = "import os\ndef handler(event, context):\n    yield 'a'\n    os._exit(3)\n"
    with deploy_python(lambda_client, source) as function:
        *_, (_, complete) = events(function, {})
        assert complete["ErrorCode"] == "Runtime.ExitError"
        with UrlReader(node, url_of(function)) as reader, pytest.raises(http.client.IncompleteRead):
            reader.response.read()


@pytest.mark.parametrize("language", ["node", "python"])
def test_a_prelude_sets_status_headers_and_cookies_of_a_url(node: LocalNode, lambda_client: Any, language: str) -> None:
    if language == "node":
        source = """
exports.handler = awslambda.streamifyResponse(async (event, stream) => {
  const head = { statusCode: 418, headers: { "X-A": "b" }, cookies: ["c=d"] };
  stream = awslambda.HttpResponseStream.from(stream, head);
  stream.write("tea");
  stream.end();
});
"""
        function = deploy(lambda_client, {"app.js": source}, runtime="nodejs20.x", Timeout=30)
    else:
        source = """
def handler(event, context):
    yield {"statusCode": 418, "headers": {"X-A": "b"}, "cookies": ["c=d"]}
    yield "tea"
"""
        function = deploy_python(lambda_client, source, Timeout=30)
    with function:
        with UrlReader(node, url_of(function)) as reader:
            response = reader.response
            assert (response.status, response.getheader("x-a"), response.read()) == (418, "b", b"tea")
            assert response.getheader("set-cookie") == "c=d"
        raw = b"".join(value for kind, value in events(function, {}) if kind == "chunk")
        head, _, body = raw.partition(bytes(8))
        assert (json.loads(head)["statusCode"], body) == (418, b"tea")


def test_a_buffered_answer_behind_a_streaming_url_is_sent_as_it_is(node: LocalNode, lambda_client: Any) -> None:
    source = "def handler(event, context):\n    return {'statusCode': 404 if event['rawPath'] == '/' else 1 / 0}\n"
    with deploy_python(lambda_client, source) as function:
        url = url_of(function)
        with UrlReader(node, url) as reader:
            assert (reader.response.status, reader.response.read()) == (200, b'{"statusCode": 404}')
        with UrlReader(node, url, "/x") as reader:
            assert (reader.response.status, reader.response.read()) == (502, b"Internal Server Error")


def test_a_client_that_leaves_does_not_stop_the_function(node: LocalNode, lambda_client: Any) -> None:
    with deploy_in(lambda_client, "python") as function:
        with UrlReader(node, url_of(function), f"/?blocks={BLOCKS}") as reader:
            assert reader.response.read(6) == b"first;"
            reader.connection.sock.close()
        wait_until(lambda: has_logged(node, function, "REPORT"), "the end of the invocation")
        assert has_logged(node, function, "finished")
        assert function.invoke({}).body == b"first;last"


def test_a_caller_of_invoke_that_leaves_does_not_stop_the_function_either(node: LocalNode, lambda_client: Any) -> None:
    with deploy_in(lambda_client, "python") as function:
        connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=60)
        path = f"/2021-11-15/functions/{function.name}/response-streaming-invocations"
        connection.request("POST", path, json.dumps({"blocks": BLOCKS}))
        response = connection.getresponse()
        assert b"first;" in response.read(256)
        response.close()
        connection.close()
        wait_until(lambda: has_logged(node, function, "REPORT"), "the end of the invocation")
        assert has_logged(node, function, "finished")
        assert function.invoke({}).body == b"first;last"


def test_more_than_200_mb_cut_a_url(node: LocalNode, lambda_client: Any) -> None:
    with (
        deploy_in(lambda_client, "python") as function,
        UrlReader(node, url_of(function), "/?blocks=201") as reader,
    ):
        size = 0
        with pytest.raises(http.client.IncompleteRead):
            while piece := reader.response.read(BLOCK):
                size += len(piece)
        assert 190 * BLOCK < size <= 200 * BLOCK


def test_an_error_in_the_middle_cuts_a_url(node: LocalNode, lambda_client: Any) -> None:
    source = "def handler(event, context):\n    yield 'a'\n    raise OverflowError('in the middle')\n"
    with deploy_python(lambda_client, source) as function:
        with UrlReader(node, url_of(function)) as reader:
            assert reader.response.status == 200
            with pytest.raises(http.client.IncompleteRead):
                reader.response.read()
        wait_until(lambda: has_logged(node, function, "in the middle"), "the error in the log")


def test_more_than_200_mb_ends_the_stream(lambda_client: Any) -> None:
    with deploy_in(lambda_client, "python") as function:
        size = 0
        for kind, value in events(function, {"blocks": 201}):
            if kind == "chunk":
                size += len(value)
            else:
                assert value["ErrorCode"] == "Function.ResponseSizeTooLarge"
        assert size <= 200 * BLOCK
