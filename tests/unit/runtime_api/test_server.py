"""The Runtime API as a runtime sees it, without sockets."""

from __future__ import annotations

import base64
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lambdad.model.invocation import Invocation
from lambdad.runtime_api.server import RuntimeApi
from lambdad.wire.http import BodyFlow, BodyReader, Request, Response

NEXT = "/2018-06-01/runtime/invocation/next"


class Events:
    def __init__(self) -> None:
        self.log: list[tuple[Any, ...]] = []

    def ready(self) -> None:
        self.log.append(("ready",))

    def waits(self) -> None:
        self.log.append(("waits",))

    def init_failed(self, payload: bytes, error_type: str) -> None:
        self.log.append(("init_failed", payload, error_type))

    def responded(self, payload: bytes) -> None:
        self.log.append(("responded", payload))

    def errored(self, payload: bytes, error_type: str) -> None:
        self.log.append(("errored", payload, error_type))

    def response_too_large(self, size: int) -> None:
        self.log.append(("too_large", size))

    def stream_opened(self, content_type: str, flow: BodyFlow) -> None:
        self.log.append(("stream_opened", content_type))

    def stream_data(self, piece: bytes) -> None:
        self.log.append(("stream_data", piece))

    def stream_ended(self) -> None:
        self.log.append(("stream_ended",))

    def stream_failed(self, payload: bytes, error_type: str) -> None:
        self.log.append(("stream_failed", payload, error_type))

    def stream_cut(self) -> None:
        self.log.append(("stream_cut",))


class Answer:
    def __init__(self) -> None:
        self.responses: list[Response] = []
        self.gone = False

    def send(self, response: Response) -> None:
        self.responses.append(response)

    @property
    def response(self) -> Response:
        [response] = self.responses
        return response


class Runtime:
    """A runtime's calls."""

    def __init__(self) -> None:
        self.events = Events()
        self.api = RuntimeApi(self.events)

    def call(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None, overflow: int = 0
    ) -> Answer:
        answer = Answer()
        self.api.handle(Request(method, path, "", headers or {}, body, overflow=overflow), answer)
        return answer

    def post(self, request_id: str, action: str, body: bytes = b"null", **more: Any) -> Answer:
        return self.call("POST", f"/2018-06-01/runtime/invocation/{request_id}/{action}", body, **more)


def invocation(**changes: Any) -> Invocation:
    return Invocation(
        **{"request_id": "r1", "payload": b'{"a":1}', "invoked_arn": "arn:f", "trace_id": "Root=1", **changes}
    )


class NoFlow:
    def pause(self) -> None:
        pass

    def resume(self) -> None:
        pass


def open_body(runtime: Runtime, request_id: str = "r1", **headers: str) -> tuple[BodyReader | None, Answer]:
    """Begin a streamed response."""
    answer = Answer()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    path = f"/2018-06-01/runtime/invocation/{request_id}/response"
    mode = {"lambda-runtime-function-response-mode": "streaming"}
    return runtime.api.open_body(Request("POST", path, "", {**mode, **named}, b""), answer, NoFlow()), answer


def running() -> Runtime:
    runtime = Runtime()
    runtime.call("GET", NEXT)
    runtime.api.deliver(invocation(), 1234)
    return runtime


def test_the_first_next_waits_and_says_that_the_runtime_is_ready() -> None:
    runtime = Runtime()
    waiting = runtime.call("GET", NEXT)
    assert (waiting.responses, runtime.events.log) == ([], [("ready",)])


def test_an_invocation_answers_the_waiting_next_with_every_header() -> None:
    runtime = Runtime()
    waiting = runtime.call("GET", NEXT)
    runtime.api.deliver(invocation(client_context='{"custom":{"ü":1}}'), 1234)
    assert waiting.response.body == b'{"a":1}'
    headers = dict(waiting.response.headers)
    assert headers == {
        "Content-Type": "application/json",
        "Lambda-Runtime-Aws-Request-Id": "r1",
        "Lambda-Runtime-Deadline-Ms": "1234",
        "Lambda-Runtime-Invoked-Function-Arn": "arn:f",
        "Lambda-Runtime-Trace-Id": "Root=1",
        "Lambda-Runtime-Client-Context": '{"custom":{"ü":1}}'.encode().decode("latin-1"),
    }
    assert runtime.api.delivered


def test_an_invocation_waits_for_a_runtime_that_is_not_back_yet() -> None:
    runtime = running()
    runtime.post("r1", "response")
    runtime.api.deliver(invocation(request_id="r2"), 5)
    assert not runtime.api.delivered
    assert dict(runtime.call("GET", NEXT).response.headers)["Lambda-Runtime-Aws-Request-Id"] == "r2"


def test_a_next_whose_client_has_left_is_not_given_the_invocation() -> None:
    runtime = Runtime()
    lost = runtime.call("GET", NEXT)
    lost.gone = True
    runtime.api.deliver(invocation(), 5)
    again = runtime.call("GET", NEXT)
    assert (lost.responses, again.response.body) == ([], b'{"a":1}')


