"""Every chunk store against the one contract, the network ones against real servers."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from pathlib import Path

import pytest

from lambdad.chunks.cache_nodes import NodeLimits, open_cache_nodes
from lambdad.chunks.disk import open_disk_store
from lambdad.chunks.interface import ChunkStore
from lambdad.chunks.limited import LimitedStore
from lambdad.chunks.memory import MemoryStore
from lambdad.chunks.objects import DirectoryObjects, open_s3
from lambdad.chunks.origin import Origin, OriginStore
from lambdad.chunks.roots import RootedStore, active_root
from lambdad.chunks.s3_credentials import GivenKeys
from lambdad.chunks.single_flight import SingleFlightStore
from lambdad.chunks.verified import Filler, Role, Tier, Trust, VerifiedStore
from lambdad.model.clock import SystemClock
from lambdad.testing.chunk_doubles import MemoryObjects, ScriptedStore
from lambdad.testing.chunk_servers import find_redis, run_redis, run_s3
from lambdad.testing.conformance.chunks import CHECKS, Check

CLOCK = SystemClock()
CAPACITY = 64 * 1024 * 1024
PATIENT = NodeLimits(deadline_s=30.0, connect_s=30.0)
Opener = Callable[[Path], AbstractAsyncContextManager[ChunkStore]]

REDIS = find_redis()
MOTO = shutil.which("moto_server", path=f"{Path(sys.executable).parent}:/usr/bin:/usr/local/bin")


@asynccontextmanager
async def memory(directory: Path) -> AsyncIterator[ChunkStore]:
    yield MemoryStore(CAPACITY, CLOCK)


@asynccontextmanager
async def disk(directory: Path) -> AsyncIterator[ChunkStore]:
    store = await open_disk_store(directory / "cache", CAPACITY, CLOCK)
    yield store
    await store.close()


@asynccontextmanager
async def directory_origin(directory: Path) -> AsyncIterator[ChunkStore]:
    yield OriginStore(Origin(DirectoryObjects(directory / "origin"), CLOCK), "r1")


@asynccontextmanager
async def single_flight(directory: Path) -> AsyncIterator[ChunkStore]:
    yield SingleFlightStore(ScriptedStore())


@asynccontextmanager
async def limited(directory: Path) -> AsyncIterator[ChunkStore]:
    yield LimitedStore(ScriptedStore(), 3, 1000)


@asynccontextmanager
async def rooted(directory: Path) -> AsyncIterator[ChunkStore]:
    origin = Origin(MemoryObjects(), CLOCK)
    await active_root(origin.objects, 1.0)
    yield RootedStore(origin, CLOCK)


@asynccontextmanager
async def all_tiers(directory: Path) -> AsyncIterator[ChunkStore]:
    filler = Filler()
    disk_store = await open_disk_store(directory / "cache", CAPACITY, CLOCK)
    tiers = [
        Tier("memory", MemoryStore(CAPACITY, CLOCK), Trust.MEMORY),
        Tier("disk", disk_store),
        Tier("origin", OriginStore(Origin(DirectoryObjects(directory / "origin"), CLOCK), "r1"), role=Role.SOURCE),
    ]
    async with asyncio.TaskGroup() as group:
        filling = group.create_task(filler.run())
        store = SingleFlightStore(VerifiedStore(tiers, filler))
        yield store
        filling.cancel()
    await store.close()


@pytest.mark.parametrize("opener", [memory, disk, directory_origin, single_flight, limited, rooted, all_tiers])
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_store_keeps_the_contract(opener: Opener, check: Check, tmp_path: Path) -> None:
    async def run() -> None:
        async with opener(tmp_path) as store:
            await check(store)

    asyncio.run(run())


@pytest.fixture(scope="module")
def nodes() -> Iterator[list[str]]:
    """Five real servers."""
    if REDIS is None:
        pytest.skip("no redis-server or valkey-server: install one to test the cache nodes")
    with ExitStack() as stack:
        yield [stack.enter_context(run_redis(REDIS)).address for _ in range(5)]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_cache_nodes_keep_the_contract(check: Check, nodes: list[str]) -> None:
    async def run() -> None:
        async with open_cache_nodes(nodes, CLOCK, PATIENT) as store:
            await check(store)

    asyncio.run(run())


@pytest.fixture(scope="module")
def s3() -> Iterator[tuple[str, str]]:
    """Endpoint and bucket of a real S3 server."""
    if MOTO is None:
        pytest.skip("no moto_server beside the interpreter: install moto[server] to test S3")
    with run_s3(MOTO) as server:
        yield server.endpoint, server.bucket


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_an_s3_origin_keeps_the_contract(check: Check, s3: tuple[str, str]) -> None:
    async def run() -> None:
        endpoint, bucket = s3
        objects = open_s3(bucket, endpoint=endpoint, keys=GivenKeys("test", "test"), timeout_s=60)
        await check(OriginStore(Origin(objects, CLOCK), "r1"))

    asyncio.run(run())
