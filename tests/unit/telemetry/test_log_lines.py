"""Cutting a function's output into records, and the window on its end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lambdad.telemetry.function_log import Level
from lambdad.telemetry.log_lines import LineSplitter, TailWindow, is_kept, level_of_record


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
    assert level_of_record(b'{"level":"warn","message":"m"}') is Level.WARN
    assert level_of_record(b'{"level":17}') is None
    assert level_of_record(b'{"message":') is None
    assert level_of_record(b"plain") is None


def test_a_record_below_the_level_is_not_kept_and_one_without_a_level_is() -> None:
    assert not is_kept(b'{"level":"DEBUG"}', Level.INFO)
    assert is_kept(b'{"level":"ERROR"}', Level.INFO)
    assert is_kept(b"print", Level.FATAL)
