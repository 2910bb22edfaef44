"""What all forms of invoke have in common before they run anything."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.frontend.opening import Opening, identify_call, open_dispatch, read_invocation, read_qualifier
from lambdad.model.arn import Namespace
from lambdad.model.errors import ApiError, function_not_found
from lambdad.model.target import Target
from lambdad.testing.specs import HERE, make_target
from lambdad.wire.http import Request, Response

KINDS = ("Event", "RequestResponse", "DryRun")


class Resolver:
    """Knows every name. draws: what it was given to choose between the versions of an alias."""

    def __init__(self) -> None:
        self.draws: list[float] = []

    def resolve(self, namespace: Namespace, name: str, qualifier: str | None, draw: float) -> Target:
        self.draws.append(draw)
        return make_target()


def request(body: bytes = b"{}", query: str = "", **headers: str) -> Request:
    return Request("POST", "/", query, {name.replace("_", "-"): value for name, value in headers.items()}, body)


def test_a_call_is_identified_by_path_and_query() -> None:
    call = identify_call(request(query="a=b&Qualifier=%24LATEST"), HERE, "arn%3Aaws", "id")
    assert (call.name, call.qualifier, call.request_id) == ("arn:aws", "$LATEST", "id")
    assert identify_call(request(), HERE, "f", "id").qualifier is None
    assert read_qualifier("Qualifier=") is None


def test_a_dry_run_is_answered_after_the_function_was_found() -> None:
    resolver = Resolver()
    call = identify_call(request(), HERE, "f", "id")
    answer = open_dispatch(resolver, request(x_amz_invocation_type="DryRun"), call, KINDS)
    assert isinstance(answer, Response)
    assert answer.status == 204
    assert len(resolver.draws) == 1


def test_a_type_that_the_operation_does_not_have_is_refused_before_anything_is_looked_up() -> None:
    resolver = Resolver()
    call = identify_call(request(), HERE, "f", "id")
    with pytest.raises(ApiError, match="enum value set: \\[RequestResponse, DryRun\\]"):
        open_dispatch(resolver, request(x_amz_invocation_type="Event"), call, KINDS[1:])
    assert resolver.draws == []


def test_what_is_not_found_may_be_no_name_at_all() -> None:
    class Empty:
        def resolve(self, namespace: Namespace, name: str, qualifier: str | None, draw: float) -> Target:
            raise function_not_found(name)

    call = identify_call(request(query="Qualifier=a%3Fb"), HERE, "a%20b", "id")
    with pytest.raises(ApiError, match="2 validation errors detected"):
        open_dispatch(Empty(), request(), call, KINDS)
    with pytest.raises(ApiError, match="Function not found"):
        open_dispatch(Empty(), request(), identify_call(request(), HERE, "none", "id"), KINDS)


def test_an_invocation_has_a_trace_and_a_log_tail_only_if_somebody_reads_it() -> None:
    call = identify_call(request(), HERE, "f", "id")
    asked = request(x_amz_log_type="Tail", x_amzn_trace_id="Root=1-2-3")
    for kind, tail in (("RequestResponse", True), ("Event", False)):
        opening = Opening(kind, make_target())
        invocation = read_invocation(asked, call, opening, payload_max=10, now=0.0, streaming=False)
        assert invocation.tail is tail
        assert invocation.trace_id.startswith("Root=1-2-3;Lineage=")
    invocation = read_invocation(request(), call, opening, payload_max=10, now=256.0, streaming=True)
    assert invocation.trace_id.startswith("Root=1-00000100-")
    assert invocation.streaming


@given(st.binary(max_size=40), st.text(max_size=40), st.text(max_size=60))
def test_whatever_comes_is_an_invocation_or_an_error_of_the_callers(body: bytes, context: str, query: str) -> None:
    hostile = request(body, query, x_amz_client_context=context)
    call = identify_call(hostile, HERE, "f", "id")
    try:
        opening = Opening("RequestResponse", make_target())
        read_invocation(hostile, call, opening, payload_max=30, now=0.0, streaming=False)
    except ApiError as error:
        assert error.status in (400, 413)
