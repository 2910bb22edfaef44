"""Traces: recorded once per chunk, encoded as documented, and harmless when hostile."""

from __future__ import annotations

import struct

import pytest

from lambdad.block.trace import (
    TraceEntry,
    TraceInvalid,
    TraceRecorder,
    encode_trace,
    is_worth_saving,
    parse_trace,
)
from lambdad.testing.chunk_doubles import StepClock

DIGEST = "ab" * 32
ENTRIES = (TraceEntry(7, 0), TraceEntry(1, 12), TraceEntry(9, 500))


def test_the_order_and_the_time_of_first_reads_are_recorded() -> None:
    clock = StepClock()
    recorder = TraceRecorder(clock)
    assert recorder.age == 0.0
    for position, seconds in ((7, 0.0), (1, 0.0125), (7, 0.25), (9, 0.2378)):
        clock.advance(seconds)
        recorder.on_read(position)
    assert recorder.entries() == ENTRIES
    recorder.on_miss(3)
    recorder.on_loaded(3)
    assert recorder.entries()[-1].position == 3
    assert recorder.age == pytest.approx(0.5003)


def test_a_recording_is_bounded() -> None:
    recorder = TraceRecorder(StepClock(), limit=3)
    for position in range(10):
        recorder.on_read(position)
    assert [entry.position for entry in recorder.entries()] == [0, 1, 2]


def test_a_trace_comes_back_and_has_the_documented_layout() -> None:
    data = encode_trace(ENTRIES, DIGEST)
    assert parse_trace(data, DIGEST, 10) == ENTRIES
    assert data == b"LBDTRAC\n" + struct.pack("<HHI", 1, 0, 3) + bytes.fromhex(DIGEST) + struct.pack(
        "<6I", 7, 0, 1, 12, 9, 500
    )
    assert parse_trace(encode_trace((), DIGEST), DIGEST, 0) == ()


def test_what_is_not_a_trace_of_this_image_is_refused() -> None:
    data = encode_trace(ENTRIES, DIGEST)
    for index in range(len(data)):
        with pytest.raises(TraceInvalid):
            parse_trace(data[:index], DIGEST, 10)
    for wrong, digest, positions in (
        (data, "cd" * 32, 10),
        (data, DIGEST, 9),
        (data + b"\0" * 8, DIGEST, 10),
        (b"x" + data[1:], DIGEST, 10),
        (data[:12] + b"\xff\xff\xff\xff" + data[16:], DIGEST, 10),
    ):
        with pytest.raises(TraceInvalid):
            parse_trace(wrong, digest, positions)


def test_a_trace_is_replaced_when_a_start_read_a_tenth_more() -> None:
    known = list(range(100))
    assert is_worth_saving([], [1])
    assert not is_worth_saving([], [])
    assert not is_worth_saving(known, known[:50])
    assert not is_worth_saving(known, [*known, *range(200, 210)])
    assert is_worth_saving(known, range(200, 211))
