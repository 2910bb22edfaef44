"""The NBD state machine, byte by byte; clients that break the rules."""

from __future__ import annotations

import struct

import pytest

from lambdad.block import nbd
from lambdad.block.interface import Extent
from lambdad.block.nbd import (
    Access,
    BlockStatus,
    Cache,
    Disconnected,
    Event,
    Export,
    Flush,
    NbdError,
    NbdMachine,
    NbdViolation,
    Read,
    Selected,
    StartTls,
    TlsPolicy,
    Write,
    WriteZeros,
)

EXPORTS = {"disk": Export(1_000_000, description="a disk"), "cow": Export(8192, Access.COPY_ON_WRITE)}
GO, INFO, LIST, STRUCTURED, SET_CONTEXT, LIST_CONTEXT, STARTTLS, ABORT, EXPORT_NAME = 7, 6, 3, 8, 10, 9, 5, 2, 1


def option(number: int, data: bytes = b"") -> bytes:
    return b"IHAVEOPT" + struct.pack(">II", number, len(data)) + data


def go(name: str = "disk", infos: tuple[int, ...] = (), number: int = GO) -> bytes:
    data = struct.pack(">I", len(name)) + name.encode() + struct.pack(f">H{len(infos)}H", len(infos), *infos)
    return option(number, data)


def contexts(name: str, *queries: str, number: int = SET_CONTEXT) -> bytes:
    data = struct.pack(">I", len(name)) + name.encode() + struct.pack(">I", len(queries))
    return option(number, data + b"".join(struct.pack(">I", len(query)) + query.encode() for query in queries))


def command(kind: int, offset: int = 0, length: int = 0, data: bytes = b"", flags: int = 0, cookie: int = 77) -> bytes:
    return struct.pack(">IHHQQI", 0x25609513, flags, kind, cookie, offset, length) + data


def sent(machine: NbdMachine) -> bytes:
    return b"".join(machine.take())


def replies(data: bytes) -> list[tuple[int, int, bytes]]:
    """Option replies: option, type, data."""
    found = []
    while data:
        magic, number, kind, length = struct.unpack_from(">QIII", data)
        assert magic == 0x3E889045565A9
        found.append((number, kind, data[20 : 20 + length]))
        data = data[20 + length :]
    return found


def greet(tls: TlsPolicy = TlsPolicy.NONE) -> NbdMachine:
    machine = NbdMachine(EXPORTS, tls)
    assert sent(machine) == b"NBDMAGICIHAVEOPT\x00\x03"
    assert machine.receive(struct.pack(">I", 3)) == []
    return machine


def enter(name: str = "disk", structured: bool = True, context: bool = True) -> NbdMachine:
    machine = greet()
    if structured:
        machine.receive(option(STRUCTURED))
        if context:
            machine.receive(contexts(name, "base:allocation"))
    assert machine.receive(go(name)) == [Selected(name)]
    machine.take()
    return machine


def test_a_client_learns_size_flags_and_block_sizes() -> None:
    machine = greet()
    events = machine.receive(go(infos=(1, 2, 3)))
    assert events == [Selected("disk")]
    found = replies(sent(machine))
    assert [kind for _, kind, _ in found] == [3, 3, 3, 3, 1]
    kind, size, flags = struct.unpack(">HQH", found[0][2])
    assert (kind, size) == (0, 1_000_000)
    assert flags & 0x2  # read-only
    assert flags & 0x100  # several connections
    assert found[1][2] == b"\0\x01disk"
    assert found[2][2] == b"\0\x02a disk"
    assert struct.unpack(">HIII", found[3][2]) == (3, 1, 4096, 32 * 2**20)


def test_info_selects_nothing_and_an_unknown_export_is_told() -> None:
    machine = greet()
    assert machine.receive(go(number=INFO)) == []
    machine.take()
    assert machine.receive(go("other")) == []
    ((_, kind, text),) = replies(sent(machine))
    assert kind == 0x80000006
    assert b"other" in text
    assert machine.receive(go()) == [Selected("disk")]


@pytest.mark.parametrize(("flags", "padding"), [(3, 0), (1, 124)])
def test_the_old_way_to_name_an_export_works(flags: int, padding: int) -> None:
    machine = NbdMachine(EXPORTS)
    machine.take()
    machine.receive(struct.pack(">I", flags))
    assert machine.receive(option(EXPORT_NAME, b"disk")) == [Selected("disk")]
    assert len(sent(machine)) == 10 + padding


def test_exports_and_contexts_are_listed() -> None:
    machine = greet()
    machine.receive(option(LIST))
    assert [text[4:] for _, kind, text in replies(sent(machine)) if kind == 2] == [b"disk", b"cow"]
    machine.receive(contexts("disk", number=LIST_CONTEXT) + contexts("disk", "base:", number=LIST_CONTEXT))
    assert [text for _, kind, text in replies(sent(machine)) if kind == 4] == [b"\0\0\0\0base:allocation"] * 2


