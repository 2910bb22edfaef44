"""Signatures, requests of URLs and results of functions, whatever they hold, raise only what is documented."""

from __future__ import annotations

import json
from typing import Any

import orjson
from botocore.eventstream import EventStreamBuffer
from hypothesis import given, settings
from hypothesis import strategies as st

from lambdad.model.errors import ApiError
from lambdad.wire.eventstream import encode_message
from lambdad.wire.function_url import UrlContext, build_event, build_response
from lambdad.wire.http import Request
from lambdad.wire.http_integration import Prelude, PreludeError
from lambdad.wire.sigv4 import Credential, Verifier, canonical_query, namespace_of

PROFILE = settings(max_examples=300, deadline=None, derandomize=True)
WIRE_TEXT = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=60)
PIECES = st.lists(
    st.one_of(
        WIRE_TEXT,
        st.sampled_from(
            [
                "AWS4-HMAC-SHA256 ",
                "Credential=",
                "AKID/20260102/eu-west-1/lambda/aws4_request",
                "SignedHeaders=",
                "host;x-amz-date",
                "Signature=",
                ", ",
                "&",
                "=",
                "X-Amz-Signature=",
                "X-Amz-Credential=AKID%2F20260102%2Fr%2Flambda%2Faws4_request",
                "X-Amz-Algorithm=AWS4-HMAC-SHA256",
                "X-Amz-Expires=1",
                "X-Amz-Date=20260102T030405Z",
                "X-Amz-SignedHeaders=host",
            ]
        ),
    ),
    max_size=14,
).map("".join)
REQUESTS = st.builds(
    Request,
    st.sampled_from(["GET", "POST"]),
    WIRE_TEXT.map(lambda text: f"/{text}"),
    PIECES,
    st.fixed_dictionaries(
        {"host": WIRE_TEXT},
        optional={
            "authorization": PIECES,
            "x-amz-date": st.one_of(st.just("20260102T030405Z"), WIRE_TEXT),
            "x-amz-security-token": WIRE_TEXT,
            "x-amz-content-sha256": WIRE_TEXT,
            "date": WIRE_TEXT,
            "cookie": WIRE_TEXT,
            "content-type": WIRE_TEXT,
            "user-agent": WIRE_TEXT,
        },
    ),
    st.binary(max_size=40),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=6,
)
RESULTS = st.one_of(
    st.binary(max_size=60),
    JSON.map(lambda value: json.dumps(value).encode()),
    st.fixed_dictionaries(
        {"statusCode": st.one_of(st.integers(0, 700), JSON)},
        optional={"headers": JSON, "cookies": JSON, "body": JSON, "isBase64Encoded": JSON},
    ).map(lambda value: json.dumps(value).encode()),
)
CONTEXT = UrlContext(url_id="u", domain_name="u.example", request_id="r", source_ip="::1", trace_id="t")


@PROFILE
@given(REQUESTS, st.booleans())
def test_a_forged_signature_is_refused(request: Request, is_known: bool) -> None:
    credential = Credential("AKID", "secret") if is_known else None
    verifier = Verifier(lambda _: credential, service="lambda")
    try:
        verifier.verify(request, now=1767323045.0)
    except ApiError as error:
        assert error.status in (400, 403)
    else:
        raise AssertionError("a signature was accepted that nobody made")


@PROFILE
@given(REQUESTS)
def test_every_request_has_a_namespace(request: Request) -> None:
    namespace = namespace_of(request.headers, request.query, "us-east-1")
    assert len(namespace.account) == 12
    assert namespace.account.isdigit()


@PROFILE
@given(PIECES)
def test_a_canonical_query_is_its_own_canonical_form(query: str) -> None:
    once = canonical_query(query)
    assert canonical_query(once) == once


@PROFILE
@given(REQUESTS)
def test_every_request_is_an_event(request: Request) -> None:
    event = orjson.loads(build_event(request, CONTEXT, now=0.0))
    assert event["version"] == "2.0"


@PROFILE
@given(RESULTS)
def test_every_result_is_a_response_that_http_can_carry(payload: bytes) -> None:
    response = build_response(payload, "r")
    assert 200 <= response.status <= 599
    for name, value in response.headers:
        assert not set("\r\n\0") & set(name + value)
        assert (name + value).encode("latin-1")
        assert name.lower() not in ("content-length", "transfer-encoding")


@PROFILE
@given(RESULTS, st.integers(1, 20))
def test_a_prelude_is_a_head_or_an_error(payload: bytes, size: int) -> None:
    prelude = Prelude("r")
    data = payload + bytes(8)
    try:
        heads: list[Any] = [prelude.feed(data[start : start + size]) for start in range(0, len(data), size)]
    except PreludeError:
        return
    assert any(head is not None for head in heads)


@PROFILE
@given(
    st.lists(
        st.tuples(st.text("abc:-", min_size=1, max_size=20), st.text(max_size=40)),
        max_size=4,
        unique_by=lambda pair: pair[0],
    ),
    st.binary(max_size=200),
)
def test_botocore_reads_every_message(headers: list[tuple[str, str]], payload: bytes) -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(encode_message(headers, payload))
    (message,) = list(buffer)
    assert message.headers == dict(headers)
    assert message.payload == payload
