"""Signatures by botocore's signer are accepted; anything changed afterwards is refused."""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from lambdad.model.arn import Namespace
from lambdad.model.errors import ApiError
from lambdad.wire.http import Request
from lambdad.wire.sigv4 import (
    Credential,
    Scope,
    Verifier,
    canonical_query,
    namespace_of,
    parse_scope,
    signing_key,
    unframed_body,
)

KEY = Credential("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
TEMPORARY = Credential("ASIAEXAMPLE", "secret", "token==")
URL = "http://127.0.0.1:9000/2015-03-31/functions/arn%3Aaws%3Alambda%3Aeu-west-1%3A123456789012%3Afunction%3Af/invocations"


def find(access_key: str) -> Credential | None:
    return {credential.access_key: credential for credential in (KEY, TEMPORARY)}.get(access_key)


def verifier() -> Verifier:
    return Verifier(find, service="lambda")


def signed(
    credential: Credential = KEY,
    *,
    url: str = URL,
    body: bytes = b'{"a": 1}',
    headers: dict[str, str] | None = None,
    expires: int | None = None,
    context: dict[str, Any] | None = None,
) -> Request:
    """A request as a client sends it, signed now by botocore."""
    sent_body = body if expires is None else b""
    request = AWSRequest("POST", url, headers=headers or {}, data=sent_body)
    request.context.update(context or {})
    credentials = Credentials(credential.access_key, credential.secret_key, credential.session_token)
    if expires is None:
        SigV4Auth(credentials, "lambda", "eu-west-1").add_auth(request)
    else:
        SigV4QueryAuth(credentials, "lambda", "eu-west-1", expires=expires).add_auth(request)
    parts = urlsplit(request.url)
    given = {name.lower(): value for name, value in request.headers.items()}
    return Request("POST", parts.path, parts.query, {"host": parts.netloc, **given}, sent_body)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def now() -> float:
    return datetime.now(UTC).timestamp()


def refusal(request: Request, at: float | None = None) -> ApiError:
    with pytest.raises(ApiError) as refused:
        verifier().verify(request, now=now() if at is None else at)
    return refused.value


@pytest.mark.parametrize(
    "url",
    [
        URL,
        f"{URL}?Qualifier=live",
        f"{URL}?b=2&a=3&a=1&empty=&c=%20%2F%3D~",
        "http://127.0.0.1:9000/2015-03-31/functions/",
        "http://127.0.0.1:9000/2017-03-31/tags/arn%3Aaws%3Alambda%3A%2Fx?tagKeys=a%20b&tagKeys=A",
        "http://127.0.0.1:9000",
    ],
)
def test_a_signature_in_the_header_is_accepted(url: str) -> None:
    request = signed(url=url, headers={"X-Amz-Invocation-Type": "Event", "Content-Type": " a   b "})
    identity = verifier().verify(request, now=now())
    assert (identity.access_key, identity.region) == ("AKIDEXAMPLE", "eu-west-1")


def test_a_presigned_request_is_accepted_until_it_expires() -> None:
    request = signed(url=f"{URL}?Qualifier=a%20b", expires=600)
    assert verifier().verify(request, now=now()).access_key == "AKIDEXAMPLE"
    assert verifier().verify(request, now=now() + 590).access_key == "AKIDEXAMPLE"
    assert refusal(request, now() + 610).message.startswith("Signature expired: ")


@pytest.mark.parametrize("expires", [None, 600])
def test_temporary_keys_need_their_token(expires: int | None) -> None:
    request = signed(TEMPORARY, expires=expires)
    assert verifier().verify(request, now=now()).access_key == "ASIAEXAMPLE"
    without_token = signed(replace(TEMPORARY, session_token=None), expires=expires)
    assert refusal(without_token).code == "UnrecognizedClientException"
    other_token = signed(replace(TEMPORARY, session_token="other"), expires=expires)
    assert refusal(other_token).code == "UnrecognizedClientException"


def test_a_payload_may_be_left_unsigned() -> None:
    request = signed(url=URL.replace("http:", "https:"), context={"payload_signing_enabled": False})
    assert request.headers["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"
    changed = replace(request, body=b"other")
    assert verifier().verify(changed, now=now()).access_key == "AKIDEXAMPLE"


def test_the_date_header_will_do() -> None:
    request = signed(headers={"Date": "x"})
    assert "x-amz-date" not in request.headers
    assert verifier().verify(request, now=now()).access_key == "AKIDEXAMPLE"


@pytest.mark.parametrize(
    "change",
    [
        {"body": b"{}"},
        {"method": "GET"},
        {"path": "/2015-03-31/functions/g/invocations"},
        {"query": "Qualifier=2"},
    ],
)
def test_a_request_changed_after_signing_is_refused(change: dict[str, Any]) -> None:
    error = refusal(replace(signed(), **change))
    assert (error.code, error.status) == ("InvalidSignatureException", 403)
    assert error.message.startswith("The request signature we calculated does not match")


def test_a_signed_header_changed_or_another_added_is_refused() -> None:
    request = signed(headers={"X-Amz-Invocation-Type": "DryRun"})
    changed = replace(request, headers={**request.headers, "x-amz-invocation-type": "Event"})
    assert refusal(changed).code == "InvalidSignatureException"
    added = replace(request, headers={**request.headers, "x-amz-log-type": "Tail"})
    assert refusal(added).message == "These headers must be signed: x-amz-log-type."
    harmless = replace(request, headers={**request.headers, "user-agent": "x", "x-amz-user-agent": "y"})
    assert verifier().verify(harmless, now=now()).access_key == "AKIDEXAMPLE"


def test_a_wrong_payload_hash_is_refused() -> None:
    request = signed(headers={"X-Amz-Content-SHA256": "0" * 64})
    assert refusal(request).message == "The value of x-amz-content-sha256 is not the SHA-256 of the body."


def test_the_clock_may_differ_by_five_minutes() -> None:
    request = signed()
    for skew in (-290, 290):
        assert verifier().verify(request, now=now() + skew).access_key == "AKIDEXAMPLE"
    assert re.fullmatch(
        r"Signature expired: \w{16} is now earlier than \w{16} \(\w{16} - 5 min\.\)",
        refusal(request, now() + 310).message,
    )
    assert re.fullmatch(
        r"Signature not yet current: \w{16} is still later than \w{16} \(\w{16} \+ 5 min\.\)",
        refusal(request, now() - 310).message,
    )


def test_who_is_unknown_or_unsigned_is_told_so() -> None:
    assert refusal(signed(Credential("AKIDOTHER", "x"))).code == "UnrecognizedClientException"
    unsigned = refusal(Request("POST", "/", "", {"host": "x"}, b""))
    assert (unsigned.code, unsigned.message) == ("MissingAuthenticationTokenException", "Missing Authentication Token")


def test_a_signature_for_another_service_is_refused() -> None:
    request = signed()
    with pytest.raises(ApiError, match="correct service: 'logs'"):
        Verifier(find, service="logs").verify(request, now=now())


AUTHORIZATION = (
    "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260102/eu-west-1/lambda/aws4_request, SignedHeaders=host, Signature=00"
)


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({"authorization": "AWS4-HMAC-SHA256"}, ""),
        ({"authorization": "AWS4-HMAC-SHA256 Credential=a"}, ""),
        ({"authorization": "AWS4-HMAC-SHA256 Credential=a, SignedHeaders=b, Signature=c"}, ""),
        ({"authorization": "AWS4-HMAC-SHA256 " + "x" * 20_000}, ""),
        ({"authorization": AUTHORIZATION}, ""),
        ({"authorization": AUTHORIZATION, "x-amz-date": "yesterday"}, ""),
        ({"authorization": AUTHORIZATION, "x-amz-date": "20260102T999999Z"}, ""),
        ({"authorization": AUTHORIZATION, "date": "yesterday"}, ""),
        ({}, "X-Amz-Signature=1"),
        ({}, "X-Amz-Signature=1&X-Amz-Algorithm=AWS4-HMAC-SHA256"),
        ({}, "X-Amz-Signature=1&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires=9999999"),
        ({}, "X-Amz-Signature=1&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires=1&X-Amz-Credential=%ff"),
    ],
)
def test_an_incomplete_signature_is_refused(headers: dict[str, str], query: str) -> None:
    error = refusal(Request("GET", "/", query, {"host": "x", **headers}, b""))
    assert (error.code, error.status) == ("IncompleteSignatureException", 400)