def test_contexts_need_structured_replies_and_belong_to_one_export() -> None:
    machine = greet()
    machine.receive(contexts("disk", "base:allocation"))
    assert replies(sent(machine))[0][1] == 0x80000003
    machine.receive(option(STRUCTURED) + contexts("cow", "base:allocation", "qemu:dirty"))
    assert [kind for _, kind, _ in replies(sent(machine))] == [1, 4, 1]
    machine.receive(go("disk"))
    machine.take()
    assert machine.receive(command(7, 0, 4096)) == []
    assert struct.unpack_from(">IHH", sent(machine)) == (0x668E33EF, 1, 0x8001)


def test_unknown_options_and_options_with_wrong_data_are_refused_and_the_handshake_goes_on() -> None:
    machine = greet()
    for wrong in (option(99, b"x"), option(STRUCTURED, b"x"), option(LIST, b"x"), option(GO, b"abc"), option(INFO)):
        machine.receive(wrong)
    machine.receive(option(SET_CONTEXT, b"\0\0\0\x04disk\0\0\0\x02\0\0\0\x01a") + option(LIST_CONTEXT, b"\xff" * 9))
    assert [kind for _, kind, _ in replies(sent(machine))] == [0x80000001] + [0x80000003] * 6
    assert machine.receive(go()) == [Selected("disk")]


def test_abort_ends_the_handshake() -> None:
    machine = greet()
    assert machine.receive(option(ABORT)) == [Disconnected()]
    assert replies(sent(machine)) == [(ABORT, 1, b"")]
    assert machine.is_over


def test_tls_is_refused_offered_or_demanded() -> None:
    machine = greet()
    machine.receive(option(STARTTLS))
    assert replies(sent(machine))[0][1] == 0x80000002

    machine = greet(TlsPolicy.REQUIRED)
    machine.receive(go() + option(LIST))
    assert [kind for _, kind, _ in replies(sent(machine))] == [0x80000005, 0x80000005]
    assert machine.receive(option(STARTTLS)) == [StartTls()]
    assert replies(sent(machine)) == [(STARTTLS, 1, b"")]
    machine.tls_started()
    machine.receive(option(STARTTLS))
    assert replies(sent(machine))[0][1] == 0x80000003
    assert machine.receive(go()) == [Selected("disk")]

    machine = greet(TlsPolicy.REQUIRED)
    with pytest.raises(NbdViolation, match="without TLS"):
        machine.receive(option(EXPORT_NAME, b"disk"))


def test_bytes_slipped_in_before_tls_end_the_connection() -> None:
    machine = greet(TlsPolicy.OFFERED)
    with pytest.raises(NbdViolation, match="between STARTTLS"):
        machine.receive(option(STARTTLS) + go())


def test_what_was_negotiated_before_tls_is_forgotten() -> None:
    machine = greet(TlsPolicy.OFFERED)
    machine.receive(option(STRUCTURED) + contexts("disk", "base:allocation") + option(STARTTLS))
    machine.tls_started()
    machine.receive(go())
    machine.take()
    machine.receive(command(7, 0, 4096))
    assert struct.unpack_from(">II", sent(machine)) == (0x67446698, 22)


def test_requests_become_events() -> None:
    machine = enter("cow")
    assert machine.receive(
        command(0, 10, 20, flags=4)
        + command(1, 0, 3, b"abc")
        + command(3)
        + command(4, 0, 4096)
        + command(6, 4096, 4096, flags=2)
        + command(5, 0, 8192)
        + command(7, 0, 100, flags=8)
        + command(2)
    ) == [
        Read(77, 10, 20, is_whole=True),
        Write(77, 0, b"abc"),
        Flush(77),
        WriteZeros(77, 0, 4096),
        WriteZeros(77, 4096, 4096),
        Cache(77, 0, 8192),
        BlockStatus(77, 0, 100, only_one=True),
        Disconnected(),
    ]
    assert machine.is_over
    assert machine.receive(command(0, 0, 1)) == []


@pytest.mark.parametrize(
    ("name", "request_bytes", "error"),
    [
        ("disk", command(1, 0, 3, b"abc"), NbdError.PERMISSION),
        ("disk", command(6, 0, 3), NbdError.PERMISSION),
        ("disk", command(4, 0, 3), NbdError.PERMISSION),
        ("disk", command(0, 0, 0), NbdError.INVALID),
        ("disk", command(0, 999_999, 2), NbdError.INVALID),
        ("disk", command(0, 2**64 - 1, 2), NbdError.INVALID),
        ("disk", command(99, 0, 1), NbdError.INVALID),
        ("disk", command(0, 0, 1, flags=2), NbdError.INVALID),
        ("disk", command(3, 1, 0), NbdError.INVALID),
        ("cow", command(1, 8190, 3, b"abc"), NbdError.NO_SPACE),
        ("cow", command(6, 8192, 1), NbdError.NO_SPACE),
        ("cow", command(4, 8192, 1), NbdError.INVALID),
    ],
)
@pytest.mark.parametrize("structured", [True, False])
def test_requests_that_cannot_be_are_answered_with_an_error_and_the_connection_lives(
    name: str, request_bytes: bytes, error: NbdError, structured: bool
) -> None:
    machine = enter(name, structured)
    assert machine.receive(request_bytes) == []
    data = sent(machine)
    if structured:
        assert struct.unpack_from(">IHHQ", data) == (0x668E33EF, 1, 0x8001, 77)
        assert struct.unpack_from(">I", data, 20)[0] == error
    else:
        assert struct.unpack(">IIQ", data) == (0x67446698, error, 77)
    assert machine.receive(command(0, 0, 1)) == [Read(77, 0, 1, is_whole=False)]