def test_a_response_is_accepted_and_handed_on() -> None:
    runtime = running()
    assert runtime.post("r1", "response", b'"done"').response.status == 202
    assert runtime.events.log[-1] == ("responded", b'"done"')


def test_an_error_is_handed_on_with_its_type_if_it_has_the_form_of_one() -> None:
    for named, expected in (("Function.MyError", "Function.MyError"), ("nonsense", "Function.Unknown")):
        runtime = running()
        runtime.post("r1", "error", b"{}", headers={"lambda-runtime-function-error-type": named})
        assert runtime.events.log[-1] == ("errored", b"{}", expected)


def test_another_request_id_is_refused_and_changes_nothing() -> None:
    runtime = running()
    response = runtime.post("forged", "response").response
    assert response.status == 400
    assert json.loads(response.body) == {"errorMessage": "Invalid request ID", "errorType": "InvalidRequestID"}
    assert runtime.post("r1", "response").response.status == 202


def test_a_second_answer_is_refused() -> None:
    runtime = running()
    runtime.post("r1", "response")
    assert runtime.post("r1", "response").response.status == 403
    assert [event[0] for event in runtime.events.log] == ["ready", "responded"]


def test_an_oversized_response_is_refused_with_aws_words_and_reported() -> None:
    runtime = running()
    response = runtime.post("r1", "response", b"", overflow=7_000_000).response
    assert response.status == 413
    assert json.loads(response.body)["errorMessage"] == "Exceeded maximum allowed payload size (6291556 bytes)."
    assert runtime.events.log[-1] == ("too_large", 7_000_000)


def test_an_init_error_is_heard_before_the_first_next_and_refused_after_it() -> None:
    runtime = Runtime()
    assert runtime.call("POST", "/2018-06-01/runtime/init/error", b"{}").response.status == 202
    assert runtime.events.log == [("init_failed", b"{}", "Runtime.Unknown")]
    assert running().call("POST", "/2018-06-01/runtime/init/error", b"{}").response.status == 403


@given(st.sampled_from(["GET", "POST", "PUT", "DELETE"]), st.text(max_size=60), st.binary(max_size=40))
def test_no_path_or_method_raises(method: str, path: str, body: bytes) -> None:
    runtime = running()
    runtime.call(method, path, body)
    runtime.call(method, "/2018-06-01/runtime/" + path, body)
    runtime.call(method, "/2018-06-01/runtime/invocation/" + path, body)


def test_a_streamed_response_is_told_piece_by_piece_and_answered_at_its_end() -> None:
    runtime = running()
    reader, answer = open_body(runtime, content_type="text/plain")
    assert reader is not None
    reader.data(b"a")
    assert runtime.post("r1", "error").response.status == 403, "an answer is under way"
    assert runtime.call("GET", NEXT).response.status == 403
    assert answer.responses == []
    reader.end({})
    assert answer.response.status == 202
    assert runtime.events.log[1:] == [("stream_opened", "text/plain"), ("stream_data", b"a"), ("stream_ended",)]
    assert runtime.call("GET", NEXT).responses == []


def test_trailers_tell_of_a_failure_in_the_middle() -> None:
    for trailers, expected in [
        (
            {
                "lambda-runtime-function-error-type": "Function.Broken",
                "lambda-runtime-function-error-body": base64.b64encode(b'{"errorType":"E"}').decode(),
            },
            (b'{"errorType":"E"}', "Function.Broken"),
        ),
        (
            {"lambda-runtime-function-error-type": "Odd", "lambda-runtime-function-error-body": "%%"},
            (b'{"errorType":"Odd","errorMessage":"The function failed while it responded"}', "Function.Unknown"),
        ),
    ]:
        runtime = running()
        reader, answer = open_body(runtime)
        assert reader is not None
        reader.end(trailers)
        assert runtime.events.log[-2:] == [
            ("stream_opened", "application/octet-stream"),
            ("stream_failed", *expected),
        ]
        assert answer.response.status == 202


def test_a_streamed_response_that_breaks_off_is_told() -> None:
    runtime = running()
    reader, answer = open_body(runtime)
    assert reader is not None
    reader.cut()
    assert runtime.events.log[-1] == ("stream_cut",)
    assert answer.responses == []


def test_streams_for_others_and_at_the_wrong_time_are_left_to_be_refused() -> None:
    runtime = running()
    assert open_body(runtime, "r2")[0] is None
    runtime.post("r1", "response")
    assert open_body(runtime)[0] is None
    mode = {"lambda-runtime-function-response-mode": "streaming"}
    assert runtime.post("r2", "response", headers=mode).response.status == 400
    assert runtime.post("r1", "response", headers=mode).response.status == 403


def test_an_unknown_response_mode_is_refused_and_changes_nothing() -> None:
    runtime = running()
    answer = runtime.post("r1", "response", headers={"lambda-runtime-function-response-mode": "sideways"})
    assert answer.response.status == 400
    assert json.loads(answer.response.body)["errorType"] == "InvalidFunctionResponseMode"
    assert runtime.post("r1", "response").response.status == 202
