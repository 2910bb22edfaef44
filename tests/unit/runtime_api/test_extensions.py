"""The Extensions API as an extension sees it, without sockets."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lambdad.model.invocation import Invocation
from lambdad.runtime_api.extension_state import Extension, Extensions
from lambdad.runtime_api.extensions import ExtensionsApi, FunctionIdentity
from lambdad.telemetry.subscription import Subscription
from lambdad.wire.http import Request, Response

REGISTER = "/2020-01-01/extension/register"
NEXT = "/2020-01-01/extension/event/next"
FUNCTION = FunctionIdentity(name="f", version="$LATEST", handler="app.handler", account="123456789012")
SUBSCRIBE = {
    "schemaVersion": "2022-07-01",
    "types": ["platform"],
    "destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain:8080"},
}


class Events:
    def __init__(self) -> None:
        self.log: list[tuple[str, ...]] = []
        self.subscriptions: list[Subscription] = []

    def registered(self, extension: Extension) -> None:
        self.log.append(("registered", extension.name))

    def waits(self, extension: Extension) -> None:
        self.log.append(("waits", extension.name))

    def reported_error(self, extension: Extension) -> None:
        self.log.append(("error", extension.name, str(extension.error_type)))

    def subscribed(self, extension: Extension, subscription: Subscription) -> None:
        self.subscriptions.append(subscription)


class Answer:
    def __init__(self) -> None:
        self.responses: list[Response] = []
        self.gone = False

    def send(self, response: Response) -> None:
        self.responses.append(response)

    @property
    def body(self) -> Any:
        assert len(self.responses) == 1
        return json.loads(self.responses[0].body)

    @property
    def status(self) -> int:
        assert len(self.responses) == 1
        return self.responses[0].status

    def header(self, name: str) -> str:
        return dict(self.responses[0].headers)[name]


class Lab:
    def __init__(self) -> None:
        self.events = Events()
        self.extensions = Extensions()
        self.api = ExtensionsApi(FUNCTION, self.events, self.extensions)

    def call(self, method: str, path: str, body: bytes | object = b"", **headers: str) -> Answer:
        answer = Answer()
        names = {f"lambda-extension-{name.replace('_', '-')}": value for name, value in headers.items()}
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.api.handle(Request(method, path, "", names, text), answer)
        return answer

    def register(self, name: str = "log.sh", *events: str) -> str:
        """Register; returns the identifier."""
        answer = self.call("POST", REGISTER, {"events": events or ["INVOKE", "SHUTDOWN"]}, name=name)
        assert answer.status == 200, answer.body
        return answer.header("Lambda-Extension-Identifier")

    def next(self, identifier: str) -> Answer:
        return self.call("GET", NEXT, identifier=identifier)


def test_registering_tells_about_the_function() -> None:
    lab = Lab()
    lab.extensions.expect("log.sh")
    answer = lab.call("POST", REGISTER, {"events": ["INVOKE"]}, name="log.sh")
    assert (answer.status, answer.body) == (
        200,
        {"functionName": "f", "functionVersion": "$LATEST", "handler": "app.handler"},
    )
    answer = lab.call("POST", REGISTER, {"events": []}, name="inside", accept_feature="other, accountId")
    assert answer.body["accountId"] == "123456789012"
    assert lab.events.log == [("registered", "log.sh"), ("registered", "inside")]


def test_bad_registrations_are_refused() -> None:
    lab = Lab()
    cases: list[tuple[object, dict[str, str], str]] = [
        ({"events": []}, {}, "Extension.InvalidExtensionName"),
        (b"{", {"name": "x"}, "InvalidRequestFormat"),
        ([], {"name": "x"}, "InvalidRequestFormat"),
        ({"events": "INVOKE"}, {"name": "x"}, "InvalidRequestFormat"),
        ({"configurationKeys": ["a"]}, {"name": "x"}, "InvalidRequestFormat"),
        ({"events": ["SHUTDOWN"]}, {"name": "x"}, "Extension.InvalidEventType"),
    ]
    for body, headers, expected in cases:
        answer = lab.call("POST", REGISTER, body, **headers)
        assert (answer.status, answer.body["errorType"]) == (403, expected)
    assert lab.extensions.all == []


def test_an_invocation_is_told_to_whoever_asked_for_it() -> None:
    lab = Lab()
    lab.extensions.expect("log.sh")
    external, internal, deaf = lab.register(), lab.register("inside", "INVOKE"), ""
    answer = lab.call("POST", REGISTER, {"events": []}, name="deaf")
    deaf = answer.header("Lambda-Extension-Identifier")
    waiting = [lab.next(each) for each in (external, internal, deaf)]
    lab.api.invoke(Invocation(request_id="r1", payload=b"{}", invoked_arn="arn", trace_id="Root=1"), 5000)
    expected = {
        "eventType": "INVOKE",
        "deadlineMs": 5000,
        "requestId": "r1",
        "invokedFunctionArn": "arn",
        "tracing": {"type": "X-Amzn-Trace-Id", "value": "Root=1"},
    }
    assert [waiting[0].body, waiting[1].body] == [expected, expected]
    assert waiting[0].header("Lambda-Extension-Event-Identifier")
    assert waiting[2].responses == []
    assert not lab.extensions.is_ready
    lab.next(external)
    lab.next(internal)
    assert lab.extensions.is_ready


def test_the_end_is_told_at_once_to_who_waits_and_later_to_who_is_busy() -> None:
    lab = Lab()
    for name in ("a", "b", "c"):
        lab.extensions.expect(name)
    waits, busy, other = lab.register("a"), lab.register("b"), lab.register("c", "INVOKE")
    answers = [lab.next(waits), lab.next(other)]
    lab.api.shut_down("spindown", 7000)
    expected = {"eventType": "SHUTDOWN", "shutdownReason": "spindown", "deadlineMs": 7000}
    assert answers[0].body == expected
    assert lab.next(busy).body == expected
    assert answers[1].responses == []


def test_identifiers_are_checked() -> None:
    lab = Lab()
    for method, path in (("GET", NEXT), ("POST", "/2020-01-01/extension/exit/error"), ("PUT", "/2022-07-01/telemetry")):
        assert lab.call(method, path).body["errorType"] == "Extension.MissingExtensionIdentifier"
        assert lab.call(method, path, identifier="x").body["errorType"] == "Extension.InvalidExtensionIdentifier"
        unknown = lab.call(method, path, identifier="11111111-2222-3333-4444-555555555555")
        assert (unknown.status, unknown.body["errorType"]) == (403, "Extension.UnknownExtensionIdentifier")


def test_a_lost_connection_may_be_replaced_and_a_second_one_may_not() -> None:
    lab = Lab()
    identifier = lab.register("inside", "INVOKE")
    first = lab.next(identifier)
    assert lab.next(identifier).body["errorType"] == "Extension.InvalidExtensionState"
    first.gone = True
    second = lab.next(identifier)
    lab.api.invoke(Invocation(request_id="r1", payload=b"{}", invoked_arn="arn"), 1)
    assert (first.responses, second.body["requestId"]) == ([], "r1")


def test_errors_are_accepted_with_a_type_and_told_once() -> None:
    lab = Lab()
    identifier = lab.register("inside", "INVOKE")
    for kind in ("init", "exit"):
        path = f"/2020-01-01/extension/{kind}/error"
        assert lab.call("POST", path, identifier=identifier).body["errorType"] == "Extension.MissingHeader"
    for _ in range(2):
        answer = lab.call(
            "POST",
            "/2020-01-01/extension/init/error",
            identifier=identifier,
            function_error_type="Extension.NoConfig",
        )
        assert (answer.status, answer.body) == (202, {"status": "OK"})
    assert lab.events.log[1:] == [("error", "inside", "Extension.NoConfig")]


def test_subscriptions_are_taken_by_one_api_and_during_the_init_phase_only() -> None:
    lab = Lab()
    identifier = lab.register("inside", "INVOKE")
    answer = lab.call("PUT", "/2022-07-01/telemetry/", SUBSCRIBE, identifier=identifier)
    assert (answer.status, answer.body) == (200, "OK")
    logs = {**SUBSCRIBE, "schemaVersion": "2020-08-15"}
    other = lab.call("PUT", "/2020-08-15/logs", logs, identifier=identifier)
    assert (other.status, other.body["errorType"]) == (403, "Logs.SubscriptionClosed")
    bad = lab.call("PUT", "/2022-07-01/telemetry", {**SUBSCRIBE, "types": []}, identifier=identifier)
    assert (bad.status, bad.body["errorType"]) == (400, "Telemetry.ValidationError")
    lab.api.close()
    late = lab.call("PUT", "/2022-07-01/telemetry", SUBSCRIBE, identifier=identifier)
    assert (late.status, late.body["errorType"]) == (403, "Telemetry.SubscriptionClosed")
    assert [each.port for each in lab.events.subscriptions] == [8080]


def test_what_is_not_there_is_not_found() -> None:
    lab = Lab()
    for method, path in (("GET", REGISTER), ("POST", NEXT), ("GET", "/2020-01-01/extension/"), ("PUT", "/telemetry")):
        assert lab.call(method, path).responses[0].status == 404


@given(st.sampled_from(["POST", "PUT", "GET"]), st.sampled_from([REGISTER, NEXT, "/2022-07-01/telemetry"]), st.binary())
def test_no_bytes_from_inside_raise_anything(method: str, path: str, body: bytes) -> None:
    lab = Lab()
    identifier = lab.register("inside", "INVOKE")
    answer = lab.call(method, path, body, name=body.decode("latin-1"), identifier=identifier)
    assert len(answer.responses) <= 1
