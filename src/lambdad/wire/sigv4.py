"""AWS Signature Version 4: who a request says it is from, and whether its signature proves it.

Two uses. Without configured keys only the credential scope is read (`namespace_of`): the access key chooses the account
and the region chooses the region, nothing is proven. With keys, `Verifier` recomputes the signature from the header
form or the presigned form. No clock: `now` is a parameter.

Source: "Create a signed AWS API request", AWS Identity and Access Management User Guide.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import quote, unquote, unquote_to_bytes

from lambdad.model.arn import Namespace
from lambdad.model.errors import ApiError
from lambdad.wire.aws_chunked import PREFIX as STREAMING_PREFIX
from lambdad.wire.aws_chunked import SigningContext, decode_body
from lambdad.wire.http import Request

ALGORITHM = "AWS4-HMAC-SHA256"
DEFAULT_ACCOUNT = "000000000000"
CLOCK_SKEW_S = 300
"""How far a signature's time may be from ours: AWS allows five minutes."""
EXPIRES_MAX_S = 604_800
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"

_HEADER_MAX = 16 * 1024
"""Longest Authorization header or query string that is looked at; SDKs stay below 4 KiB with a session token."""
_UNRESERVED = "-_.~"
_REGION = re.compile(r"[a-z]{2}(?:-[a-z]+){1,3}-[0-9]{1,2}", re.ASCII)
_TIMESTAMP = re.compile(r"[0-9]{8}T[0-9]{6}Z", re.ASCII)
_HEX_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
_UNSIGNED_ALLOWED = frozenset({"x-amz-user-agent"})
"""`x-amz-*` headers that SDKs do not sign; every other one must be signed."""


@dataclass(frozen=True, slots=True)
class Scope:
    """A credential scope: `AKID/20260102/eu-west-1/lambda/aws4_request`."""

    access_key: str
    date: str
    region: str
    service: str

    @property
    def text(self) -> str:
        """The scope without the access key, as it is signed."""
        return f"{self.date}/{self.region}/{self.service}/aws4_request"


@dataclass(frozen=True, slots=True)
class Credential:
    """A key that callers may sign with. session_token: the token that temporary keys must send along."""

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Identity:
    """A caller whose signature was right. body: of the request, without the framing of a streamed payload."""

    access_key: str
    region: str
    body: bytes = field(default=b"", repr=False)


def namespace_of(headers: Mapping[str, str], query: str, default_region: str) -> Namespace:
    """Where the names of a request live; never fails, proves nothing.

    The account is the access key where that is twelve digits, else 000000000000. headers: names in lower case.
    """
    credential = _credential(headers, query)
    return Namespace(DEFAULT_ACCOUNT, default_region) if credential is None else _namespace(credential, default_region)


def scope_of(headers: Mapping[str, str], query: str) -> Scope | None:
    """What a request says it is signed for; None if it is not signed, or not in this way. Proves nothing."""
    credential = _credential(headers, query)
    return None if credential is None else parse_scope(credential)


def _credential(headers: Mapping[str, str], query: str) -> str | None:
    authorization = headers.get("authorization", "")
    if authorization.startswith(ALGORITHM) and len(authorization) <= _HEADER_MAX:
        return _between(authorization, "Credential=", ",")
    if "X-Amz-Credential=" in query and len(query) <= _HEADER_MAX:
        return unquote(_between(query, "X-Amz-Credential=", "&"))
    return None


@functools.lru_cache(maxsize=1024)
def parse_scope(credential: str) -> Scope | None:
    """A credential scope, or None for what is none. The access key may hold slashes; the other parts may not."""
    parts = credential.strip().rsplit("/", 4)
    if len(parts) != 5 or parts[4] != "aws4_request" or not all(parts):
        return None
    return Scope(*parts[:4])


@functools.lru_cache(maxsize=1024)
def _namespace(credential: str, default_region: str) -> Namespace:
    scope = parse_scope(credential)
    if scope is None:
        return Namespace(DEFAULT_ACCOUNT, default_region)
    key = scope.access_key
    account = key if len(key) == 12 and key.isascii() and key.isdigit() else DEFAULT_ACCOUNT
    return Namespace(account, checked_region(scope.region, default_region))


