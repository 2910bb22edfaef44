"""Node.js functions: our transport alone, and AWS's client on top of it, against a canned Runtime API."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path

import pytest
from tests.unit.runtimes.canned_api import Event, Outcome, run_runtime

from lambdad.runtimes.catalogue import Catalogue, make_tree
from lambdad.runtimes.runtime import NodeRuntime
from lambdad.runtimes.tree_cache import TreeError

Run = Callable[..., Outcome]

FUNCTION = {
    "AWS_LAMBDA_FUNCTION_NAME": "f",
    "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
    "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/f",
    "AWS_LAMBDA_LOG_STREAM_NAME": "s",
}
"""What the client of Node.js 24 insists on."""

APP_MJS = """
export const handler = async (event, context) => {
  if (event.do === "raise") throw new TypeError("no é");
  if (event.do === "print") { console.log("café"); console.debug("quiet"); return; }
  if (event.do === "context") {
    return { id: context.awsRequestId, arn: context.invokedFunctionArn,
             left: context.getRemainingTimeInMillis() > 0, trace: process.env._X_AMZN_TRACE_ID };
  }
  return event;
};
export const streaming = awslambda.streamifyResponse(async (event, stream) => {
  if (event.do === "http") stream = awslambda.HttpResponseStream.from(stream, { statusCode: 201 });
  stream.write("one ");
  if (event.do === "raise") throw new RangeError("mid-stream");
  stream.write("two");
  stream.end();
});
"""
APP_JS = """
exports.handler = (event, context, callback) => setTimeout(() => callback(null, { called: event }), 1);
exports.silent = () => {};
exports.late = () => { setTimeout(() => { throw new Error("late"); }, 1); };
"""


@pytest.fixture(scope="session")
def node(catalogue: Catalogue) -> NodeRuntime:
    """The newest Node.js of this host."""
    found = [runtime for name in catalogue.identifiers() if isinstance(runtime := catalogue.get(name), NodeRuntime)]
    if not found:
        pytest.skip("there is no Node.js on this machine")
    return found[-1]


@pytest.fixture(scope="session")
def client(node: NodeRuntime) -> NodeRuntime:
    """Node.js with AWS's client, which npm fetches."""
    try:
        make_tree(node)
    except TreeError as error:
        pytest.skip(str(error))
    return node


@pytest.fixture
def run(client: NodeRuntime, tmp_path: Path) -> Run:
    """Run a handler over events. The function's files are in `tmp_path`."""
    (tmp_path / "app.mjs").write_text(APP_MJS)
    (tmp_path / "old.js").write_text(APP_JS)

    def start(
        events: Sequence[object] = (),
        handler: str = "app.handler",
        environment: Mapping[str, str] | None = None,
        raw: Sequence[Event] = (),
    ) -> Outcome:
        variables = {
            "_HANDLER": handler,
            "LAMBDA_TASK_ROOT": str(tmp_path),
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{client.identifier}",
            **FUNCTION,
            **(environment or {}),
        }
        given = [*(Event(json.dumps(event).encode()) for event in events), *raw]
        return asyncio.run(run_runtime([client.interpreter, f"{client.runtime_dir}/index.mjs"], variables, given))

    return start


def _answers(outcome: Outcome) -> list[object]:
    return [json.loads(post.body) for post in outcome.posts]


def test_async_handlers_of_a_module_answer_one_event_after_the_other(run: Run) -> None:
    outcome = run([{"text": "é\u2028\U0001f600"}, {"do": "context"}, {"n": [1, 2.5, None]}])
    echo, context, last = _answers(outcome)
    assert (echo, last, outcome.status) == ({"text": "é\u2028\U0001f600"}, {"n": [1, 2.5, None]}, None)
    assert context == {
        "id": "id2",
        "arn": "arn:aws:lambda:us-east-1:000000000000:function:f",
        "left": True,
        "trace": "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=0",
    }
    assert [post.kind for post in outcome.posts] == ["response"] * 3


def test_an_exception_is_reported_and_the_next_event_taken(run: Run) -> None:
    outcome = run([{"do": "raise"}, {"do": "echo"}])
    raised, echo = _answers(outcome)
    assert [post.kind for post in outcome.posts] == ["error", "response"]
    assert isinstance(raised, dict)
    assert (raised["errorType"], raised["errorMessage"]) == ("TypeError", "no é")
    assert "lambda-runtime-function-xray-error-cause" in outcome.posts[0].headers
    assert echo == {"do": "echo"}
    assert b"\tid1\tERROR\tInvoke Error \t" in outcome.output