def test_reads_beyond_the_announced_maximum_are_refused() -> None:
    machine = NbdMachine({"big": Export(2**40)})
    machine.receive(struct.pack(">I", 3) + go("big"))
    machine.take()
    machine.receive(command(0, 0, nbd.READ_MAX + 1))
    assert struct.unpack(">IIQ", sent(machine)) == (0x67446698, 75, 77)


def test_df_needs_structured_replies() -> None:
    machine = enter(structured=False)
    assert machine.receive(command(0, 0, 1, flags=4)) == []
    assert struct.unpack(">IIQ", sent(machine)) == (0x67446698, 22, 77)


def test_answers_are_simple_without_and_chunks_with_structured_replies() -> None:
    simple, structured = enter(structured=False), enter()
    for machine in (simple, structured):
        machine.reply_ok(5)
        machine.reply_data(6, 1000, [b"ab", memoryview(b"cd")])
    assert sent(simple) == struct.pack(">IIQ", 0x67446698, 0, 5) + struct.pack(">IIQ", 0x67446698, 0, 6) + b"abcd"
    chunk = struct.Struct(">IHHQI")
    assert sent(structured) == (
        chunk.pack(0x668E33EF, 1, 0, 5, 0) + chunk.pack(0x668E33EF, 1, 1, 6, 12) + struct.pack(">Q", 1000) + b"abcd"
    )


def test_holes_are_told_and_not_sent() -> None:
    machine = enter()
    assert machine.can_reply_holes(Read(1, 0, 10, is_whole=False))
    assert not machine.can_reply_holes(Read(1, 0, 10, is_whole=True))
    assert not enter(structured=False).can_reply_holes(Read(1, 0, 10, is_whole=False))
    machine.reply_part(5, 0, b"abc", is_last=False)
    machine.reply_part(5, 3, Extent(7, is_zero=True), is_last=True)
    chunk = struct.Struct(">IHHQI")
    assert sent(machine) == (
        chunk.pack(0x668E33EF, 0, 1, 5, 11)
        + struct.pack(">Q", 0)
        + b"abc"
        + chunk.pack(0x668E33EF, 1, 2, 5, 12)
        + struct.pack(">QI", 3, 7)
    )


def test_block_status_lists_extents_or_one() -> None:
    machine = enter()
    extents = [Extent(4096, False), Extent(8192, True)]
    machine.reply_status(BlockStatus(5, 0, 12_288, only_one=False), extents)
    machine.reply_status(BlockStatus(6, 0, 12_288, only_one=True), extents)
    chunk = struct.Struct(">IHHQI")
    assert sent(machine) == (
        chunk.pack(0x668E33EF, 1, 5, 5, 20)
        + struct.pack(">IIIII", 1, 4096, 0, 8192, 3)
        + chunk.pack(0x668E33EF, 1, 5, 6, 12)
        + struct.pack(">III", 1, 4096, 0)
    )


def test_block_status_of_many_extents_is_bounded() -> None:
    machine = enter()
    machine.reply_status(BlockStatus(5, 0, 2**30, only_one=False), (Extent(4096, bool(n % 2)) for n in range(10**6)))
    assert len(sent(machine)) <= nbd.OPTION_MAX + 100


@pytest.mark.parametrize(
    "data",
    [
        struct.pack(">I", 0),
        struct.pack(">I", 7),
        struct.pack(">I", 3) + b"IHAVEOPX" + bytes(8),
        struct.pack(">I", 3) + b"IHAVEOPT" + struct.pack(">II", 3, nbd.OPTION_MAX + 1),
        struct.pack(">I", 3) + option(EXPORT_NAME, b"other"),
        struct.pack(">I", 3) + option(EXPORT_NAME, b"\xff"),
        struct.pack(">I", 3) + option(99) * (nbd.OPTIONS_MAX + 1),
        struct.pack(">I", 3) + go() + b"x" * 28,
        struct.pack(">I", 3) + go() + command(1, 0, nbd.READ_MAX + 1),
    ],
)
def test_clients_that_break_the_protocol_are_cut_off(data: bytes) -> None:
    machine = NbdMachine(EXPORTS)
    with pytest.raises(NbdViolation):
        machine.receive(data)
    assert machine.is_over


def test_bytes_may_come_one_by_one() -> None:
    machine = NbdMachine(EXPORTS)
    events: list[Event] = []
    stream = struct.pack(">I", 3) + option(STRUCTURED) + go("cow", (3,)) + command(1, 5, 3, b"abc") + command(2)
    for index in range(len(stream)):
        events += machine.receive(stream[index : index + 1])
    assert events == [Selected("cow"), Write(77, 5, b"abc"), Disconnected()]