def test_a_scope_of_another_day_is_refused() -> None:
    request = signed()
    day = request.headers["x-amz-date"][:8]
    authorization = request.headers["authorization"].replace(f"/{day}/", "/20200101/")
    error = refusal(replace(request, headers={**request.headers, "authorization": authorization}))
    assert error.message.startswith("Date in Credential scope does not match")


def test_a_request_without_a_signed_host_is_refused() -> None:
    request = signed()
    authorization = request.headers["authorization"].replace("host;", "")
    changed = replace(request, headers={**request.headers, "authorization": authorization})
    assert refusal(changed).message == "These headers must be signed: host."


def test_signing_keys_are_kept_up_to_the_limit() -> None:
    keys = [Credential(f"AKID{number}", "secret") for number in range(5)]
    known = {key.access_key: key for key in keys}
    checking = Verifier(known.get, service="lambda", cache_limit=2)
    for key in keys + keys[-1:]:
        assert checking.verify(signed(key), now=now()).access_key == key.access_key
    assert len(checking._keys) == 2
    with pytest.raises(ValueError, match="cache_limit"):
        Verifier(known.get, service="lambda", cache_limit=0)


def test_keys_do_not_show_in_representations() -> None:
    assert "secret" not in repr(TEMPORARY)
    assert "token==" not in repr(TEMPORARY)