def test_logs_carry_time_request_and_level(run: Run) -> None:
    outcome = run([{"do": "print"}])
    first, *_ = outcome.output.decode().splitlines()
    assert first.split("\t")[1:] == ["id1", "INFO", "café"]
    environment = {"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "INFO"}
    records = [json.loads(line) for line in run([{"do": "print"}], environment=environment).output.splitlines()]
    assert [(record["level"], record["message"], record["requestId"]) for record in records] == [
        ("INFO", "café", "id1")
    ]


def test_bodies_of_six_megabytes_pass_both_ways(run: Run) -> None:
    text = "é" * (3 * 1024 * 1024 - 100)
    outcome = run(raw=[Event(json.dumps({"text": text}, ensure_ascii=False).encode())] * 2)
    assert [json.loads(post.body)["text"] == text for post in outcome.posts] == [True, True]


def test_chunked_events_and_closed_connections_are_understood(run: Run) -> None:
    outcome = run(raw=[Event(b'{"n": 1}', chunked=True, last=True), Event(b'{"n": 2}', chunked=True)])
    assert _answers(outcome) == [{"n": 1}, {"n": 2}]


def test_callbacks_answer_where_aws_still_has_them(run: Run, client: NodeRuntime) -> None:
    outcome = run([{"n": 1}, {"n": 2}], handler="old.handler")
    if client.major >= 24:
        assert outcome.posts[0].path.endswith("/init/error")
    else:
        assert _answers(outcome) == [{"called": {"n": 1}}, {"called": {"n": 2}}]


def test_a_handler_that_leaves_nothing_to_wait_for_answers_null(run: Run, client: NodeRuntime) -> None:
    assert [post.body for post in run([{}, {}], handler="old.silent").posts] == [b"null", b"null"]


def test_an_error_outside_of_the_handler_is_reported_before_the_process_ends(run: Run, client: NodeRuntime) -> None:
    if client.major >= 24:
        pytest.skip("the client of Node.js 24 leaves it to Node to end the process")
    outcome = run([{}, {}], handler="old.late")
    assert [(post.kind, json.loads(post.body)["errorMessage"]) for post in outcome.posts] == [("error", "late")]
    assert outcome.status == 129


def test_what_cannot_be_loaded_is_an_init_error_of_its_kind(run: Run, tmp_path: Path) -> None:
    (tmp_path / "broken.cjs").write_text("exports.handler = (((;\n")
    (tmp_path / "raising.cjs").write_text("throw new RangeError('at import');\n")
    kinds = {}
    for handler in ("nothing.handler", "broken.handler", "raising.handler", "app.nothing", "app"):
        outcome = run(handler=handler)
        (post,) = outcome.posts
        assert post.path == "/2018-06-01/runtime/init/error"
        assert outcome.status not in (None, 0)
        kinds[handler] = json.loads(post.body)["errorType"]
        assert post.headers["lambda-runtime-function-error-type"] == kinds[handler]
    assert kinds == {
        "nothing.handler": "Runtime.ImportModuleError",
        "broken.handler": "Runtime.UserCodeSyntaxError",
        "raising.handler": "RangeError",
        "app.nothing": "Runtime.HandlerNotFound",
        "app": "Runtime.MalformedHandlerName",
    }


def test_a_streamed_response_passes_in_chunks_with_its_mode(run: Run) -> None:
    outcome = run([{"do": "plain"}, {"do": "http"}, {"do": "raise"}, {"do": "plain"}], handler="app.streaming")
    plain, http, raised, again = outcome.posts
    for post in outcome.posts:
        assert post.headers["lambda-runtime-function-response-mode"] == "streaming"
        assert post.headers["transfer-encoding"] == "chunked"
    assert (plain.body, again.body) == (b"one two", b"one two")
    assert http.body == b'{"statusCode":201}' + bytes(8) + b"one two"
    assert http.headers["content-type"] == "application/vnd.awslambda.http-integration-response"
    assert raised.headers["lambda-runtime-function-error-type"] == "RangeError"
    error = json.loads(base64.b64decode(raised.headers["lambda-runtime-function-error-body"]))
    assert error["errorMessage"] == "mid-stream"


TRANSPORT_SCRIPT = """
import { Transport } from "%s";
const transport = new Transport(process.env.AWS_LAMBDA_RUNTIME_API, "test/1");
try {
  for (let count = 0; count < 2; count++) {
    const { bodyJson, headers } = await transport.next();
    console.log(bodyJson, headers["lambda-runtime-deadline-ms"]);
    transport.error(headers["lambda-runtime-aws-request-id"], "{}", "a\\nb");
  }
  transport.done("id9", "x".repeat(300000));
  await transport.next();
} catch (problem) {
  console.log(problem.message);
  process.exit(3);
}
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    transport = resources.files("lambdad.runtimes.node").joinpath("transport.mjs")
    path = tmp_path / "script.mjs"
    path.write_text(TRANSPORT_SCRIPT % transport)
    return path


def test_the_transport_sends_posts_in_order_on_one_connection(node: NodeRuntime, script: Path) -> None:
    outcome = asyncio.run(run_runtime([node.interpreter, str(script)], {}, [Event(b"1"), Event(b"2", chunked=True)]))
    assert outcome.output.decode().splitlines() == ["1 4102444800000", "2 4102444800000"]
    assert [(post.path.partition("/invocation/")[2], len(post.body)) for post in outcome.posts] == [
        ("id1/error", 2),
        ("id2/error", 2),
        ("id9/response", 300_000),
    ]
    assert outcome.posts[0].headers["lambda-runtime-function-xray-error-cause"] == "a b"
    assert outcome.posts[0].headers["user-agent"] == "test/1"


def test_the_transport_tells_of_a_refused_post_at_the_next_poll(node: NodeRuntime, script: Path) -> None:
    argv = [node.interpreter, str(script)]
    refused = asyncio.run(run_runtime(argv, {}, [Event(b"1"), Event(b"2")], "400 Bad Request"))
    assert (len(refused.posts), refused.status) == (1, 3)
    assert b"Failed to post invocation response, status 400" in refused.output
    too_large = asyncio.run(run_runtime(argv, {}, [Event(b"1"), Event(b"2")], "413 Payload Too Large"))
    assert (len(too_large.posts), too_large.status) == (3, None)
