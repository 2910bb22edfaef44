"""Random reads and writes: the reader and the overlay against plain bytes."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from lambdad.block.overlay import OverlaySource
from lambdad.testing.block_doubles import make_reader

runs = st.lists(st.tuples(st.booleans(), st.integers(1, 9000)), max_size=8)
positions = st.lists(
    st.tuples(st.floats(0, 1), st.floats(0, 1), st.sampled_from(["read", "write", "zero"])), max_size=20
)


def make_content(parts: list[tuple[bool, int]]) -> bytes:
    return b"".join((bytes([number + 1]) if is_data else b"\0") * size for number, (is_data, size) in enumerate(parts))


@settings(deadline=None)
@given(runs, positions, st.sampled_from([0, 5000, 10**6]))
def test_any_sequence_of_reads_and_writes_equals_plain_bytes(
    parts: list[tuple[bool, int]], operations: list[tuple[float, float, str]], memory: int
) -> None:
    async def run() -> None:
        content = make_content(parts)
        model = bytearray(content)
        reader = await make_reader(content, memory=memory)
        with tempfile.TemporaryDirectory() as directory:
            overlay = OverlaySource(reader, Path(directory), 10**6)
            for number, (where, share, kind) in enumerate(operations):
                offset = int(where * len(content))
                length = int(share * (len(content) - offset))
                if kind == "write":
                    data = bytes([200 + number % 50]) * length
                    await overlay.write(offset, data)
                    model[offset : offset + length] = data
                elif kind == "zero":
                    await overlay.write_zeros(offset, length)
                    model[offset : offset + length] = bytes(length)
                assert await overlay.read(offset, length) == model[offset : offset + length]
                assert await reader.read(offset, length) == content[offset : offset + length]
                position = offset
                for extent in overlay.extents(offset, length):
                    if extent.is_zero:
                        assert not any(model[position : position + extent.length])
                    position += extent.length
                assert position == offset + length
            assert await overlay.read(0, len(content)) == model
            await overlay.close()

    asyncio.run(run())
