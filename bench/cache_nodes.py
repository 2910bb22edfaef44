"""Two hundred cold starts at once behind five cache nodes: quiet, one killed, one slow, two killed."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

from bench.figures import AtMost, Measurement, Row, percentile
from bench.setup import FULL, Setup
from lambdad.chunks.background import running
from lambdad.testing.chunk_servers import RedisServer, find_redis, run_redis
from lambdad.testing.cold_starts import SlowProxy, Starts, make_cold_starts
from lambdad.testing.waiting import wait_until_async

STARTS = 200
QUICK_STARTS = 10
CHUNKS = 8
ORIGIN_S = 0.036
"""The paper's object store."""


def measure_cache_nodes(setup: Setup) -> Measurement:
    """Needs a Redis or Valkey server. The quiet run and the others follow each other in each round."""
    program = find_redis()
    if program is None:
        raise RuntimeError("install redis-server or valkey-server to measure the cache nodes")
    count = STARTS if setup.effort is FULL else QUICK_STARTS
    runs: dict[str, list[Starts]] = {"quiet": [], "one node slow by 1 s": [], "one killed": [], "two killed": []}
    for _ in range(min(setup.effort.rounds, 3)):
        with ExitStack() as stack:
            servers = [stack.enter_context(run_redis(program)) for _ in range(5)]
            asyncio.run(_round(servers, count, runs))
    quiet = _p99(runs["quiet"])
    rows = []
    for name, starts in runs.items():
        rows.append(Row(f"p99 of {count} cold starts at once, {name}", _p99(starts) * 1000, "ms"))
        if name.startswith("one"):
            rows.append(Row(f"{name}, against the quiet run", _p99(starts) / quiet, "x", AtMost(1.5)))
        failed = sum(len(run.failed) for run in starts)
        rows.append(Row(f"failed starts, {name}", float(failed), "", AtMost(0)))
        reads = sum(run.origin_reads for run in starts) / sum(len(run.seconds) for run in starts)
        rows.append(Row(f"chunks read from the origin by one start, {name}", reads, ""))
    note = f"A start reads {CHUNKS} chunks of 64 KiB that no other reads; the origin is {ORIGIN_S * 1000:.0f} ms away."
    samples = {name: [second for run in starts for second in run.seconds] for name, starts in runs.items()}
    return Measurement(name="caches", rows=tuple(rows), samples=samples, notes=(note,))


async def _round(servers: list[RedisServer], count: int, runs: dict[str, list[Starts]]) -> None:
    proxy = SlowProxy(servers[4].address)
    async with running(proxy.serve):
        await wait_until_async(lambda: bool(proxy.address), "the proxy", 60.0)
        nodes = [*(server.address for server in servers[:4]), proxy.address]
        starts = await make_cold_starts(count, CHUNKS, ORIGIN_S)
        await starts.warm(nodes)
        runs["quiet"].append(await starts.start_all(nodes))
        proxy.delay_s = 1.0
        runs["one node slow by 1 s"].append(await starts.start_all(nodes))
        proxy.delay_s = 0.0
        servers[0].kill()
        runs["one killed"].append(await starts.start_all(nodes))
        servers[1].kill()
        runs["two killed"].append(await starts.start_all(nodes))


def _p99(runs: list[Starts]) -> float:
    return percentile([second for run in runs for second in run.seconds], 99)
