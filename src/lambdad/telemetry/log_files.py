"""The function log on disk, to the byte: names of files and lines of records. Pure.

The format is docs/formats/function-log.md.
"""

from __future__ import annotations

import hashlib
import re
from urllib.parse import quote, unquote

CURRENT = ".log"
PREVIOUS = ".log.1"

_NAME_MAX = 200
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)


def encode_name(name: str) -> str:
    """A group's or stream's name as the name of a directory or file."""
    encoded = quote(name, safe="")
    if encoded in (".", ".."):
        return encoded.replace(".", "%2E")
    if len(encoded) > _NAME_MAX:
        return f"{encoded[:_NAME_MAX]}~{hashlib.sha256(encoded.encode()).hexdigest()[:32]}"
    return encoded


def decode_name(encoded: str) -> str:
    """The name again; a cut one stays cut."""
    return unquote(encoded, errors="replace")


def stream_of(file_name: str) -> str | None:
    """The encoded stream name of a log file; None for other files."""
    for suffix in (CURRENT, PREVIOUS):
        if file_name.endswith(suffix):
            return file_name.removesuffix(suffix)
    return None


def encode_record(timestamp_ms: int, message: bytes) -> bytes:
    """One line. `message` may hold any byte."""
    if b"\n" in message or b"\\" in message:
        message = message.replace(b"\\", b"\\\\").replace(b"\n", b"\\n")
    return b"%d %s\n" % (timestamp_ms, message)


def decode_record(line: bytes) -> tuple[int, bytes] | None:
    """Time and message of a line without its line feed; None if it is no record."""
    digits, space, message = line.partition(b" ")
    if not space or not digits.isdigit() or len(digits) > 15:
        return None
    if b"\\" in message:
        message = _ESCAPED.sub(_unescape, message)
    return int(digits), message


def _unescape(match: re.Match[bytes]) -> bytes:
    return b"\n" if match[1] == b"n" else match[1]
