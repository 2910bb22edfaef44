"""Log groups as clients see them: what functions wrote and clients put, less what was deleted or has expired.

Three places on disk: the log of the functions, which another process writes and this one only reads; the log of the
clients, which is ours; and one small record for each group that a client made, changed or deleted. What a client
deletes of a function's log is hidden at once. The process that owns those files removes them with its next look at the
group (`read_floor`). Methods read and write files: call them in a thread.
"""

from __future__ import annotations

import contextlib
import heapq
import json
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import islice
from pathlib import Path
from typing import Any

from lambdad.model.arn import Namespace
from lambdad.telemetry.log_files import decode_name, encode_name
from lambdad.telemetry.log_reader import LogRecord
from lambdad.telemetry.log_store import LogLimits, LogStore, StreamInfo

CLIENT_LIMITS = LogLimits(group_bytes=64 * 1024 * 1024)
"""What clients put into one group. They are told when they are refused, so there is no rate beyond that of requests."""
GROUPS_MAX = 10_000
"""Records of one account in one region."""
REMOVED_STREAMS_MAX = 2_000
DAY_MS = 86_400_000

_RECORD_MAX = 4 * 1024 * 1024
_HERE = ".json"
_GONE = ".gone"
_RECORDS_MAX = 1_000_000
"""Of the clients' log of one group: more than its files can hold at an ordinary size."""


class TooManyGroups(Exception):
    """The account has as many groups as one may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRecord:
    """What clients have said of a group. Times: milliseconds since the epoch.

    retention_days: 0 keeps for ever. emptied_ms: what is older was deleted with the group. removed: streams of
    functions that were deleted, and when.
    """

    name: str
    created_ms: int = 0
    retention_days: int = 0
    emptied_ms: int = 0
    kms_key: str = ""
    log_class: str = "STANDARD"
    tags: Mapping[str, str] = field(default_factory=dict)
    removed: Mapping[str, int] = field(default_factory=dict)

    def floor_ms(self, now_ms: int) -> int:
        """What is older than this is not shown."""
        kept = now_ms - self.retention_days * DAY_MS if self.retention_days else 0
        return max(self.emptied_ms, kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How far somebody has followed a group: bytes seen of each file. since_ms: what is older is left out."""

    since_ms: int
    functions: dict[tuple[int, int], int] = field(default_factory=dict)
    clients: dict[tuple[int, int], int] = field(default_factory=dict)


_MEMBERS = frozenset(member.name for member in fields(GroupRecord))