def authorization(credential: str) -> dict[str, str]:
    return {"authorization": f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=00"}


@pytest.mark.parametrize(
    ("headers", "query", "expected"),
    [
        ({}, "", Namespace("000000000000", "us-east-1")),
        (
            authorization("123456789012/20260102/eu-west-1/lambda/aws4_request"),
            "",
            Namespace("123456789012", "eu-west-1"),
        ),
        (
            authorization("test/20260102/us-gov-west-1/lambda/aws4_request"),
            "",
            Namespace("000000000000", "us-gov-west-1"),
        ),
        (
            authorization("١٢٣٤٥٦٧٨٩٠١٢/20260102/eu-west-1/lambda/aws4_request"),
            "",
            Namespace("000000000000", "eu-west-1"),
        ),
        (authorization("test/20260102/../lambda/aws4_request"), "", Namespace("000000000000", "us-east-1")),
        (authorization("nonsense"), "", Namespace("000000000000", "us-east-1")),
        ({"authorization": "Basic abc"}, "", Namespace("000000000000", "us-east-1")),
        (
            {},
            "a=b&X-Amz-Credential=123456789012%2F20260102%2Feu-west-1%2Flambda%2Faws4_request&c=d",
            Namespace("123456789012", "eu-west-1"),
        ),
    ],
)
def test_the_scope_chooses_account_and_region(headers: dict[str, str], query: str, expected: Namespace) -> None:
    assert namespace_of(headers, query, "us-east-1") == expected


def test_a_scope_is_five_parts() -> None:
    assert parse_scope("a/b/20260102/r/s/aws4_request") == Scope("a/b", "20260102", "r", "s")
    assert parse_scope("a/20260102/r/aws4_request") is None
    assert parse_scope("a/20260102/r//aws4_request") is None
    assert parse_scope("a/20260102/r/s/aws3") is None


def test_a_query_has_one_canonical_form() -> None:
    assert canonical_query("b=%7e&a=x%2fy&a&c=é".encode().decode("latin-1")) == "a=&a=x%2Fy&b=~&c=%C3%A9"
    assert canonical_query("") == ""


def test_a_streamed_payload_is_checked_piece_by_piece() -> None:
    headers = {"X-Amz-Content-SHA256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "X-Amz-Decoded-Content-Length": "2"}
    request = signed(headers=headers)
    authorization, moment = request.headers["authorization"], request.headers["x-amz-date"]
    seed = authorization.rpartition("Signature=")[2]
    scope = Scope(KEY.access_key, moment[:8], "eu-west-1", "lambda")
    previous, body = seed, b""
    for piece in (b"{}", b""):
        lines = ("AWS4-HMAC-SHA256-PAYLOAD", moment, scope.text, previous, sha256(b""), sha256(piece))
        previous = hmac.new(signing_key(KEY.secret_key, scope), "\n".join(lines).encode(), "sha256").hexdigest()
        body += b"%x;chunk-signature=%b\r\n%b\r\n" % (len(piece), previous.encode(), piece)
    assert verifier().verify(replace(request, body=body), now=now()).body == b"{}"
    assert refusal(replace(request, body=body.replace(b"{}", b"[]"))).code == "InvalidSignatureException"
    assert unframed_body(replace(request, body=body)) == b"{}"


def test_a_body_too_large_to_keep_is_taken_by_its_hash() -> None:
    request = signed(headers={"X-Amz-Content-SHA256": sha256(b'{"a": 1}')})
    assert verifier().verify(replace(request, body=b"", overflow=1), now=now()).body == b""
