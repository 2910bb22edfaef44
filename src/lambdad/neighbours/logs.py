"""CloudWatch Logs, the reading half: what `aws logs tail`, `sam logs` and boto3 read.

DescribeLogGroups, DescribeLogStreams, GetLogEvents, FilterLogEvents. Events carry the time they were written as the
time they were taken in, too. Runs in a thread: every operation reads files.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from lambdad.model.arn import Namespace
from lambdad.neighbours.filter_pattern import parse_pattern
from lambdad.neighbours.json_protocol import Input, JsonError, invalid
from lambdad.telemetry.log_groups import GroupRecord, LogGroups
from lambdad.telemetry.log_reader import LogRecord
from lambdad.telemetry.log_store import StreamInfo

PAGE_MAX = 10_000
STREAM_RECORDS_MAX = 200_000
"""Of one stream, for GetLogEvents: more than the files of a stream hold."""
TIME_MAX = 2**53
SEQUENCE = "49000000000000000000000000000000000000000000000000000000"
"""Every token is taken, and the same one is always given: AWS has needed none since 2023."""

_GROUP_ARN = re.compile(r"arn:aws[a-z-]*:logs:[a-z0-9-]*:\d{12}:log-group:(?P<name>[^:]+)(:\*)?")


class LogsReadOperations:
    """The operations by name. Each raises `JsonError`. clock: epoch seconds."""

    def __init__(self, logs: LogGroups, clock: Callable[[], float]) -> None:
        self._logs = logs
        self._clock = clock
        self.operations: Mapping[str, Callable[[Namespace, Input], dict[str, Any]]] = {
            "DescribeLogGroups": self.describe_groups,
            "DescribeLogStreams": self.describe_streams,
            "GetLogEvents": self.get_events,
            "FilterLogEvents": self.filter_events,
        }

    def describe_groups(self, namespace: Namespace, given: Input) -> dict[str, Any]:
        prefix, pattern = given.text("logGroupNamePrefix") or "", given.text("logGroupNamePattern") or ""
        if prefix and pattern:
            raise invalid("LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.")
        limit = given.number("limit", 50, least=1, most=50)
        after = _read_token(given.text("nextToken"))
        groups = [
            group
            for group in self._logs.names(namespace)
            if group.startswith(prefix) and pattern.lower() in group.lower() and group > after
        ]
        records = [(self._logs.get(namespace, group), group) for group in groups[:limit]]
        shapes = [
            _group(namespace, record, self._logs.streams(namespace, group))
            for record, group in records
            if record is not None
        ]
        more = {"nextToken": _make_token(groups[limit - 1])} if len(groups) > limit else {}
        return {"logGroups": shapes, **more}

    def describe_streams(self, namespace: Namespace, given: Input) -> dict[str, Any]:
        group = self._group(namespace, given)
        prefix, limit = given.text("logStreamNamePrefix") or "", given.number("limit", 50, least=1, most=50)
        streams = [info for info in self._logs.streams(namespace, group) if info.name.startswith(prefix)]
        by = given.text("orderBy") or "LogStreamName"
        if by not in ("LogStreamName", "LastEventTime"):
            raise invalid("orderBy must be LogStreamName or LastEventTime.")
        if by == "LastEventTime" and prefix:
            raise invalid("Cannot order by LastEventTime with a logStreamNamePrefix.")
        if by == "LastEventTime":
            streams.sort(key=lambda info: (info.last_write_ms, info.name), reverse=given.flag("descending"))
        else:
            streams.sort(key=lambda info: info.name, reverse=given.flag("descending"))
        after = _read_token(given.text("nextToken"))
        names = [info.name for info in streams]
        start = names.index(after) + 1 if after in names else 0
        page = streams[start : start + limit]
        more = {"nextToken": _make_token(page[-1].name)} if start + limit < len(streams) else {}
        return {"logStreams": [_stream(namespace, group, info) for info in page], **more}

    def get_events(self, namespace: Namespace, given: Input) -> dict[str, Any]:
        group, stream = self._group(namespace, given), given.text("logStreamName") or ""
        if stream not in [info.name for info in self._logs.streams(namespace, group)]:
            raise no_stream()
        records = self._logs.read(
            namespace,
            group,
            since_ms=given.number("startTime", 0, least=0, most=TIME_MAX),
            until_ms=given.number("endTime", TIME_MAX, least=0, most=TIME_MAX),
            limit=STREAM_RECORDS_MAX,
            stream=stream,
            now_ms=self._now_ms(),
        )
        limit = given.number("limit", PAGE_MAX, least=1, most=PAGE_MAX)
        start, end = _window(given.text("nextToken"), given.flag("startFromHead"), len(records), limit)
        events = [
            {"timestamp": record.timestamp_ms, "message": record.text, "ingestionTime": record.timestamp_ms}
            for record in records[start:end]
        ]
        return {"events": events, "nextForwardToken": f"f/{end:020d}", "nextBackwardToken": f"b/{start:020d}"}

    def filter_events(self, namespace: Namespace, given: Input) -> dict[str, Any]:
        group = self._group(namespace, given)
        names, prefix = given.texts("logStreamNames"), given.text("logStreamNamePrefix") or ""
        limit = given.number("limit", PAGE_MAX, least=1, most=PAGE_MAX)
        try:
            pattern = parse_pattern(given.text("filterPattern") or "")
        except ValueError as error:
            raise invalid(str(error)) from None
        since, skip = given.number("startTime", 0, least=0, most=TIME_MAX), 0
        token = _read_token(given.text("nextToken"))
        if token:
            since, skip = _position(token)
        until = given.number("endTime", TIME_MAX - 1, least=0, most=TIME_MAX - 1) + 1  # AWS's end is inclusive here
        records = self._logs.read(
            namespace, group, now_ms=self._now_ms(), since_ms=since, until_ms=until, limit=PAGE_MAX + skip + 1
        )
        events: list[dict[str, Any]] = []
        taken = min(len(records), PAGE_MAX + skip)
        for number, (record, event_id) in enumerate(_identified(records)):
            if number < skip or number >= taken:
                continue
            wanted = (not names or record.stream in names) and record.stream.startswith(prefix)
            if wanted and pattern.matches(record.text):
                events.append(_event(record, event_id))
            if len(events) == limit:
                taken = number + 1
                break
        shape: dict[str, Any] = {"events": events, "searchedLogStreams": []}
        if taken < len(records):
            next_ms = records[taken].timestamp_ms
            seen = sum(record.timestamp_ms == next_ms for record in records[:taken])
            shape["nextToken"] = _make_token(f"{next_ms}:{seen}")
        return shape

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)

    def _group(self, namespace: Namespace, given: Input) -> str:
        group = group_name(given.text("logGroupIdentifier") or given.required("logGroupName"))
        if self._logs.get(namespace, group) is None:
            raise no_group()
        return group


def group_name(text: str) -> str:
    """The name of a group, from a name or an ARN."""
    match = _GROUP_ARN.fullmatch(text)
    return match["name"] if match is not None else text


def group_arn(namespace: Namespace, name: str) -> str:
    return f"arn:aws:logs:{namespace.region}:{namespace.account}:log-group:{name}"


def no_group() -> JsonError:
    return JsonError("ResourceNotFoundException", "The specified log group does not exist.")


def no_stream() -> JsonError:
    return JsonError("ResourceNotFoundException", "The specified log stream does not exist.")


def _identified(records: Iterable[LogRecord]) -> Iterable[tuple[LogRecord, str]]:
    """Records with ids that stay the same whenever the same millisecond is read from its start."""
    moment, seen = -1, dict[bytes, int]()
    for record in records:
        if record.timestamp_ms != moment:
            moment = record.timestamp_ms
            seen = {}
        digest = hashlib.blake2b(f"{record.stream}\n".encode() + record.message, digest_size=8).digest()
        seen[digest] = seen.get(digest, 0) + 1
        yield record, f"{moment:016d}{int.from_bytes(digest, 'big'):020d}{seen[digest]:020d}"


def _event(record: LogRecord, event_id: str) -> dict[str, Any]:
    return {
        "logStreamName": record.stream,
        "timestamp": record.timestamp_ms,
        "message": record.text,
        "ingestionTime": record.timestamp_ms,
        "eventId": event_id,
    }


def _group(namespace: Namespace, record: GroupRecord, streams: list[StreamInfo]) -> dict[str, Any]:
    arn = group_arn(namespace, record.name)
    shape = {
        "logGroupName": record.name,
        "creationTime": record.created_ms,
        "metricFilterCount": 0,
        "arn": f"{arn}:*",
        "logGroupArn": arn,
        "storedBytes": sum(info.bytes for info in streams),
        "logGroupClass": record.log_class,
    }
    if record.retention_days:
        shape["retentionInDays"] = record.retention_days
    if record.kms_key:
        shape["kmsKeyId"] = record.kms_key
    return shape


def _stream(namespace: Namespace, group: str, info: StreamInfo) -> dict[str, Any]:
    shape = {
        "logStreamName": info.name,
        "creationTime": info.last_write_ms,
        "arn": f"{group_arn(namespace, group)}:log-stream:{info.name}",
        "storedBytes": info.bytes,
        "uploadSequenceToken": SEQUENCE,
    }
    if info.bytes:
        shape |= {"lastEventTimestamp": info.last_write_ms, "lastIngestionTime": info.last_write_ms}
    return shape


def _window(token: str | None, from_head: bool, count: int, limit: int) -> tuple[int, int]:
    """Which records of a stream a page holds: start and end."""
    if token is None:
        return (0, min(limit, count)) if from_head else (max(0, count - limit), count)
    direction, _, digits = token.partition("/")
    if direction not in ("f", "b") or not digits.isdecimal() or len(digits) > 20:
        raise invalid("The specified nextToken is invalid.")
    at = min(int(digits), count)
    return (at, min(at + limit, count)) if direction == "f" else (max(0, at - limit), at)


def _make_token(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


def _read_token(token: str | None) -> str:
    try:
        return base64.urlsafe_b64decode((token or "").encode("ascii")).decode()
    except (binascii.Error, UnicodeError, ValueError):
        raise invalid("The specified nextToken is invalid.") from None


def _position(token: str) -> tuple[int, int]:
    """The millisecond at which a page starts, and how many of its records have been seen."""
    moment, _, seen = token.partition(":")
    if not (moment.isdecimal() and seen.isdecimal()) or int(moment[:20]) > TIME_MAX or len(seen) > 6:
        raise invalid("The specified nextToken is invalid.")
    return int(moment), int(seen)
