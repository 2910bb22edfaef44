"""`aws-chunked`: a body in pieces, each signed with the signature before it, as SDKs send what they stream. Pure.

The whole framed body is there already: the pieces are checked and joined. Trailers are read, their checksums are not.
Source: "Signature calculations for the Authorization header: Transferring payload in multiple chunks", Amazon S3 API
Reference; the framing is the same for every service.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass

from lambdad.model.errors import ApiError

PREFIX = "STREAMING-"
"""Of `x-amz-content-sha256` for such bodies."""
SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
CHUNKS_MAX = 100_000

_EMPTY = hashlib.sha256(b"").hexdigest()
_HEAD = re.compile(rb"(?P<size>[0-9a-fA-F]{1,8})(?:;chunk-signature=(?P<signature>[0-9a-f]{64}))?")
_HEAD_MAX = 128
_TRAILER_MAX = 16 * 1024


@dataclass(frozen=True, slots=True)
class Chunk:
    """signature: empty where pieces are not signed."""

    data: bytes
    signature: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningContext:
    """What the chain of signatures hangs on. scope: without the access key. seed: signature of the request."""

    key: bytes
    timestamp: str
    scope: str
    seed: str


def decode_body(body: bytes, kind: str, declared: str | None, context: SigningContext | None) -> bytes:
    """The body without its framing. kind: of PREFIX. declared: `x-amz-decoded-content-length`. context: None checks no
    signature.

    Raises ApiError 400 IncompleteSignatureException for broken framing, 403 InvalidSignatureException.
    """
    if kind not in (SIGNED, SIGNED_TRAILER, UNSIGNED_TRAILER):
        raise _broken(f"x-amz-content-sha256 {kind[:64]} is not supported.")
    chunks, trailer = split_body(body)
    if context is not None and kind != UNSIGNED_TRAILER:
        last = _check_chunks(chunks, context)
        if kind == SIGNED_TRAILER:
            _check_trailer(trailer, last, context)
    joined = b"".join(chunk.data for chunk in chunks)
    if declared is not None and declared != str(len(joined)):
        raise _broken("x-amz-decoded-content-length is not the length of the body.")
    return joined


def split_body(body: bytes) -> tuple[list[Chunk], Mapping[str, str]]:
    """The pieces, the empty last one included, and the trailers, names in lower case."""
    chunks: list[Chunk] = []
    at = 0
    while True:
        end = body.find(b"\r\n", at, at + _HEAD_MAX)
        head = None if end < 0 else _HEAD.fullmatch(body, at, end)
        if head is None or len(chunks) >= CHUNKS_MAX:
            raise _broken("The body is not in the aws-chunked encoding.")
        size, start = int(head["size"], 16), end + 2
        chunks.append(Chunk(body[start : start + size], (head["signature"] or b"").decode()))
        at = start + size
        if size == 0:
            return chunks, _read_trailer(body[at:])
        if body[at : at + 2] != b"\r\n":
            raise _broken("The body is not in the aws-chunked encoding.")
        at += 2


def _read_trailer(rest: bytes) -> dict[str, str]:
    if len(rest) > _TRAILER_MAX:
        raise _broken("The trailer of the body is too long.")
    trailer = {}
    for line in rest.split(b"\r\n"):
        name, colon, value = line.decode("latin-1").partition(":")
        if colon:
            trailer[name.strip().lower()] = value.strip()
        elif line:
            raise _broken("The trailer of the body is not valid.")
    return trailer


def _check_chunks(chunks: list[Chunk], context: SigningContext) -> str:
    """The signature of the last piece."""
    previous = context.seed
    for chunk in chunks:
        digest = hashlib.sha256(chunk.data).hexdigest()
        previous = _check(chunk.signature, "PAYLOAD", f"{previous}\n{_EMPTY}\n{digest}", context)
    return previous


def _check_trailer(trailer: Mapping[str, str], previous: str, context: SigningContext) -> None:
    lines = "".join(f"{name}:{value}\n" for name, value in trailer.items() if name != "x-amz-trailer-signature")
    digest = hashlib.sha256(lines.encode("latin-1")).hexdigest()
    _check(trailer.get("x-amz-trailer-signature", ""), "TRAILER", f"{previous}\n{digest}", context)


def _check(given: str, kind: str, rest: str, context: SigningContext) -> str:
    text = f"AWS4-HMAC-SHA256-{kind}\n{context.timestamp}\n{context.scope}\n{rest}"
    expected = hmac.new(context.key, text.encode(), "sha256").hexdigest()
    if not hmac.compare_digest(expected.encode(), given.encode("latin-1", "replace")):
        raise ApiError("InvalidSignatureException", 403, "A piece of the body does not have the right signature.")
    return expected


def _broken(message: str) -> ApiError:
    return ApiError("IncompleteSignatureException", 400, message)
