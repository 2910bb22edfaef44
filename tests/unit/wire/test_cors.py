"""The platform answers preflights and puts its own rules on responses."""

from __future__ import annotations

from lambdad.model.settings import Cors
from lambdad.wire.cors import add_cors_headers, answer_preflight, is_preflight
from lambdad.wire.http import Request

ORIGIN = "https://a.example"
CORS = Cors(
    allow_credentials=True,
    allow_headers=("x-a", "x-b"),
    allow_methods=("GET", "POST"),
    allow_origins=(ORIGIN,),
    expose_headers=("x-c",),
    max_age=60,
)


def preflight(origin: str = ORIGIN) -> Request:
    return Request("OPTIONS", "/", "", {"origin": origin, "access-control-request-method": "POST"}, b"")


def test_only_an_options_request_that_asks_is_a_preflight() -> None:
    assert is_preflight(preflight())
    assert not is_preflight(Request("OPTIONS", "/", "", {"origin": ORIGIN}, b""))
    assert not is_preflight(Request("GET", "/", "", preflight().headers, b""))


def test_a_preflight_is_told_what_is_allowed() -> None:
    response = answer_preflight(CORS, preflight())
    assert (response.status, response.body) == (200, b"")
    assert dict(response.headers) == {
        "access-control-allow-origin": ORIGIN,
        "vary": "Origin",
        "access-control-allow-credentials": "true",
        "access-control-allow-methods": "GET,POST",
        "access-control-allow-headers": "x-a,x-b",
        "access-control-max-age": "60",
    }


def test_another_origin_is_told_nothing() -> None:
    assert answer_preflight(CORS, preflight("https://b.example")).headers == []


def test_a_wildcard_allows_every_origin() -> None:
    assert answer_preflight(Cors(allow_origins=("*",)), preflight()).headers == [("access-control-allow-origin", "*")]


def test_the_rules_replace_what_the_function_says() -> None:
    given = [("content-type", "text/plain"), ("Access-Control-Allow-Origin", "*"), ("access-control-max-age", "1")]
    assert add_cors_headers(CORS, {"origin": ORIGIN}, given) == [
        ("content-type", "text/plain"),
        ("access-control-allow-origin", ORIGIN),
        ("vary", "Origin"),
        ("access-control-allow-credentials", "true"),
        ("access-control-expose-headers", "x-c"),
    ]


def test_a_request_without_an_origin_gets_no_rules() -> None:
    assert add_cors_headers(CORS, {}, [("a", "b")]) == [("a", "b")]
