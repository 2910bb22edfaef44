"""Fuzz of the NBD machine: whatever a client sends, in whatever pieces, only `NbdViolation` comes out."""

from __future__ import annotations

import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from lambdad.block import nbd
from lambdad.block.nbd import (
    Access,
    BlockStatus,
    Cache,
    Event,
    Export,
    NbdMachine,
    NbdViolation,
    Read,
    Selected,
    StartTls,
    TlsPolicy,
    Write,
    WriteZeros,
)

SIZE = 100_000
EXPORTS = {"disk": Export(SIZE), "": Export(SIZE, Access.COPY_ON_WRITE)}

small = st.binary(max_size=40)
numbers = st.sampled_from([0, 1, 2, 4, 8, 4096, SIZE - 1, SIZE, SIZE + 1, 2**31, 2**32 - 1]) | st.integers(0, 2**32 - 1)
names = st.sampled_from([b"disk", b"", b"other", b"base:allocation", b"base:", b"\xff"])


@st.composite
def options(draw: st.DrawFn) -> bytes:
    number = draw(st.integers(0, 12))
    name = draw(names)
    data = draw(
        st.one_of(
            small,
            st.just(b""),
            st.just(name),
            st.just(struct.pack(">I", len(name)) + name + struct.pack(">HH", 1, 3)),
            st.lists(names, max_size=3).map(
                lambda queries: (
                    struct.pack(">I", len(name))
                    + name
                    + struct.pack(">I", len(queries))
                    + b"".join(struct.pack(">I", len(query)) + query for query in queries)
                )
            ),
        )
    )
    length = draw(st.just(len(data)) | st.just(len(data)) | numbers)
    return b"IHAVEOPT" + struct.pack(">II", number, length) + data


@st.composite
def commands(draw: st.DrawFn) -> bytes:
    kind, flags = draw(st.integers(0, 9)), draw(st.integers(0, 31))
    offset, length, data = draw(numbers), draw(numbers), draw(small)
    if kind == 1 and draw(st.booleans()):
        length = len(data)
    return struct.pack(">IHHQQI", 0x25609513, flags, kind, draw(numbers), offset, length) + (data if kind == 1 else b"")


GO = b"IHAVEOPT" + struct.pack(">II", 7, 6) + bytes(6)
STRUCTURED = b"IHAVEOPT" + struct.pack(">II", 8, 0)
units = st.one_of(options(), commands(), st.just(GO), st.just(STRUCTURED), small)


@settings(deadline=None)
@given(
    st.sampled_from([3, 1, 0]),
    st.lists(units, max_size=12),
    st.lists(st.integers(1, 50), min_size=1, max_size=5),
    st.sampled_from(TlsPolicy),
)
def test_only_violations_come_out_and_every_request_lies_inside_the_export(
    flags: int, parts: list[bytes], pieces: list[int], tls: TlsPolicy
) -> None:
    machine = NbdMachine(EXPORTS, tls)
    stream = struct.pack(">I", flags) + b"".join(parts)
    events: list[Event] = []
    start = 0
    for number in range(len(stream)):
        if start >= len(stream):
            break
        piece = stream[start : start + pieces[number % len(pieces)]]
        start += len(piece)
        try:
            found = machine.receive(piece)
        except NbdViolation:
            assert machine.is_over
            break
        for event in found:
            answer(machine, event)
        events += found
        for buffer in machine.take():
            assert len(buffer) <= nbd.READ_MAX
    check(events)


def answer(machine: NbdMachine, event: Event) -> None:
    match event:
        case StartTls():
            machine.tls_started()
        case BlockStatus():
            machine.reply_status(event, [])
        case Read(cookie, offset, length, _):
            machine.reply_data(cookie, offset, [bytes(length)])
        case _:
            pass


def check(events: list[Event]) -> None:
    selected = [event for event in events if isinstance(event, Selected)]
    assert len(selected) <= 1
    for event in events:
        match event:
            case Read(_, offset, length, _) | Cache(_, offset, length) | BlockStatus(_, offset, length, _):
                assert selected
                assert length > 0
                assert offset + length <= SIZE
            case WriteZeros(_, offset, length):
                assert selected == [Selected("")]
                assert offset + length <= SIZE
            case Write(_, offset, data):
                assert selected == [Selected("")]
                assert offset + len(data) <= SIZE
            case _:
                pass
