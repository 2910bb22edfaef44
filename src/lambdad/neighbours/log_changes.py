"""CloudWatch Logs, the writing half: groups, streams, retention, tags and events of clients.

What functions write goes through the worker; here is what Terraform, the AWS CLI and agents do to the same groups. Runs
in a thread: every operation reads and writes files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from lambdad.model.arn import Namespace
from lambdad.neighbours.json_protocol import Input, JsonError, invalid
from lambdad.neighbours.logs import SEQUENCE, TIME_MAX, group_name, no_group, no_stream
from lambdad.telemetry.log_groups import DAY_MS, GroupRecord, LogGroups, TooManyGroups

EVENTS_MAX = 10_000
BATCH_BYTES_MAX = 1_048_576
EVENT_OVERHEAD = 26
"""What AWS counts for an event beside its message."""
MESSAGE_MAX = 256 * 1024
TAGS_MAX = 50
OLDEST_MS, NEWEST_MS = 14 * DAY_MS, 2 * 3_600_000
"""Events further in the past or in the future are not taken."""
RETENTION_DAYS = (
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731,
    1096, 1827, 2192, 2557, 2922, 3288, 3653,
)  # fmt: skip
CLASSES = ("STANDARD", "INFREQUENT_ACCESS", "DELIVERY")

_GROUP_NAME = re.compile(r"[.\-_/#A-Za-z0-9]{1,512}")
_STREAM_NAME = re.compile(r"[^:*]{1,512}", re.DOTALL)


class LogsChangeOperations:
    """The operations by name. Each raises `JsonError`. clock: epoch seconds."""

    def __init__(self, logs: LogGroups, clock: Callable[[], float]) -> None:
        self._logs = logs
        self._clock = clock
        self.operations: Mapping[str, Callable[[Namespace, Input], dict[str, Any]]] = {
            "CreateLogGroup": self.create_group,
            "DeleteLogGroup": self.delete_group,
            "CreateLogStream": self.create_stream,
            "DeleteLogStream": self.delete_stream,
            "PutLogEvents": self.put_events,
            "PutRetentionPolicy": self.put_retention,
            "DeleteRetentionPolicy": self.delete_retention,
            "TagResource": self.tag,
            "UntagResource": self.untag,
            "ListTagsForResource": self.list_tags,
            "TagLogGroup": self.tag,
            "UntagLogGroup": self.untag,
            "ListTagsLogGroup": self.list_tags,
        }

    def create_group(self, namespace: Namespace, given: Input) -> dict[str, Any]:
        name, log_class = given.required("logGroupName"), given.text("logGroupClass") or "STANDARD"
        if _GROUP_NAME.fullmatch(name) is None:
            raise _refused(name, "logGroupName", r"Member must satisfy regular expression pattern: [\.\-_/#A-Za-z0-9]+")
        if log_class not in CLASSES:
            raise _refused(
                log_class, "logGroupClass", f"Member must satisfy enum value set: [{', '.join(sorted(CLASSES))}]"
            )
        record = GroupRecord(
            name=name,
            created_ms=self._now_ms(),
            kms_key=given.text("kmsKeyId") or "",
            log_class=log_class,
            tags=given.map("tags"),
        )
        try:
            created = self._logs.create(namespace, record)
        except TooManyGroups:
            raise JsonError("LimitExceededException", "Resource limit exceeded.") from None
        if not created:
            raise JsonError("ResourceAlreadyExistsException", "The specified log group already exists")
        return {}

    def delete_group(self, namespace: Namespace, given: Input) -> dict[str, Any]:
        if not self._logs.delete(namespace, group_name(given.required("logGroupName")), self._now_ms()):
            raise no_group()
        return {}

    def create_stream(self, namespace: Namespace, given: Input) -> dict[str, Any]:
        group, stream = self._existing(namespace, given.required("logGroupName")), given.required("logStreamName")
        if _STREAM_NAME.fullmatch(stream) is None:
            raise _refused(stream, "logStreamName", "Member must satisfy regular expression pattern: [^:*]*")
        if not self._logs.create_stream(namespace, group, stream):
            raise JsonError("ResourceAlreadyExistsException", "The specified log stream already exists")
        return {}

    def delete_stream(self, namespace: Namespace, given: Input) -> dict[str, Any]:
        group = self._existing(namespace, given.required("logGroupName"))
        if not self._logs.delete_stream(namespace, group, given.required("logStreamName"), self._now_ms()):
            raise no_stream()
        return {}

    def put_events(self, namespace: Namespace, given: Input) -> dict[str, Any]:
        """Sequence tokens are not looked at, as at AWS. What is too old or too new is left out and said."""
        group, stream = self._existing(namespace, given.required("logGroupName")), given.required("logStreamName")
        events = [_event(event) for event in given.items("logEvents", EVENTS_MAX)]
        if sum(len(message) + EVENT_OVERHEAD for _, message in events) > BATCH_BYTES_MAX:
            raise invalid(f"Upload too large: a batch has at most {BATCH_BYTES_MAX} bytes.")
        times = [moment for moment, _ in events]
        if times != sorted(times):
            raise invalid("Log events in a single PutLogEvents request must be in chronological order.")
        if times[-1] - times[0] > DAY_MS:
            raise invalid("The batch of log events in a single PutLogEvents request cannot span more than 24 hours.")
        if all(info.name != stream for info in self._logs.streams(namespace, group)):
            raise no_stream()
        now = self._now_ms()
        record = self._logs.get(namespace, group)
        expired = 0 if record is None else record.floor_ms(now)
        taken = [event for event in events if max(expired, now - OLDEST_MS) <= event[0] <= now + NEWEST_MS]
        if taken:
            self._logs.put(namespace, group, stream, taken)
        refused = {
            "tooOldLogEventEndIndex": sum(expired <= moment < now - OLDEST_MS for moment in times),
            "expiredLogEventEndIndex": sum(moment < expired for moment in times),
        }
        shape = {member: count for member, count in refused.items() if count}
        late = sum(moment > now + NEWEST_MS for moment in times)
        if late:
            shape["tooNewLogEventStartIndex"] = len(times) - late
        return {"nextSequenceToken": SEQUENCE} | ({"rejectedLogEventsInfo": shape} if shape else {})

    def put_retention(self, namespace: Namespace, given: Input) -> dict[str, Any]:
        group = self._existing(namespace, given.required("logGroupName"))
        days = given.number("retentionInDays", 0, least=0, most=2**31)
        if days not in RETENTION_DAYS:
            raise _refused(str(days), "retentionInDays", f"Member must satisfy enum value set: {list(RETENTION_DAYS)}")
        self._logs.change(namespace, group, retention_days=days)
        return {}

    def delete_retention(self, namespace: Namespace, given: Input) -> dict[str, Any]:
        self._logs.change(namespace, self._existing(namespace, given.required("logGroupName")), retention_days=0)
        return {}

    def tag(self, namespace: Namespace, given: Input) -> dict[str, Any]:
        group = self._tagged(namespace, given)
        tags = {**group.tags, **given.map("tags")}
        if len(tags) > TAGS_MAX:
            raise JsonError("TooManyTagsException", f"A resource has at most {TAGS_MAX} tags.")
        self._logs.change(namespace, group.name, tags=tags)
        return {}

    def untag(self, namespace: Namespace, given: Input) -> dict[str, Any]:
        group = self._tagged(namespace, given)
        away = {*given.texts("tagKeys"), *given.texts("tags")}
        self._logs.change(
            namespace, group.name, tags={key: value for key, value in group.tags.items() if key not in away}
        )
        return {}

    def list_tags(self, namespace: Namespace, given: Input) -> dict[str, Any]:
        return {"tags": dict(self._tagged(namespace, given).tags)}

    def _tagged(self, namespace: Namespace, given: Input) -> GroupRecord:
        """The group that tag operations are about, by ARN or, in the older ones, by name."""
        text = given.text("resourceArn") or given.required("logGroupName")
        record = self._logs.get(namespace, group_name(text))
        if record is None:
            raise no_group()
        return record

    def _existing(self, namespace: Namespace, text: str) -> str:
        name = group_name(text)
        if self._logs.get(namespace, name) is None:
            raise no_group()
        return name

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)


def _event(given: Mapping[str, Any]) -> tuple[int, bytes]:
    moment, message = given.get("timestamp"), given.get("message")
    if isinstance(moment, bool) or not isinstance(moment, int) or not 0 <= moment < TIME_MAX:
        raise invalid("timestamp must be the milliseconds since 1970.")
    if not isinstance(message, str) or not message:
        raise invalid("message must be a string of at least one character.")
    data = message.encode()
    if len(data) > MESSAGE_MAX:
        raise invalid(f"Log event too large: {len(data)} bytes exceeds limit of {MESSAGE_MAX}")
    return moment, data


def _refused(value: str, member: str, constraint: str) -> JsonError:
    return invalid(
        f"1 validation error detected: Value '{value[:1024]}' at '{member}' failed to satisfy constraint: {constraint}"
    )