class LogGroups:
    """The groups of all accounts. functions: read only. clients: ours. records: a directory of ours."""

    def __init__(self, functions: LogStore, clients: LogStore, records: Path) -> None:
        self._functions = functions
        self._clients = clients
        self._records = records
        self._lock = threading.Lock()

    def sweep(self) -> None:
        """Remove what clients put and what has expired; the functions' log is its owner's."""
        self._clients.sweep()

    def names(self, namespace: Namespace) -> list[str]:
        """The groups that there are, sorted."""
        here, gone = self._recorded(namespace)
        found = set(here)
        for name in self._functions.groups(namespace):
            if name not in found and (name not in gone or self.streams(namespace, name)):
                found.add(name)
        return sorted(found)

    def get(self, namespace: Namespace, name: str) -> GroupRecord | None:
        """A group; None if there is none."""
        if self._path(namespace, name, _HERE).exists():
            return self._read(namespace, name)
        if self.streams(namespace, name):
            streams = self._functions.streams(namespace, name)
            return replace(self._read(namespace, name), created_ms=min(info.last_write_ms for info in streams))
        return None

    def create(self, namespace: Namespace, record: GroupRecord) -> bool:
        """False if the group is there. Raises `TooManyGroups`, OSError."""
        with self._lock:
            if self.get(namespace, record.name) is not None:
                return False
            if len(self._recorded(namespace)[0]) >= GROUPS_MAX:
                raise TooManyGroups
            before = self._read(namespace, record.name)
            self._write(namespace, replace(record, emptied_ms=before.emptied_ms, removed=before.removed))
            return True

    def change(self, namespace: Namespace, name: str, **changes: Any) -> bool:
        """Replace members of the group's record; False if there is no such group. Raises OSError."""
        with self._lock:
            record = self.get(namespace, name)
            if record is None:
                return False
            self._write(namespace, replace(record, **changes))
            return True

    def delete(self, namespace: Namespace, name: str, now_ms: int) -> bool:
        """False if there is no such group. A function that logs again makes it anew, as at AWS. Raises OSError."""
        with self._lock:
            if self.get(namespace, name) is None:
                return False
            self._clients.delete(namespace, name)
            self._write(namespace, GroupRecord(name=name, emptied_ms=now_ms), _GONE)
            self._path(namespace, name, _HERE).unlink(missing_ok=True)
            if not self._functions.streams(namespace, name):
                self._path(namespace, name, _GONE).unlink(missing_ok=True)
            return True

    def streams(self, namespace: Namespace, name: str) -> list[StreamInfo]:
        """The streams that are shown, the one written to last first."""
        record = self._read(namespace, name)
        found = {
            info.name: info
            for info in self._functions.streams(namespace, name)
            if info.last_write_ms > max(record.emptied_ms, record.removed.get(info.name, 0))
        }
        for info in self._clients.streams(namespace, name):
            other = found.get(info.name)
            size = info.bytes + (0 if other is None else other.bytes)
            written = max(info.last_write_ms, 0 if other is None else other.last_write_ms)
            found[info.name] = StreamInfo(info.name, size, written)
        return sorted(found.values(), key=lambda info: (-info.last_write_ms, info.name))

    def create_stream(self, namespace: Namespace, name: str, stream: str) -> bool:
        """False if the stream is there; the group is. Raises OSError."""
        with self._lock:
            if any(info.name == stream for info in self.streams(namespace, name)):
                return False
            self._clients.put(namespace, name, stream, ())
            return True

    def delete_stream(self, namespace: Namespace, name: str, stream: str, now_ms: int) -> bool:
        """False if there is no such stream. Raises OSError."""
        with self._lock:
            if all(info.name != stream for info in self.streams(namespace, name)):
                return False
            self._clients.delete_stream(namespace, name, stream)
            ours = {info.name for info in self._functions.streams(namespace, name)}
            if stream in ours:
                record = self.get(namespace, name) or self._read(namespace, name)
                removed = [(other, moment) for other, moment in record.removed.items() if other in ours]
                kept = dict([*removed, (stream, now_ms)][-REMOVED_STREAMS_MAX:])
                self._write(namespace, replace(record, removed=kept))
            return True

    def put(self, namespace: Namespace, name: str, stream: str, records: Iterable[tuple[int, bytes]]) -> None:
        """Add records, times in milliseconds, to a stream that is there. Raises OSError."""
        with self._lock:
            self._clients.put(namespace, name, stream, records)

    def read(
        self,
        namespace: Namespace,
        name: str,
        *,
        now_ms: int,
        since_ms: int = 0,
        until_ms: int | None = None,
        limit: int = 10_000,
        stream: str | None = None,
    ) -> list[LogRecord]:
        """The first `limit` records with since <= time < until, by time; `stream` narrows it to one."""
        record = self._read(namespace, name)
        since_ms = max(since_ms, record.floor_ms(now_ms))
        from_functions = self._functions.read(
            namespace, name, since_ms=since_ms, until_ms=until_ms, limit=limit, stream=stream
        )
        shown = (one for one in from_functions if one.timestamp_ms > record.removed.get(one.stream, -1))
        # Clients choose their times, so their files need not be in order.
        put = self._clients.read(namespace, name, since_ms=since_ms, limit=_RECORDS_MAX, stream=stream)
        ordered = sorted(
            (one for one in put if until_ms is None or one.timestamp_ms < until_ms), key=lambda one: one.timestamp_ms
        )
        return list(islice(heapq.merge(shown, ordered, key=lambda one: one.timestamp_ms), limit))

    def news(self, namespace: Namespace, name: str, reading: Reading) -> list[LogRecord]:
        """What came since the last look with this `reading`, by time."""
        record = self._read(namespace, name)
        floor = max(reading.since_ms, record.emptied_ms)
        found = self._functions.news(namespace, name, reading.functions, floor)
        shown = [one for one in found if one.timestamp_ms > record.removed.get(one.stream, -1)]
        shown += self._clients.news(namespace, name, reading.clients, floor)
        return sorted(shown, key=lambda one: one.timestamp_ms)

    def _recorded(self, namespace: Namespace) -> tuple[set[str], set[str]]:
        """The groups with a record: those that are there, and those that were deleted."""
        here: set[str] = set()
        gone: set[str] = set()
        for path in _listed(self._folder(namespace)):
            if path.suffix in (_HERE, _GONE):
                stem = path.name.removesuffix(path.suffix)
                name = _load(path).get("name", "") if "~" in stem else decode_name(stem)
                (here if path.suffix == _HERE else gone).add(name)
        return here, gone - here

    def _read(self, namespace: Namespace, name: str) -> GroupRecord:
        """What is recorded of a group, there or deleted; an empty record if nothing is."""
        for suffix in (_HERE, _GONE):
            members = _load(self._path(namespace, name, suffix))
            if members:
                return GroupRecord(**{key: value for key, value in members.items() if key in _MEMBERS})
        return GroupRecord(name=name)

    def _write(self, namespace: Namespace, record: GroupRecord, suffix: str = _HERE) -> None:
        path = self._path(namespace, record.name, suffix)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}")
        beside.write_text(json.dumps(asdict(record)))
        beside.replace(path)
        if suffix == _HERE:
            self._path(namespace, record.name, _GONE).unlink(missing_ok=True)

    def _folder(self, namespace: Namespace) -> Path:
        return self._records / encode_name(namespace.account) / encode_name(namespace.region)

    def _path(self, namespace: Namespace, name: str, suffix: str) -> Path:
        return self._folder(namespace) / f"{encode_name(name)}{suffix}"


def read_floor(records: Path, group: Path, now_ms: int) -> int:
    """Before which time a group's log may be removed. group: its folder's path below the log's directory.

    For the process that owns the functions' log: it believes nothing else of what the records say. 0 if they say none.
    """
    for suffix in (_HERE, _GONE):
        members = _load(records / group.parent / f"{group.name}{suffix}")
        emptied, days = members.get("emptied_ms", 0), members.get("retention_days", 0)
        if isinstance(emptied, int) and isinstance(days, int) and (emptied or days):
            return min(max(emptied, now_ms - days * DAY_MS if days > 0 else 0), now_ms)
    return 0


def _load(path: Path) -> dict[str, Any]:
    """The members of a record; none if there is none, or it cannot be read."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "rb") as file:
            members = json.loads(file.read(_RECORD_MAX))
        if isinstance(members, dict):
            return members
    return {}


def _listed(folder: Path) -> Iterator[Path]:
    with contextlib.suppress(OSError):
        yield from folder.iterdir()
