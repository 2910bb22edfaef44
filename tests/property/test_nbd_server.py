"""Random reads and writes through the NBD server: two writers and a reader of one image, against plain bytes."""

from __future__ import annotations

import asyncio
import random
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lambdad.block.interface import WritableSource
from lambdad.block.nbd_server import AnyExport, CopyOnWriteExport, NbdServer, ReadOnlyExport
from lambdad.block.overlay import OverlaySource
from lambdad.testing.block_doubles import make_reader
from lambdad.testing.nbd_client import NbdClient, NbdRefused

CHUNK = 16_384
SIZE = 20 * CHUNK + 1000
PERMISSION, INVALID, NO_SPACE = 1, 22, 28
DEADLINE_S = 60


def make_content() -> bytes:
    """Data and holes, no multiple of a page."""
    chooser = random.Random(31)
    pieces = [chooser.randbytes(CHUNK) if chooser.random() < 0.6 else bytes(CHUNK) for _ in range(20)]
    return b"".join(pieces) + chooser.randbytes(1000)


CONTENT = make_content()


@dataclass(frozen=True, slots=True)
class Serving:
    """socket: of the server, which runs in a thread of its own."""

    socket: Path


async def serve(directory: Path, ready: threading.Event, over: asyncio.Event) -> None:
    async def open_overlay() -> WritableSource:
        return OverlaySource(await make_reader(CONTENT, chunk_size=CHUNK), directory, SIZE + 4096)

    exports: dict[str, AnyExport] = {
        "plain": ReadOnlyExport(await make_reader(CONTENT, chunk_size=CHUNK, memory=4 * CHUNK)),
        "copy": CopyOnWriteExport(len(CONTENT), open_overlay),
    }
    async with NbdServer(exports) as server:
        await server.listen_unix(str(directory / "s"))
        ready.set()
        await over.wait()


@pytest.fixture(scope="module")
def serving() -> Iterator[Serving]:
    with tempfile.TemporaryDirectory(prefix="lambdad-nbd-") as name:
        ready, loops = threading.Event(), []

        async def main() -> None:
            over = asyncio.Event()
            loops.append((asyncio.get_running_loop(), over))
            await serve(Path(name), ready, over)

        thread = threading.Thread(target=lambda: asyncio.run(main()))
        thread.start()
        assert ready.wait(DEADLINE_S)
        try:
            yield Serving(Path(name) / "s")
        finally:
            loop, over = loops[0]
            loop.call_soon_threadsafe(over.set)
            thread.join()


@dataclass(frozen=True, slots=True)
class Operation:
    """who: a writer, 0 or 1, or the reader, 2."""

    who: int
    kind: str
    offset: int
    length: int


places = st.integers(0, SIZE + 5000) | st.sampled_from([0, 4095, 4096, CHUNK, 2 * CHUNK - 1, SIZE - 1, SIZE])
lengths = st.integers(1, 3 * CHUNK) | st.sampled_from([1, 512, 4096, CHUNK])
operations = st.builds(
    Operation,
    st.sampled_from([0, 0, 1, 1, 2]),
    st.sampled_from(["read", "read", "write", "write", "zeros", "trim", "extents", "cache", "flush"]),
    places,
    lengths,
)


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(operations, max_size=25))
def test_whatever_is_read_and_written_everybody_sees_what_plain_bytes_would_show(
    serving: Serving, steps: list[Operation]
) -> None:
    clients = [NbdClient(serving.socket, export) for export in ("copy", "copy", "plain")]
    models = [bytearray(CONTENT) for _ in clients]
    try:
        for number, step in enumerate(steps):
            perform(clients[step.who], models[step.who], step, bytes([number % 255 + 1]))
        for client, model in zip(clients, models, strict=True):
            assert client.size == SIZE
            assert client.read(0, SIZE) == model
    finally:
        for client in clients:
            client.close()


def perform(client: NbdClient, model: bytearray, step: Operation, letter: bytes) -> None:
    """One request, of which the model says what comes of it."""
    offset, length = step.offset, step.length
    changes = step.kind in ("write", "zeros", "trim")
    try:
        match step.kind:
            case "read":
                assert client.read(offset, length) == model[offset : offset + length]
            case "write":
                client.write(offset, letter * length)
                model[offset : offset + length] = letter * length
            case "zeros":
                client.write_zeros(offset, length)
                model[offset : offset + length] = bytes(length)
            case "trim":
                client.trim(offset, length)
                model[offset : offset + length] = bytes(length)
            case "extents":
                check_extents(client, model, offset, length)
            case "cache":
                client.cache(offset, length)
            case _:
                client.flush()
    except NbdRefused as refusal:
        if changes and step.who == 2:
            assert refusal.number == PERMISSION
        else:
            assert refusal.number == (NO_SPACE if step.kind in ("write", "zeros") else INVALID)
            assert offset + length > SIZE
    else:
        assert not (changes and step.who == 2)
        assert step.kind == "flush" or offset + length <= SIZE


def check_extents(client: NbdClient, model: bytearray, offset: int, length: int) -> None:
    """The server may say less or more than was asked for, and never that data are zeros."""
    position = offset
    for size, is_zero in client.extents(offset, length):
        if is_zero:
            assert not any(model[position : position + size])
        position += size
    assert position > offset
