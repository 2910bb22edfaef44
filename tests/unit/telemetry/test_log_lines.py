"""Cutting a function's output into records, and the window on its end."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.telemetry.function_log import Level
from lambdad.telemetry.log_lines import LineSplitter, TailWindow, level_of_record


def test_lines_are_records_whatever_the_pieces() -> None:
    splitter = LineSplitter()
    assert splitter.feed(b"one\ntw") == [b"one"]
    assert splitter.feed(b"o\n\nthree") == [b"two", b""]
    assert splitter.finish() == [b"three"]
    assert splitter.finish() == []


def test_a_traceback_joined_by_carriage_returns_is_one_record() -> None:
    assert LineSplitter().feed(b"[ERROR] E: x\rTraceback\r\xc2\xa0\xc2\xa0File\n") == [
        b"[ERROR] E: x\rTraceback\r\xc2\xa0\xc2\xa0File"
    ]


def test_a_line_too_long_continues_in_the_next_record() -> None:
    splitter = LineSplitter(limit=4)
    assert splitter.feed(b"abcdefghij\n") == [b"abcd", b"efgh", b"ij"]
    assert splitter.feed(b"abcdefghij") == [b"abcd", b"efgh"]
    assert splitter.feed(b"\n") == [b"ij"]


@given(st.lists(st.binary(max_size=40)), st.integers(min_value=1, max_value=16))
def test_no_byte_is_lost_and_no_record_is_too_long(pieces: list[bytes], limit: int) -> None:
    splitter = LineSplitter(limit)
    records = [record for piece in pieces for record in splitter.feed(piece)] + splitter.finish()
    whole = b"".join(pieces)
    assert b"".join(records) == whole.replace(b"\n", b"")
    assert all(len(record) <= limit and b"\n" not in record for record in records)


def test_the_tail_ends_with_the_last_record() -> None:
    window = TailWindow(limit=10)
    for record in (b"first", b"second", b"end"):
        window.append(record)
    assert window.value() == b"econd\nend\n"


@given(st.lists(st.binary(max_size=30), max_size=30), st.integers(min_value=1, max_value=64))
def test_the_tail_is_the_end_of_everything(records: list[bytes], limit: int) -> None:
    window = TailWindow(limit)
    for record in records:
        window.append(record)
    assert window.value() == b"".join(record + b"\n" for record in records)[-limit:]


def test_a_json_record_tells_its_level() -> None:
    for name, level in (
        ("trace", Level.TRACE),
        ("warn", Level.WARN),
        ("WARNING", Level.WARN),
        ("Critical", Level.FATAL),
    ):
        record = {"timestamp": "2026-01-31T23:59:59.5Z", "level": name}
        assert level_of_record(json.dumps(record).encode()) is level
    assert level_of_record(b'{"level":"debug","time":"2026-01-31T23:59:59+01:00"}') is Level.DEBUG


@pytest.mark.parametrize(
    "record",
    [
        b"plain",
        b'{"message":',
        b'{"level":"debug"}',
        b'{"level":"debug","timestamp":"31 January"}',
        b'{"level":17,"timestamp":"2026-01-31T23:59:59Z"}',
        b'{"level":null,"timestamp":"2026-01-31T23:59:59Z"}',
        b'{"level":"debug","timestamp":1769903999}',
        b'{"a":' * 2000,
    ],
)
def test_what_does_not_tell_its_level_and_its_time_is_information(record: bytes) -> None:
    assert level_of_record(record) is Level.INFO


@given(st.binary(max_size=200))
def test_whatever_a_function_writes_has_a_level(record: bytes) -> None:
    assert level_of_record(b"{" + record) in Level
