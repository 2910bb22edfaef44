"""Five real servers: one lost or slow costs nothing, two make a miss, none hangs anybody."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from lambdad.chunks.cache_nodes import CacheNodes, NodeLimits, open_cache_nodes
from lambdad.chunks.interface import ChunkInvalid, ChunkMissing, StoreUnavailable, name_of
from lambdad.model.clock import SystemClock
from lambdad.testing.certificates import Authority
from lambdad.testing.chunk_servers import RedisServer, find_redis, free_port, run_redis
from lambdad.testing.waiting import wait_until_async

REDIS = find_redis()
PATIENT = NodeLimits(deadline_s=30.0, connect_s=30.0, rest_s=0.05)


@pytest.fixture
def servers() -> Iterator[list[RedisServer]]:
    if REDIS is None:
        pytest.skip("no redis-server or valkey-server: install one to test the cache nodes")
    with ExitStack() as stack:
        yield [stack.enter_context(run_redis(REDIS)) for _ in range(5)]


def run(
    servers: list[RedisServer],
    test: Callable[[CacheNodes], Coroutine[Any, Any, None]],
    limits: NodeLimits = PATIENT,
) -> None:
    async def bounded() -> None:
        addresses = [server.address for server in servers]
        async with asyncio.timeout(120), open_cache_nodes(addresses, SystemClock(), limits) as store:
            await test(store)

    asyncio.run(bounded())


CHUNKS = [os.urandom(50_000) for _ in range(30)]


def test_a_burst_waits_its_turn_and_hits_all_the_same(servers: list[RedisServer]) -> None:
    async def test(store: CacheNodes) -> None:
        chunk = CHUNKS[0]
        await store.put(name_of(chunk), chunk)
        assert await asyncio.gather(*(store.get(name_of(chunk)) for _ in range(300))) == [chunk] * 300

    run(servers, test, NodeLimits(deadline_s=30.0, connect_s=30.0, rest_s=0.05, at_once=8, in_flight=32))


def test_one_node_that_is_killed_costs_no_hit(servers: list[RedisServer]) -> None:
    async def test(store: CacheNodes) -> None:
        for chunk in CHUNKS:
            await store.put(name_of(chunk), chunk)
        servers[2].kill()
        assert await asyncio.gather(*(store.get(name_of(chunk)) for chunk in CHUNKS)) == CHUNKS
        extra = os.urandom(1000)
        await store.put(name_of(extra), extra)
        assert await store.get(name_of(extra)) == extra
        assert await store.has(name_of(extra))

    run(servers, test)


def test_one_node_that_hangs_costs_no_hit_and_is_not_waited_for(servers: list[RedisServer]) -> None:
    """The deadline is 30 s and 30 chunks are read one after the other: waiting once would show."""

    async def test(store: CacheNodes) -> None:
        for chunk in CHUNKS:
            await store.put(name_of(chunk), chunk)
        servers[4].pause()
        for chunk in CHUNKS:
            assert await store.get(name_of(chunk)) == chunk
        servers[4].resume()

    run(servers, test)


def test_a_node_that_comes_back_is_used_again_without_anybody_waiting_for_it(servers: list[RedisServer]) -> None:
    async def test(store: CacheNodes) -> None:
        await store.put(name_of(CHUNKS[0]), CHUNKS[0])
        node = store._nodes[servers[0].address]
        node.close()  # as if the server had closed it
        await wait_until_async(lambda: node.is_connected, "the node is connected again")
        assert await node.ask(b"EXISTS", b"x") == 0
        assert await store.get(name_of(CHUNKS[0])) == CHUNKS[0]

    run(servers, test)


def test_two_nodes_that_are_killed_are_a_miss_that_says_so(servers: list[RedisServer]) -> None:
    async def test(store: CacheNodes) -> None:
        await store.put(name_of(CHUNKS[0]), CHUNKS[0])
        servers[0].kill()
        servers[1].kill()
        with pytest.raises(StoreUnavailable, match="3 of 5"):
            await store.get(name_of(CHUNKS[0]))
        with pytest.raises(StoreUnavailable, match="3 of 5"):
            await store.put(name_of(CHUNKS[1]), CHUNKS[1])

    run(servers, test)


def test_nodes_that_hang_are_given_up_at_the_deadline_and_rested(servers: list[RedisServer]) -> None:
    async def fill(store: CacheNodes) -> None:
        await store.put(name_of(CHUNKS[0]), CHUNKS[0])

    async def test(store: CacheNodes) -> None:
        for _ in range(3):
            with pytest.raises(StoreUnavailable):
                await store.get(name_of(CHUNKS[0]))
        assert not any(store._nodes[server.address].is_connected for server in servers[:2])

    run(servers, fill)
    for server in servers[:2]:
        server.pause()
    run(servers, test, NodeLimits(deadline_s=1.0, connect_s=30.0, rest_s=3600.0, patience=2))


def test_an_evicted_fragment_is_covered_by_the_parity_and_two_are_a_miss(servers: list[RedisServer]) -> None:
    async def test(store: CacheNodes) -> None:
        name = name_of(CHUNKS[0])
        await store.put(name, CHUNKS[0])
        owners = store._ring.owners(name, 5)
        for index in (1, 4):
            key = f"lambdad:1:{name.hex()}:{index}".encode()
            assert await store._nodes[owners[index]].ask(b"DEL", key) == 1
            if index == 1:
                assert await store.get(name) == CHUNKS[0]
        with pytest.raises(ChunkMissing):
            await store.get(name)

    run(servers, test)


def test_damaged_fragments_are_never_joined(servers: list[RedisServer]) -> None:
    async def test(store: CacheNodes) -> None:
        name = name_of(CHUNKS[0])
        await store.put(name, CHUNKS[0])
        owners = store._ring.owners(name, 5)
        for index, value in ((0, b"garbage"), (3, b"")):
            key = f"lambdad:1:{name.hex()}:{index}".encode()
            await store._nodes[owners[index]].ask(b"SET", key, value)
            if index == 0:
                assert await store.get(name) == CHUNKS[0]
        with pytest.raises(ChunkInvalid):
            await store.get(name)
        await store.put(name, CHUNKS[0])
        assert await store.get(name) == CHUNKS[0]

    run(servers, test)


def test_a_server_that_does_not_speak_the_protocol_counts_as_lost(servers: list[RedisServer]) -> None:
    async def run_all() -> None:
        async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            await reader.read()
            writer.close()

        liar = await asyncio.start_server(babble, "127.0.0.1", 0)
        port = liar.sockets[0].getsockname()[1]
        nodes = [*(server.address for server in servers[:4]), f"127.0.0.1:{port}"]
        async with asyncio.timeout(120), open_cache_nodes(nodes, SystemClock(), PATIENT) as store:
            for chunk in CHUNKS:
                await store.put(name_of(chunk), chunk)
                assert await store.get(name_of(chunk)) == chunk
        liar.close()

    asyncio.run(run_all())


def test_nobody_there_is_unavailable() -> None:
    async def run_all() -> None:
        async with open_cache_nodes([f"127.0.0.1:{free_port()}"], SystemClock(), PATIENT) as store:
            with pytest.raises(StoreUnavailable, match="0 of 5"):
                await store.get(name_of(b""))

    asyncio.run(run_all())


PASSWORD = "hush-hush/@:"
LOGINS = {"default": "redis://:hush-hush%2F%40%3A@", "user": "redis://cache:hush-hush%2F%40%3A@"}


@pytest.mark.parametrize("login", LOGINS)
def test_a_password_and_a_user_open_a_server_that_wants_them(login: str) -> None:
    async def test(address: str) -> None:
        async with asyncio.timeout(120), open_cache_nodes([LOGINS[login] + address], SystemClock(), PATIENT) as store:
            await store.put(name_of(CHUNKS[0]), CHUNKS[0])
            assert await store.get(name_of(CHUNKS[0])) == CHUNKS[0]

    async def make_user(address: str) -> None:
        async with open_cache_nodes([LOGINS["default"] + address], SystemClock(), PATIENT) as store:
            node = store._nodes[address]
            rules = (b"on", b">" + PASSWORD.encode(), b"~lambdad:*", b"+get", b"+set", b"+exists", b"+ping")
            assert await node.ask(b"ACL", b"SETUSER", b"cache", *rules) == b"OK"

    if REDIS is None:
        pytest.skip("no redis-server or valkey-server: install one to test the cache nodes")
    with run_redis(REDIS, PASSWORD) as server:
        if login == "user":
            asyncio.run(make_user(server.address))
        asyncio.run(test(server.address))


@pytest.mark.parametrize(
    ("login", "word"), [("", "NOAUTH"), (":wrong-hush@", "WRONGPASS"), ("me:wrong-hush@", "WRONG")]
)
def test_a_server_that_refuses_us_is_a_node_that_is_down_and_said_without_the_password(
    login: str, word: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(address: str) -> None:
        async with (
            asyncio.timeout(120),
            open_cache_nodes([f"redis://{login}{address}"], SystemClock(), PATIENT) as store,
        ):
            with pytest.raises(StoreUnavailable, match="0 of 5"):
                await store.get(name_of(CHUNKS[0]))

    if REDIS is None:
        pytest.skip("no redis-server or valkey-server: install one to test the cache nodes")
    with run_redis(REDIS, PASSWORD) as server, caplog.at_level("INFO"):
        asyncio.run(test(server.address))
    assert "cache_node_refused" in caplog.text
    assert word in caplog.text
    assert "hush" not in caplog.text


def test_what_a_server_says_about_our_password_is_not_repeated(caplog: pytest.LogCaptureFixture) -> None:
    async def run_all() -> None:
        async def parrot(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heard = await reader.read(1000)
            writer.write(b"-ERR " + heard.split(b"\r\n")[-2] + b"\r\n")
            await reader.read()
            writer.close()

        server = await asyncio.start_server(parrot, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with open_cache_nodes([f"redis://:hush@127.0.0.1:{port}"], SystemClock(), PATIENT) as store:
            with pytest.raises(StoreUnavailable):
                await store.get(name_of(b""))
        server.close()

    with caplog.at_level("DEBUG", "lambdad"):
        asyncio.run(run_all())
    assert "error=ERR" in caplog.text
    assert "hush" not in caplog.text


def test_over_tls_only_a_server_with_a_good_certificate_gets_the_password(tmp_path: Path) -> None:
    async def ask(address: str, authority: str) -> bytes:
        nodes = [f"rediss://:hush@{address}"]
        async with asyncio.timeout(120), open_cache_nodes(nodes, SystemClock(), PATIENT, authority) as store:
            await store.put(name_of(CHUNKS[0]), CHUNKS[0])
            return await store.get(name_of(CHUNKS[0]))

    if REDIS is None or not speaks_tls(REDIS):
        pytest.skip("needs a redis-server or valkey-server with TLS")
    ours, other = tmp_path / "ours", tmp_path / "other"
    for directory in (ours, other):
        authority = Authority(directory.name)
        authority.write_own(directory)
        authority.write_server(directory)
    with run_redis(REDIS, "hush", ours) as server:
        assert asyncio.run(ask(server.address, str(ours / "ca-cert.pem"))) == CHUNKS[0]
        for stranger in (str(other / "ca-cert.pem"), ""):
            with pytest.raises(StoreUnavailable):
                asyncio.run(ask(server.address, stranger))
        with pytest.raises(OSError):
            asyncio.run(ask(server.address, str(tmp_path / "none.pem")))


def speaks_tls(program: str) -> bool:
    linked = subprocess.run(["ldd", program], capture_output=True, text=True, timeout=30, check=False).stdout
    return "libssl" in linked


@pytest.mark.parametrize("node", ["localhost", ":1", "host:", "host:x"])
def test_addresses_without_host_and_port_are_refused(node: str) -> None:
    with pytest.raises(ValueError, match="HOST:PORT"):
        CacheNodes([node], SystemClock())
