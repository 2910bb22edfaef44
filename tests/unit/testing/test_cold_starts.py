"""Cache nodes fail during many cold starts: no start fails, and the origin answers only when two are lost.

`LAMBDAD_COLD_STARTS` sets the number of starts at once (200 in the benchmark `caches`).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from lambdad.chunks.background import running
from lambdad.testing.chunk_servers import RedisServer, find_redis, run_redis
from lambdad.testing.cold_starts import ColdStarts, SlowProxy, make_cold_starts
from lambdad.testing.waiting import wait_until_async

COUNT = int(os.environ.get("LAMBDAD_COLD_STARTS", "24"))
CHUNKS = 4
DEADLINE_S = 240.0


@pytest.fixture
def servers() -> Iterator[list[RedisServer]]:
    program = find_redis()
    if program is None:
        pytest.skip("no redis-server or valkey-server: install one to test the cache nodes")
    with ExitStack() as stack:
        yield [stack.enter_context(run_redis(program)) for _ in range(5)]


async def make_warm(nodes: list[str]) -> ColdStarts:
    starts = await make_cold_starts(COUNT, CHUNKS)
    await starts.warm(nodes)
    return starts


def test_no_start_fails_when_a_cache_node_is_killed_in_the_middle_and_when_two_are_lost(
    servers: list[RedisServer],
) -> None:
    async def run() -> None:
        nodes = [server.address for server in servers]
        async with asyncio.timeout(DEADLINE_S):
            starts = await make_warm(nodes)
            quiet = await starts.start_all(nodes)
            assert (quiet.failed, len(quiet.seconds)) == ((), COUNT)
            async with asyncio.TaskGroup() as group:
                under_way = group.create_task(starts.start_all(nodes))
                group.create_task(asyncio.to_thread(servers[1].kill))
            assert (await under_way).failed == ()
            servers[3].kill()
            two = await starts.start_all(nodes)
            assert two.failed == ()
            assert two.origin_reads == COUNT * CHUNKS, "the origin takes over, once for each chunk"

    asyncio.run(run())


def test_no_start_fails_behind_a_cache_node_that_takes_a_second_for_each_answer(servers: list[RedisServer]) -> None:
    async def run() -> None:
        nodes = [server.address for server in servers]
        proxy = SlowProxy(nodes[2])
        async with asyncio.timeout(DEADLINE_S), running(proxy.serve):
            await wait_until_async(lambda: bool(proxy.address), "the proxy", DEADLINE_S)
            behind = [*nodes[:2], proxy.address, *nodes[3:]]
            starts = await make_warm(behind)
            proxy.delay_s = 1.0
            slow = await starts.start_all(behind)
            assert (slow.failed, len(slow.seconds)) == ((), COUNT)

    asyncio.run(run())
