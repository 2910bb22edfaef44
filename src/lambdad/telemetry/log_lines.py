"""What a function itself writes: a byte stream cut into log records, and the end of it that a caller may ask for.

Pure, but for the state of the stream. The bytes are the function's: any of them may come, in pieces of any size.
"""

from __future__ import annotations

import re
from collections import deque

import orjson

from lambdad.model.limits import LOG_TAIL_MAX
from lambdad.telemetry.function_log import Level

LINE_MAX = 256 * 1024
"""The size limit of one log event; longer lines continue in the next record, as on AWS."""


class LineSplitter:
    """Cuts stdout and stderr into records, one for each line.

    Only `\\n` ends a record: runtimes join the lines of a traceback by `\\r` so that it stays one record.
    """

    __slots__ = ("_limit", "_rest")

    def __init__(self, limit: int = LINE_MAX) -> None:
        self._limit = limit
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The records that `data` completes, without their line ends; an empty line is an empty record."""
        *lines, rest = data.split(b"\n")
        records: list[bytes] = []
        for line in lines:
            self._rest += line
            self._cut(records)
            records.append(bytes(self._rest))
            self._rest.clear()
        self._rest += rest
        self._cut(records)
        return records

    def finish(self) -> list[bytes]:
        """What is left when nothing more will come, or when an invocation ends without a line end."""
        records = [bytes(self._rest)] if self._rest else []
        self._rest.clear()
        return records

    def _cut(self, records: list[bytes]) -> None:
        while len(self._rest) > self._limit:
            records.append(bytes(self._rest[: self._limit]))
            del self._rest[: self._limit]


class TailWindow:
    """The last bytes of one invocation's log, for `LogType: Tail`. Keeps no more than it will give."""

    __slots__ = ("_limit", "_records", "_size")

    def __init__(self, limit: int = LOG_TAIL_MAX) -> None:
        self._limit = limit
        self._records: deque[bytes] = deque()
        self._size = 0

    def append(self, record: bytes) -> None:
        """Add a record, which gets its line end back."""
        line = record[-self._limit :] + b"\n"
        self._records.append(line)
        self._size += len(line)
        while self._size - len(self._records[0]) >= self._limit:
            self._size -= len(self._records.popleft())

    def value(self) -> bytes:
        """The last `limit` bytes at most, even if that begins in the middle of a line."""
        return b"".join(self._records)[-self._limit :]


_LEVELS = {
    **Level.__members__,
    "WARNING": Level.WARN,
    "INFORMATION": Level.INFO,
    "CRITICAL": Level.FATAL,
}
_TIMES = ("timestamp", "time", "@timestamp", "Timestamp")
"""As the managed runtimes and the loggers beside them name it."""
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")


def level_of_record(record: bytes) -> Level:
    """The level of a record of a function with `LogFormat: JSON`.

    It is that of a JSON object with a `level` and a time in the form of RFC 3339; everything else is INFO. Source:
    "Log-level filtering", AWS Lambda Developer Guide.
    """
    if not record.startswith(b"{"):
        return Level.INFO
    try:
        members = orjson.loads(record)
    except orjson.JSONDecodeError:
        return Level.INFO
    moment = next((members[name] for name in _TIMES if name in members), None)
    if not isinstance(moment, str) or _RFC_3339.fullmatch(moment) is None:
        return Level.INFO
    return _LEVELS.get(str(members.get("level")).upper(), Level.INFO)
