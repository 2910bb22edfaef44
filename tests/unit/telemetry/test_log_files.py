"""The function log's bytes: every message survives, every name is one file name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.telemetry.log_files import decode_name, decode_record, encode_name, encode_record, stream_of


def test_a_record_is_a_time_and_a_message_on_one_line() -> None:
    assert encode_record(1_767_225_600_064, b"START RequestId: x\tand more\r") == (
        b"1767225600064 START RequestId: x\tand more\r\n"
    )
    assert encode_record(7, b"a\nb\\n") == b"7 a\\nb\\\\n\n"


@given(st.integers(min_value=0, max_value=10**14), st.binary(max_size=200))
def test_any_message_comes_back(timestamp_ms: int, message: bytes) -> None:
    line = encode_record(timestamp_ms, message)
    assert line.count(b"\n") == 1
    assert decode_record(line[:-1]) == (timestamp_ms, message)


@given(st.binary(max_size=200))
def test_any_line_is_read_without_an_error(line: bytes) -> None:
    decoded = decode_record(line)
    assert decoded is None or decoded[0] >= 0


@pytest.mark.parametrize("line", [b"", b"12", b" message", b"x y", b"-1 y", b"1" * 16 + b" y"])
def test_what_has_no_time_in_front_is_no_record(line: bytes) -> None:
    assert decode_record(line) is None


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60))
def test_a_name_is_one_file_name_and_comes_back(name: str) -> None:
    encoded = encode_name(name)
    assert "/" not in encoded and encoded not in (".", "..") and len(encoded) <= 233 and encoded.isascii()
    if "~" not in encoded:
        assert decode_name(encoded) == name


def test_names_too_long_stay_apart() -> None:
    first, second = encode_name("a" * 500), encode_name("a" * 501)
    assert first != second
    assert len(first) == len(second) == 233


def test_the_stream_is_told_by_the_file_name() -> None:
    assert [stream_of(name) for name in ("s.log", "s.log.1", "s.txt")] == ["s", "s", None]
