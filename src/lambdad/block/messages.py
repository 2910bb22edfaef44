"""What worker, supervisor and agent say to each other: one JSON object per datagram of a Unix socket. Pure.

worker ── Configure, Serve, Started, Drop ──▶ supervisor ── the same, with the descriptor ──▶ agent
worker ◀── Serving, Refused, Lost ─────────── supervisor ◀── Serving, Refused ────────────── agent
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any

MESSAGE_MAX = 128 * 1024


class MessageInvalid(Exception):
    """The other end is not ours, or another version of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Configure:
    """How the agent reads chunks. Sizes in bytes.

    origin_directory or bucket: where chunks are; without an access key, the bucket's are looked for as AWS's tools do.
    cache_directory: empty for none. nodes: cache nodes, as in `cache_address`. node_authority: file of certificates
    that may sign theirs; empty for the system's.
    record_s: how long after its first read a start is over if nobody says `Started`. starts: at once, at most.
    """

    origin_directory: str = ""
    bucket: str = ""
    endpoint: str = ""
    region: str = "us-east-1"
    prefix: str = ""
    access_key_id: str = ""
    secret_access_key: str = ""
    session_token: str = ""
    cache_directory: str = ""
    cache_bytes: int = 10 * 1024**3
    memory_bytes: int = 512 * 1024**2
    nodes: tuple[str, ...] = ()
    node_authority: str = ""
    record_s: float = 10.0
    starts: int = 256

    def __repr__(self) -> str:
        # Never the keys, and of the nodes, which may have passwords, no more than how many there are.
        return f"Configure(origin={self.origin_directory or self.bucket!r}, nodes={len(self.nodes)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Serve:
    """Show an image as a FUSE file at `path`.

    id: of the mount. manifest_path: local file. digest: SHA-256 it must have. key: of the function, hexadecimal.
    is_resumed: a predecessor served it; set by the supervisor. can_resend: see `fuse_protocol.Init`.
    """

    id: str
    path: str
    manifest_path: str
    digest: str
    key: str
    is_resumed: bool = False
    can_resend: bool = False

    def __repr__(self) -> str:
        return f"Serve(id={self.id!r}, path={self.path!r}, digest={self.digest!r})"  # never the key


@dataclass(frozen=True, slots=True)
class Started:
    """The first start from this mount is over: what it read is the next one's prefetch."""

    id: str


@dataclass(frozen=True, slots=True)
class Drop:
    """Take the file away."""

    id: str


@dataclass(frozen=True, slots=True)
class Serving:
    id: str


@dataclass(frozen=True, slots=True)
class Refused:
    """is_overloaded: the same request may succeed later."""

    id: str
    reason: str
    is_overloaded: bool = False


@dataclass(frozen=True, slots=True)
class Lost:
    """The agent dies again and again: every mount has been given up."""

    reason: str


Message = Configure | Serve | Started | Drop | Serving | Refused | Lost
_TYPES: dict[str, type[Message]] = {
    "configure": Configure,
    "serve": Serve,
    "started": Started,
    "drop": Drop,
    "serving": Serving,
    "refused": Refused,
    "lost": Lost,
}
_NAMES = {kind: name for name, kind in _TYPES.items()}


def encode_message(message: Message) -> bytes:
    data = json.dumps({"message": _NAMES[type(message)], **asdict(message)}).encode()
    if len(data) > MESSAGE_MAX:
        raise MessageInvalid(f"a message of {len(data)} bytes")
    return data


def parse_message(data: bytes) -> Message:
    """Raises `MessageInvalid`."""
    try:
        values: dict[str, Any] = json.loads(data)
        kind = _TYPES[values.pop("message")]
        expected = {field.name: field.type for field in fields(kind)}
        for name, value in values.items():
            if type(value) is not _JSON_TYPES[str(expected[name])]:
                raise MessageInvalid(f"{name} of {kind.__name__} is a {type(value).__name__}")
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        return kind(**values)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise MessageInvalid(f"not a message: {error!r}") from error


_JSON_TYPES = {"str": str, "int": int, "float": float, "bool": bool, "tuple[str, ...]": list}
