"""Bodies in signed pieces: joined when every signature is right, refused otherwise."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.model.errors import ApiError
from lambdad.wire.aws_chunked import (
    SIGNED,
    SIGNED_TRAILER,
    UNSIGNED_TRAILER,
    SigningContext,
    decode_body,
    split_body,
)

CONTEXT = SigningContext(
    key=b"k" * 32, timestamp="20260102T030405Z", scope="20260102/us-east-1/lambda/aws4_request", seed="0" * 64
)
EMPTY = hashlib.sha256(b"").hexdigest()


def sign(kind: str, rest: str) -> str:
    text = f"AWS4-HMAC-SHA256-{kind}\n{CONTEXT.timestamp}\n{CONTEXT.scope}\n{rest}"
    return hmac.new(CONTEXT.key, text.encode(), "sha256").hexdigest()


def framed(pieces: Sequence[bytes], *, checksum: str = "") -> bytes:
    """As a client sends it. checksum: of a trailer, which is signed too."""
    previous, lines = CONTEXT.seed, []
    for piece in (*pieces, b""):
        previous = sign("PAYLOAD", f"{previous}\n{EMPTY}\n{hashlib.sha256(piece).hexdigest()}")
        lines.append(
            b"%x;chunk-signature=%b\r\n%b" % (len(piece), previous.encode(), piece + b"\r\n" if piece else b"")
        )
    if checksum:
        name = f"x-amz-checksum-crc32:{checksum}"
        digest = hashlib.sha256(name.encode() + b"\n").hexdigest()
        signature = sign("TRAILER", f"{previous}\n{digest}")
        lines.append(f"{name}\r\nx-amz-trailer-signature:{signature}\r\n".encode())
    return b"".join((*lines, b"\r\n"))


def refusal(body: bytes, kind: str = SIGNED, declared: str | None = None) -> str:
    with pytest.raises(ApiError) as refused:
        decode_body(body, kind, declared, CONTEXT)
    assert refused.value.status in (400, 403)
    return refused.value.code


def test_signed_pieces_are_joined() -> None:
    assert decode_body(framed([b'{"a":', b"1}"]), SIGNED, "7", CONTEXT) == b'{"a":1}'
    assert decode_body(framed([]), SIGNED, "0", CONTEXT) == b""


def test_a_trailer_is_signed_too() -> None:
    body = framed([b"{}"], checksum="AAAAAA==")
    assert decode_body(body, SIGNED_TRAILER, "2", CONTEXT) == b"{}"
    assert refusal(body.replace(b"AAAAAA==", b"BBBBBB=="), SIGNED_TRAILER) == "InvalidSignatureException"
    assert refusal(framed([b"{}"]), SIGNED_TRAILER) == "InvalidSignatureException"


def test_unsigned_pieces_are_joined() -> None:
    body = b"2\r\n{}\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n"
    assert decode_body(body, UNSIGNED_TRAILER, "2", CONTEXT) == b"{}"
    assert split_body(body)[1] == {"x-amz-checksum-crc32": "AAAAAA=="}


def test_pieces_that_were_changed_swapped_or_cut_are_refused() -> None:
    body = framed([b"first!", b"second"])
    assert refusal(body.replace(b"first!", b"worst!")) == "InvalidSignatureException"
    assert refusal(body.replace(b"first!", b"x").replace(b"second", b"first!")) == "IncompleteSignatureException"
    head = body.index(b"second") - 85 - 2
    assert refusal(body[: head + 4]) == "IncompleteSignatureException"
    unsigned = b"6\r\nfirst!\r\n0\r\n\r\n"
    assert refusal(unsigned) == "InvalidSignatureException"


@pytest.mark.parametrize(
    ("body", "kind", "declared"),
    [
        (b"", SIGNED, None),
        (b"zz\r\n", SIGNED, None),
        (b"ffffffff\r\nx\r\n0\r\n\r\n", UNSIGNED_TRAILER, None),
        (b"0\r\nno trailer\r\n", UNSIGNED_TRAILER, None),
        (b"0\r\n" + b"a:" + b"x" * 20_000, UNSIGNED_TRAILER, None),
        (b"2\r\n{}\r\n0\r\n\r\n", UNSIGNED_TRAILER, "3"),
        (b"2\r\n{}\r\n0\r\n\r\n", "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", None),
    ],
)
def test_broken_framing_is_refused(body: bytes, kind: str, declared: str | None) -> None:
    assert refusal(body, kind, declared) == "IncompleteSignatureException"


@given(st.binary(max_size=300), st.sampled_from([SIGNED, SIGNED_TRAILER, UNSIGNED_TRAILER, "STREAMING-X"]))
def test_any_bytes_are_a_body_or_are_refused(body: bytes, kind: str) -> None:
    try:
        decode_body(body, kind, None, CONTEXT)
    except ApiError as error:
        assert error.status in (400, 403)


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=6))
def test_what_is_framed_comes_out_as_it_was(pieces: list[bytes]) -> None:
    assert decode_body(framed(pieces), SIGNED, None, CONTEXT) == b"".join(pieces)
