"""Requests become events in payload format 2.0, and results become responses, to the last detail."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest

from lambdad.model import limits
from lambdad.model.errors import ApiError
from lambdad.wire.function_url import (
    IamCaller,
    UrlContext,
    build_event,
    build_response,
    forbidden,
    function_failed,
    unknown_url,
)
from lambdad.wire.http import Request, Response

CONTEXT = UrlContext(
    url_id="abc",
    domain_name="abc.lambda-url.eu-west-1.on.aws",
    request_id="req-1",
    source_ip="203.0.113.9",
    trace_id="Root=1-2-3",
)
NOW = 1583348638.390


def event(
    *,
    method: str = "GET",
    path: str = "/",
    query: str = "",
    headers: dict[str, str] | None = None,
    body: bytes = b"",
    context: UrlContext = CONTEXT,
) -> dict[str, Any]:
    request = Request(method, path, query, headers or {}, body)
    decoded: dict[str, Any] = orjson.loads(build_event(request, context, now=NOW))
    return decoded


def test_the_smallest_request_has_no_optional_keys() -> None:
    assert event(headers={"user-agent": "curl/8", "connection": "close"}) == {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/",
        "rawQueryString": "",
        "headers": {
            "host": "abc.lambda-url.eu-west-1.on.aws",
            "user-agent": "curl/8",
            "x-amzn-trace-id": "Root=1-2-3",
            "x-forwarded-for": "203.0.113.9",
            "x-forwarded-port": "443",
            "x-forwarded-proto": "https",
        },
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "abc",
            "domainName": "abc.lambda-url.eu-west-1.on.aws",
            "domainPrefix": "abc",
            "http": {
                "method": "GET",
                "path": "/",
                "protocol": "HTTP/1.1",
                "sourceIp": "203.0.113.9",
                "userAgent": "curl/8",
            },
            "requestId": "req-1",
            "routeKey": "$default",
            "stage": "$default",
            "time": "04/Mar/2020:19:03:58 +0000",
            "timeEpoch": 1583348638390,
        },
        "isBase64Encoded": False,
    }


def test_the_path_stays_encoded_and_the_query_is_given_twice() -> None:
    built = event(path="/my/pa%2Fth", query="p1=v1&p1=v2&p2=a%20b+c&empty=&bare")
    assert built["rawPath"] == built["requestContext"]["http"]["path"] == "/my/pa%2Fth"
    assert built["rawQueryString"] == "p1=v1&p1=v2&p2=a%20b+c&empty=&bare"
    assert built["queryStringParameters"] == {"p1": "v1,v2", "p2": "a b c", "empty": "", "bare": ""}


def test_cookies_leave_the_headers() -> None:
    built = event(headers={"cookie": "a=1; b=2;;", "x": "y"})
    assert built["cookies"] == ["a=1", "b=2"]
    assert "cookie" not in built["headers"]
    assert "cookies" not in event(headers={"cookie": ""})


def test_bytes_of_headers_and_paths_are_read_as_utf8() -> None:
    built = event(path="/é".encode().decode("latin-1"), headers={"x": "é".encode().decode("latin-1"), "y": "\xff"})
    assert (built["rawPath"], built["headers"]["x"], built["headers"]["y"]) == ("/é", "é", "\ufffd")


@pytest.mark.parametrize(
    ("content_type", "body", "is_text"),
    [
        ("text/plain", b"hello", True),
        ("application/json; charset=utf-8", "é".encode(), True),
        ("application/vnd.api+JSON", b"{}", True),
        ("application/xml", b"<a/>", True),
        ("application/javascript", b"1", True),
        ("text/plain", b"\xff", False),
        ("application/x-www-form-urlencoded", b"a=b", False),
        ("multipart/form-data; boundary=x", b"--x", False),
        ("application/octet-stream", b"abc", False),
        ("", b"abc", False),
    ],
)
def test_a_body_is_text_or_base64_by_its_type(content_type: str, body: bytes, is_text: bool) -> None:
    built = event(method="POST", headers={"content-type": content_type}, body=body)
    assert built["isBase64Encoded"] is not is_text
    assert built["body"] == (body.decode() if is_text else base64.b64encode(body).decode())


def test_a_compressed_body_is_never_text() -> None:
    built = event(headers={"content-type": "text/plain", "content-encoding": "gzip"}, body=b"abc")
    assert built["isBase64Encoded"] is True


def test_a_signed_request_names_its_caller() -> None:
    caller = IamCaller(
        access_key="AKIA", account="111122223333", caller_id="AIDA", user_arn="arn:aws:iam::x", user_id="AIDA"
    )
    context = UrlContext(
        url_id="abc",
        domain_name="d",
        request_id="r",
        source_ip="::1",
        trace_id="t",
        scheme="http",
        port=9000,
        caller=caller,
    )
    built = event(context=context)
    assert built["requestContext"]["accountId"] == "111122223333"
    assert built["requestContext"]["authorizer"] == {
        "iam": {
            "accessKey": "AKIA",
            "accountId": "111122223333",
            "callerId": "AIDA",
            "cognitoIdentity": None,
            "principalOrgId": None,
            "userArn": "arn:aws:iam::x",
            "userId": "AIDA",
        }
    }
    assert (built["headers"]["x-forwarded-port"], built["headers"]["x-forwarded-proto"]) == ("9000", "http")


def test_an_event_above_the_limit_is_refused_with_its_base64_growth() -> None:
    body = bytes(limits.PAYLOAD_SYNC_MAX * 3 // 4)
    with pytest.raises(ApiError) as refused:
        event(body=body)
    assert refused.value.status == 413


def test_a_query_of_thousands_of_parameters_is_refused() -> None:
    with pytest.raises(ApiError) as refused:
        event(query="&".join(["a=1"] * 2000))
    assert refused.value.status == 400


def response(value: Any) -> Response:
    return build_response(orjson.dumps(value), "req-1")


DEFAULT_HEADERS = [("content-type", "application/json"), ("x-amzn-RequestId", "req-1")]


@pytest.mark.parametrize(
    ("returned", "body"),
    [
        (b'"hello"', b"hello"),
        (b"3", b"3"),
        (b"true", b"true"),
        (b"null", b"null"),
        (b'["hello",3, true]', b'["hello",3, true]'),
        (b'{"a": 1}', b'{"a": 1}'),
        (b'{"statusCode": null, "body": "x"}', b'{"statusCode": null, "body": "x"}'),
        (b"", b""),
    ],
)
def test_anything_without_a_status_is_the_body(returned: bytes, body: bytes) -> None:
    assert build_response(returned, "req-1") == Response(200, DEFAULT_HEADERS, body)


def test_an_object_with_a_status_says_all_of_it() -> None:
    built = response(
        {
            "statusCode": 201,
            "headers": {"Content-Type": "text/html", "X-Count": 3, "X-Flag": True, "X-None": None},
            "cookies": ["a=1; Secure", "b=2"],
            "body": "PGI+",
            "isBase64Encoded": True,
        }
    )
    assert built == Response(
        201,
        [
            ("content-type", "text/html"),
            ("x-count", "3"),
            ("x-flag", "true"),
            ("set-cookie", "a=1; Secure"),
            ("set-cookie", "b=2"),
            ("x-amzn-RequestId", "req-1"),
        ],
        b"<b>",
    )


def test_a_status_alone_is_enough_and_may_be_text() -> None:
    assert response({"statusCode": "204"}) == Response(204, DEFAULT_HEADERS, b"")


def test_headers_of_the_server_are_renamed() -> None:
    built = response(
        {"statusCode": 200, "headers": {"Content-Length": "9", "Transfer-Encoding": "chunked", "Date": "x"}}
    )
    assert dict(built.headers) == {
        "content-type": "application/json",
        "x-amzn-remapped-content-length": "9",
        "x-amzn-remapped-transfer-encoding": "chunked",
        "x-amzn-remapped-date": "x",
        "x-amzn-RequestId": "req-1",
    }


@pytest.mark.parametrize(
    "returned",
    [
        {"statusCode": 99},
        {"statusCode": 600},
        {"statusCode": True},
        {"statusCode": "ok"},
        {"statusCode": 200.5},
        {"statusCode": 200, "headers": []},
        {"statusCode": 200, "headers": {"a b": "x"}},
        {"statusCode": 200, "headers": {"a": "x\r\ny: z"}},
        {"statusCode": 200, "headers": {"a": ["x"]}},
        {"statusCode": 200, "cookies": "a=1"},
        {"statusCode": 200, "cookies": [1]},
        {"statusCode": 200, "cookies": ["a\n"]},
        {"statusCode": 200, "body": {"a": 1}},
        {"statusCode": 200, "body": "***", "isBase64Encoded": True},
        {"statusCode": 200, "body": "x", "isBase64Encoded": "yes"},
    ],
)
def test_what_is_no_response_is_a_bad_gateway(returned: dict[str, Any]) -> None:
    assert response(returned) == function_failed("req-1")


def test_the_platforms_own_answers() -> None:
    assert build_response(b"{broken", "req-1") == function_failed("req-1")
    assert function_failed("r").status == 502
    assert function_failed("r").body == b"Internal Server Error"
    assert unknown_url("r").status == 403
    assert unknown_url("r").body == b'{"Message":null}'
    assert forbidden().status == 403
    assert forbidden().message.startswith("Forbidden. For troubleshooting Function URL")
