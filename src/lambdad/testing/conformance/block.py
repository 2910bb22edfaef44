"""What every `BlockSource` promises, as checks against the bytes it should have; and what a `WritableSource` adds."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator

from lambdad.block.interface import BlockSource, WritableSource

Check = Callable[[BlockSource, bytes], Awaitable[None]]
WritableCheck = Callable[[WritableSource, bytes], Awaitable[None]]

_EDGE = 4096


def ranges(size: int, count: int, seed: int = 1) -> Iterator[tuple[int, int]]:
    """Offsets and lengths: the edges first, then at random, with a liking for multiples of 4 KiB."""
    yield from ((0, 0), (0, size), (size, 0), (0, min(1, size)), (max(0, size - 1), min(1, size)))
    chooser = random.Random(seed)  # noqa: S311  # data of a test, the same in every run
    for _ in range(count):
        offset = chooser.randrange(size + 1)
        length = chooser.choice((1, 511, _EDGE, 3 * _EDGE + 1, 600_000, size))
        if chooser.random() < 0.5:
            offset -= offset % _EDGE
        yield offset, min(length, size - offset)


async def check_size(source: BlockSource, content: bytes) -> None:
    assert source.size == len(content)


async def check_reads_equal_the_content(source: BlockSource, content: bytes) -> None:
    for offset, length in ranges(len(content), 60):
        assert await source.read(offset, length) == content[offset : offset + length]


async def check_peeks_equal_the_content(source: BlockSource, content: bytes) -> None:
    for offset, length in ranges(len(content), 60, seed=2):
        pieces = source.peek(offset, length)
        if pieces is not None:
            assert b"".join(pieces) == content[offset : offset + length]


async def check_concurrent_reads(source: BlockSource, content: bytes) -> None:
    wanted = list(ranges(len(content), 40, seed=3))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(source.read(offset, length)) for offset, length in wanted]
    for (offset, length), task in zip(wanted, tasks, strict=True):
        assert task.result() == content[offset : offset + length]


async def check_extents_cover_and_tell_the_truth(source: BlockSource, content: bytes) -> None:
    for offset, length in ranges(len(content), 20, seed=4):
        position = offset
        for extent in source.extents(offset, length):
            assert extent.length > 0
            if extent.is_zero:
                assert not content[position : position + extent.length].strip(b"\0")
            position += extent.length
        assert position == offset + length


async def check_ranges_outside_are_refused(source: BlockSource, content: bytes) -> None:
    size = len(content)
    for offset, length in ((-1, 1), (0, size + 1), (size, 1), (size + 1, 0), (0, -1), (2**70, 1)):
        for operation in (source.read, _peek(source)):
            try:
                await operation(offset, length)
            except ValueError:
                continue
            raise AssertionError(f"{length} bytes at {offset} were read from a disk of {size} bytes")


async def check_cancelled_reads_harm_nobody(source: BlockSource, content: bytes) -> None:
    for delay in range(4):
        async with asyncio.TaskGroup() as group:
            other = group.create_task(source.read(0, len(content)))
            task = group.create_task(source.read(0, len(content)))
            for _ in range(delay):
                await asyncio.sleep(0)
            task.cancel()
        assert other.result() == content


async def check_close_twice(source: BlockSource, content: bytes) -> None:
    await source.close()
    await source.close()


def _peek(source: BlockSource) -> Callable[[int, int], Awaitable[bytes]]:
    async def peek(offset: int, length: int) -> bytes:
        return b"".join(source.peek(offset, length) or ())

    return peek


CHECKS: tuple[Check, ...] = (
    check_size,
    check_reads_equal_the_content,
    check_peeks_equal_the_content,
    check_concurrent_reads,
    check_extents_cover_and_tell_the_truth,
    check_ranges_outside_are_refused,
    check_cancelled_reads_harm_nobody,
    check_close_twice,
)


async def check_writes_are_read_back(source: WritableSource, content: bytes) -> None:
    model = bytearray(content)
    chooser = random.Random(5)  # noqa: S311  # data of a test, the same in every run
    for number, (offset, length) in enumerate(ranges(len(content), 60, seed=6)):
        if number % 3 == 2:
            await source.write_zeros(offset, length)
            model[offset : offset + length] = bytes(length)
        else:
            data = chooser.randbytes(length)
            await source.write(offset, data)
            model[offset : offset + length] = data
        for check_offset, check_length in ranges(len(content), 3, seed=number):
            assert await source.read(check_offset, check_length) == model[check_offset : check_offset + check_length]
    await check_extents_cover_and_tell_the_truth(source, bytes(model))
    await check_peeks_equal_the_content(source, bytes(model))


async def check_writes_outside_are_refused(source: WritableSource, content: bytes) -> None:
    for offset, data in ((-1, b"x"), (len(content), b"x"), (0, bytes(len(content) + 1))):
        try:
            await source.write(offset, data)
        except ValueError:
            continue
        raise AssertionError(f"{len(data)} bytes were written at {offset}")
    assert await source.read(0, len(content)) == content


async def check_concurrent_writes_to_parts_of_a_page(source: WritableSource, content: bytes) -> None:
    async with asyncio.TaskGroup() as group:
        for index in range(64):
            group.create_task(source.write(index * 16, bytes([index]) * 16))
    expected = b"".join(bytes([index]) * 16 for index in range(64))
    assert await source.read(0, 1024) == expected
    assert await source.read(1024, len(content) - 1024) == content[1024:]


WRITABLE_CHECKS: tuple[WritableCheck, ...] = (
    check_writes_are_read_back,
    check_writes_outside_are_refused,
    check_concurrent_writes_to_parts_of_a_page,
)
