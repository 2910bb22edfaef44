"""Function logs on disk: nothing lost within the bounds, the bounds kept, readers and writers apart."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.model.arn import Namespace
from lambdad.telemetry.function_log import LogFormatter
from lambdad.telemetry.log_reader import LogRecord
from lambdad.telemetry.log_store import LogLimits, LogStore

HERE = Namespace("000000000000", "us-east-1")
THERE = Namespace("000000000000", "eu-west-1")
STREAM = "2026/01/31/[$LATEST]0123"


def _messages(records: list[LogRecord]) -> list[bytes]:
    return [record.message for record in records]


def test_what_was_appended_is_read_with_its_stream(tmp_path: Path) -> None:
    store = LogStore(tmp_path)
    writer = store.open(HERE, "f", STREAM)
    writer.append(1, b"one\nline \\ and \xff")
    writer.append(2, b"")
    writer.close()
    assert store.read(HERE, "f") == [LogRecord(1, STREAM, b"one\nline \\ and \xff"), LogRecord(2, STREAM, b"")]
    assert store.read(HERE, "f")[0].text == "one\nline \\ and \ufffd"


def test_nothing_is_written_before_a_flush_and_everything_after(tmp_path: Path) -> None:
    store = LogStore(tmp_path)
    writer = store.open(HERE, "f", STREAM)
    writer.append(1, b"m")
    assert LogStore(tmp_path).read(HERE, "f") == []
    store.flush()
    assert _messages(LogStore(tmp_path).read(HERE, "f")) == [b"m"]


def test_many_records_are_written_without_being_told(tmp_path: Path) -> None:
    store = LogStore(tmp_path, LogLimits(buffer_bytes=100))
    writer = store.open(HERE, "f", STREAM)
    for number in range(10):
        writer.append(number, b"x" * 20)
    assert len(store.read(HERE, "f")) >= 8


def test_namespaces_and_functions_are_apart(tmp_path: Path) -> None:
    store = LogStore(tmp_path)
    for namespace, group in ((HERE, "f"), (THERE, "f"), (HERE, "g/../../x")):
        writer = store.open(namespace, group, STREAM)
        writer.append(1, f"{namespace.region} {group}".encode())
        writer.close()
    assert _messages(store.read(THERE, "f")) == [b"eu-west-1 f"]
    assert store.groups(HERE) == ["f", "g/../../x"]
    assert [info.name for info in store.streams(HERE, "f")] == [STREAM]
    store.delete(HERE, "f")
    assert store.groups(HERE) == ["g/../../x"]
    assert {path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*.log")} == {HERE.account}


def test_streams_are_merged_by_time_within_the_asked_interval(tmp_path: Path) -> None:
    store = LogStore(tmp_path)
    for name, times in (("a", (1, 4, 6)), ("b", (2, 3, 7))):
        writer = store.open(HERE, "f", name)
        for time in times:
            writer.append(time, b"%d" % time)
        writer.close()
    assert _messages(store.read(HERE, "f")) == [b"1", b"2", b"3", b"4", b"6", b"7"]
    assert _messages(store.read(HERE, "f", since_ms=2, until_ms=7, limit=3)) == [b"2", b"3", b"4"]
    assert _messages(store.read(HERE, "f", stream="b")) == [b"2", b"3", b"7"]
    assert _messages(store.tail(HERE, "f", limit=2)) == [b"6", b"7"]
    assert _messages(store.tail(HERE, "f", since_ms=7)) == [b"7"]


def test_a_stream_is_bounded_and_keeps_its_newest_records(tmp_path: Path) -> None:
    store = LogStore(tmp_path, LogLimits(file_bytes=1_000, buffer_bytes=100))
    writer = store.open(HERE, "f", STREAM)
    for number in range(1_000):
        writer.append(number, b"%04d" % number)
    writer.close()
    messages = _messages(store.read(HERE, "f"))
    assert messages == [b"%04d" % number for number in range(1_000 - len(messages), 1_000)]
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.log*")) <= 2_200


def test_a_group_is_bounded_and_keeps_the_files_written_to_last(tmp_path: Path) -> None:
    store = LogStore(tmp_path, LogLimits(group_files=3))
    for number in range(6):
        writer = store.open(HERE, "f", f"stream{number}")
        writer.append(number, b"m")
        writer.close()
        os.utime(next(tmp_path.rglob(f"stream{number}.log")), ns=(number, number))
    store.trim(next(tmp_path.rglob("stream5.log")).parent)
    assert sorted(info.name for info in store.streams(HERE, "f")) == ["stream3", "stream4", "stream5"]


def test_a_flood_is_dropped_counted_and_reported_when_it_is_over(tmp_path: Path) -> None:
    store = LogStore(tmp_path, LogLimits(burst_bytes=100, rate_bytes=100))
    writer = store.open(HERE, "f", STREAM, LogFormatter("JSON"))
    for _ in range(20):
        writer.append(1_000, b"x" * 10)
    writer.append(2_000, b"calm")
    writer.close()
    records = store.read(HERE, "f")
    assert len(records) == 12 and records[-1].message == b"calm"
    dropped = orjson.loads(records[-2].message)
    assert dropped["type"] == "platform.logsDropped"
    assert (dropped["record"]["droppedRecords"], dropped["record"]["droppedBytes"]) == (10, 100)


def test_a_flood_that_never_ends_is_reported_at_the_end(tmp_path: Path) -> None:
    store = LogStore(tmp_path, LogLimits(burst_bytes=10, rate_bytes=1))
    writer = store.open(HERE, "f", STREAM)
    writer.append(1, b"x" * 11)
    writer.close()
    writer.close()
    assert _messages(store.read(HERE, "f")) == [
        b"LOGS_DROPPED The function wrote more than its log takes\tDropped Records: 1\tDropped Bytes: 11"
    ]


def test_a_place_that_cannot_be_written_costs_records_and_no_invocation(tmp_path: Path) -> None:
    blocked = tmp_path / "logs"
    blocked.write_text("a file where a directory should be")
    store = LogStore(blocked)
    writer = store.open(HERE, "f", STREAM)
    writer.append(1, b"lost")
    writer.flush()
    blocked.unlink()
    writer.append(2, b"kept")
    writer.close()
    messages = _messages(store.read(HERE, "f"))
    assert messages[-1] == b"kept" and messages[0].startswith(b"LOGS_DROPPED") and len(messages) == 2


def test_a_record_torn_by_a_crash_harms_no_other(tmp_path: Path) -> None:
    store = LogStore(tmp_path)
    first = store.open(HERE, "f", STREAM)
    first.append(1, b"whole")
    first.close()
    path = next(tmp_path.rglob("*.log"))
    path.write_bytes(path.read_bytes() + b"2 to")
    second = store.open(HERE, "f", STREAM)
    second.append(3, b"after")
    second.close()
    assert _messages(store.read(HERE, "f")) == [b"whole", b"to", b"after"]


@pytest.mark.parametrize("name", ["../../../etc/cron.d/x", "/etc/passwd", "..", "a\nb", "\x00"])
def test_no_name_leads_out_of_the_directory(tmp_path: Path, name: str) -> None:
    store = LogStore(tmp_path / "logs")
    writer = store.open(HERE, name, name)
    writer.append(1, b"m")
    writer.close()
    assert [path.parent.parent.parent.parent for path in tmp_path.rglob("*.log")] == [tmp_path / "logs"]
    assert _messages(store.read(HERE, name)) == [b"m"]


async def _collect(store: LogStore, turns: list[list[bytes]], expected: int) -> list[bytes]:
    """Follow while each wait appends the next turn's messages."""
    writer = store.open(HERE, "f", STREAM)
    pending = iter(enumerate(turns))

    async def wait() -> None:
        number, messages = next(pending)
        for message in messages:
            writer.append(number, message)
        writer.flush()

    found: list[bytes] = []
    async for record in store.follow(HERE, "f", since_ms=0, wait=wait):
        found.append(record.message)
        if len(found) == expected:
            break
    return found


def test_a_follower_sees_what_comes_across_rotations(tmp_path: Path) -> None:
    store = LogStore(tmp_path, LogLimits(file_bytes=40))
    turns = [[b"first"], [], [b"x" * 50], [b"second", b"third"], [b"y" * 50], [b"last"]]
    wanted = [message for turn in turns for message in turn]
    assert asyncio.run(_collect(store, turns, len(wanted))) == wanted


@given(st.lists(st.tuples(st.integers(0, 3), st.binary(max_size=30)), max_size=40))
def test_every_stream_keeps_its_order(tmp_path_factory: pytest.TempPathFactory, items: list[tuple[int, bytes]]) -> None:
    store = LogStore(tmp_path_factory.mktemp("logs"))
    writers = [store.open(HERE, "f", str(number)) for number in range(4)]
    for time, (number, message) in enumerate(items):
        writers[number].append(time, message)
    store.close()
    assert [(int(record.stream), record.message) for record in store.read(HERE, "f")] == items