def checked_region(text: str, default_region: str) -> str:
    """A region as clients write it; the default for what cannot be one."""
    return text if _REGION.fullmatch(text) else default_region


def unframed_body(request: Request) -> bytes:
    """The body without the framing of a streamed payload, whose signatures are not looked at. Raises ApiError 400."""
    kind = request.headers.get("x-amz-content-sha256", "")
    if not kind.startswith(STREAMING_PREFIX):
        return request.body
    return decode_body(request.body, kind, request.headers.get("x-amz-decoded-content-length"), None)


def _between(text: str, start: str, end: str) -> str:
    return text.partition(start)[2].partition(end)[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Signed:
    """What a request claims: the parts of its signature, from the header or from the query."""

    scope: Scope
    signed_headers: tuple[str, ...]
    signature: str
    timestamp: str
    session_token: str | None
    payload_hash: str
    query: str
    """Canonical, without the signature."""
    expires_s: int | None
    """Lifetime of a presigned request."""


class Verifier:
    """Checks signatures against the keys that `find` knows. Signing keys of the last `cache_limit` scopes are kept."""

    def __init__(self, find: Callable[[str], Credential | None], *, service: str, cache_limit: int = 1024) -> None:
        if cache_limit < 1:
            raise ValueError("cache_limit must be at least 1")
        self._find = find
        self._service = service
        self._cache_limit = cache_limit
        self._keys: OrderedDict[tuple[Scope, str], bytes] = OrderedDict()

    def verify(self, request: Request, *, now: float) -> Identity:
        """The caller of a signed request. now: seconds since the epoch.

        Raises ApiError 403 MissingAuthenticationTokenException, UnrecognizedClientException, InvalidSignatureException
        or, 400, IncompleteSignatureException.
        """
        signed = _read_signature(request)
        credential = self._find(signed.scope.access_key)
        if credential is None or not _same(credential.session_token or "", signed.session_token or ""):
            raise ApiError("UnrecognizedClientException", 403, "The security token included in the request is invalid.")
        if signed.scope.service != self._service:
            raise _invalid(f"Credential should be scoped to correct service: '{self._service}'.")
        _check_time(signed, now)
        _check_coverage(request, signed)
        canonical = canonical_request(
            request.method,
            request.path,
            signed.query,
            {name: request.headers.get(name, "") for name in signed.signed_headers},
            signed.payload_hash,
        )
        text = string_to_sign(signed.timestamp, signed.scope, canonical)
        key = self._signing_key(credential, signed.scope)
        expected = hmac.digest(key, text.encode(), "sha256").hex()
        if not _same(expected, signed.signature):
            raise _invalid(
                "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
                "Access Key and signing method. Consult the service documentation for details."
            )
        body = request.body
        if signed.payload_hash.startswith(STREAMING_PREFIX):
            context = SigningContext(key=key, timestamp=signed.timestamp, scope=signed.scope.text, seed=expected)
            declared = request.headers.get("x-amz-decoded-content-length")
            body = decode_body(body, signed.payload_hash, declared, context)
        return Identity(credential.access_key, signed.scope.region, body)

    def _signing_key(self, credential: Credential, scope: Scope) -> bytes:
        name = (scope, credential.secret_key)
        key = self._keys.get(name)
        if key is None:
            key = signing_key(credential.secret_key, scope)
            self._keys[name] = key
            if len(self._keys) > self._cache_limit:
                self._keys.popitem(last=False)
        else:
            self._keys.move_to_end(name)
        return key


def signing_key(secret_key: str, scope: Scope) -> bytes:
    """The key that signs everything of one day, region and service."""
    key = f"AWS4{secret_key}".encode()
    for part in (scope.date, scope.region, scope.service, "aws4_request"):
        key = hmac.new(key, part.encode(), "sha256").digest()
    return key


def canonical_request(
    method: str, path: str, canonical_query: str, headers: Mapping[str, str], payload_hash: str
) -> str:
    """The request as both sides hash it. path: as sent; it is normalised and encoded once more, as all services but S3
    do. headers: the signed ones, names in lower case.
    """
    names = sorted(headers)
    lines = [method.upper(), _canonical_path(path), canonical_query]
    lines += [f"{name}:{' '.join(headers[name].split())}" for name in names]
    return "\n".join([*lines, "", ";".join(names), payload_hash])


@functools.lru_cache(maxsize=1024)
def _canonical_path(path: str) -> str:
    return quote(_wire_bytes(_normalize(path)), safe="/~")


def canonical_query(query: str) -> str:
    """A query string as it is signed: pairs decoded, encoded again in one way, and sorted."""
    pairs = []
    for pair in query.split("&") if query else ():
        name, _, value = pair.partition("=")
        pairs.append((_encode(name), _encode(value)))
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def string_to_sign(timestamp: str, scope: Scope, canonical: str) -> str:
    digest = hashlib.sha256(_wire_bytes(canonical)).hexdigest()
    return f"{ALGORITHM}\n{timestamp}\n{scope.text}\n{digest}"


def _encode(text: str) -> str:
    return quote(unquote_to_bytes(_wire_bytes(text)), safe=_UNRESERVED)


def _wire_bytes(text: str) -> bytes:
    """The bytes that the client sent: the server hands paths and headers on as Latin-1, byte by byte."""
    return text.encode("latin-1", "backslashreplace")


def _normalize(path: str) -> str:
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment and segment != ".":
            kept.append(segment)
    return "/" + "/".join(kept) + ("/" if kept and path.endswith("/") else "")


def _read_signature(request: Request) -> _Signed:
    authorization = request.headers.get("authorization", "")
    if max(len(authorization), len(request.query)) > _HEADER_MAX:
        raise _incomplete(f"The signature is longer than {_HEADER_MAX} characters.")
    if authorization.startswith(ALGORITHM):
        return _read_header(request, authorization)
    if "X-Amz-Signature=" in request.query:
        return _read_query(request)
    raise ApiError("MissingAuthenticationTokenException", 403, "Missing Authentication Token")


def _read_header(request: Request, authorization: str) -> _Signed:
    fields: dict[str, str] = {}
    for part in authorization[len(ALGORITHM) :].split(","):
        name, _, value = part.strip().partition("=")
        fields[name] = value
    headers = request.headers
    claimed_hash = headers.get("x-amz-content-sha256")
    return _Signed(
        scope=_scope(_required(fields, "Credential")),
        signed_headers=_header_names(_required(fields, "SignedHeaders")),
        signature=_required(fields, "Signature"),
        timestamp=_header_timestamp(headers),
        session_token=headers.get("x-amz-security-token"),
        payload_hash=_payload_hash(request, claimed_hash),
        query=canonical_query(request.query),
        expires_s=None,
    )


def _read_query(request: Request) -> _Signed:
    fields: dict[str, str] = {}
    others = []
    for pair in request.query.split("&"):
        name, _, value = pair.partition("=")
        name = unquote(name)
        if name.startswith("X-Amz-"):
            fields[name] = unquote(value)
        if name != "X-Amz-Signature":
            others.append(pair)
    if fields.get("X-Amz-Algorithm") != ALGORITHM:
        raise _incomplete(f"Query-string authentication requires X-Amz-Algorithm={ALGORITHM}.")
    expires = _required(fields, "X-Amz-Expires")
    if not (expires.isascii() and expires.isdigit() and len(expires) <= 6 and int(expires) <= EXPIRES_MAX_S):
        raise _incomplete(f"X-Amz-Expires must be a number of seconds up to {EXPIRES_MAX_S}.")
    claimed_hash = fields.get("X-Amz-Content-Sha256") or request.headers.get("x-amz-content-sha256")
    return _Signed(
        scope=_scope(_required(fields, "X-Amz-Credential")),
        signed_headers=_header_names(_required(fields, "X-Amz-SignedHeaders")),
        signature=_required(fields, "X-Amz-Signature"),
        timestamp=_timestamp(_required(fields, "X-Amz-Date")),
        session_token=fields.get("X-Amz-Security-Token"),
        payload_hash=_payload_hash(request, claimed_hash),
        query=canonical_query("&".join(others)),
        expires_s=int(expires),
    )


def _required(fields: Mapping[str, str], name: str) -> str:
    value = fields.get(name)
    if not value:
        raise _incomplete(f"Authorization requires '{name}' parameter.")
    return value


def _scope(credential: str) -> Scope:
    scope = parse_scope(credential)
    if scope is None:
        raise _incomplete("Credential must be accessKey/date/region/service/aws4_request.")
    return scope


@functools.lru_cache(maxsize=256)
def _header_names(text: str) -> tuple[str, ...]:
    return tuple(sorted({name.strip() for name in text.split(";") if name.strip()}))


def _header_timestamp(headers: Mapping[str, str]) -> str:
    if "x-amz-date" in headers:
        return _timestamp(headers["x-amz-date"])
    try:
        moment = parsedate_to_datetime(headers["date"])
    except KeyError:
        raise _incomplete("Authorization requires existence of either a 'X-Amz-Date' or a 'Date' header.") from None
    except (ValueError, TypeError, IndexError, OverflowError):
        raise _incomplete("Date must be in RFC 1123 format.") from None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def _timestamp(text: str) -> str:
    if not _TIMESTAMP.fullmatch(text):
        raise _incomplete("Date must be in ISO-8601 'basic format', such as 20260102T030405Z.")
    return text


def _payload_hash(request: Request, claimed: str | None) -> str:
    if claimed is not None and (claimed == UNSIGNED_PAYLOAD or claimed.startswith(STREAMING_PREFIX)):
        return claimed
    if claimed is not None and request.overflow and _HEX_DIGEST.fullmatch(claimed):
        return claimed  # the body was too large to keep, and is not used
    actual = hashlib.sha256(request.body).hexdigest()
    if claimed is not None and not (_HEX_DIGEST.fullmatch(claimed) and _same(claimed, actual)):
        raise _invalid("The value of x-amz-content-sha256 is not the SHA-256 of the body.")
    return actual


def _check_time(signed: _Signed, now: float) -> None:
    moment = _moment(signed.timestamp)
    if signed.scope.date != signed.timestamp[:8]:
        raise _invalid(
            f"Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
            f"'{signed.scope.date}' != '{signed.timestamp[:8]}', from '{signed.timestamp}'."
        )
    lifetime = CLOCK_SKEW_S if signed.expires_s is None else signed.expires_s
    minutes = CLOCK_SKEW_S // 60
    if moment + lifetime < now:
        ago = f"({_stamp(now)} - {minutes} min.)" if signed.expires_s is None else f"({_stamp(now)} - {lifetime} s)"
        raise _invalid(f"Signature expired: {signed.timestamp} is now earlier than {_stamp(now - lifetime)} {ago}")
    if moment - CLOCK_SKEW_S > now:
        latest = f"{_stamp(now + CLOCK_SKEW_S)} ({_stamp(now)} + {minutes} min.)"
        raise _invalid(f"Signature not yet current: {signed.timestamp} is still later than {latest}")


@functools.lru_cache(maxsize=64)
def _moment(timestamp: str) -> float:
    """Kept: clients that sign much in one second ask again and again. Raises ApiError 400."""
    try:
        return datetime.strptime(timestamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise _incomplete(f"{timestamp} is not a date.") from None


def _check_coverage(request: Request, signed: _Signed) -> None:
    """A header that changes the meaning of a request must be signed, or whoever is between could add it."""
    missing = [
        name
        for name in request.headers
        if (name == "host" or name.startswith("x-amz-"))
        and name not in signed.signed_headers
        and name not in _UNSIGNED_ALLOWED
    ]
    if missing:
        raise _invalid(f"These headers must be signed: {', '.join(sorted(missing)[:10])}.")
    if "host" not in signed.signed_headers:
        raise _invalid("'host' must be a signed header.")


def _stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%dT%H%M%SZ")


def _same(left: str, right: str) -> bool:
    return hmac.compare_digest(left.encode(errors="surrogateescape"), right.encode(errors="surrogateescape"))


def _invalid(message: str) -> ApiError:
    return ApiError("InvalidSignatureException", 403, message)


def _incomplete(message: str) -> ApiError:
    return ApiError("IncompleteSignatureException", 400, message)
