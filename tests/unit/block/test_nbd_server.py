"""The NBD server against the clients of others: nbdinfo, nbdcopy, qemu-img, qemu-io, qemu-nbd."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import shutil
import ssl
import struct
import subprocess
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

import pytest

from lambdad.block.interface import BlockError, WritableSource
from lambdad.block.nbd import TlsPolicy
from lambdad.block.nbd_server import AnyExport, CopyOnWriteExport, NbdLimits, NbdServer, ReadOnlyExport
from lambdad.block.overlay import OverlaySource
from lambdad.testing.block_doubles import BytesSource, make_reader
from lambdad.testing.waiting import wait_until_async

DEADLINE_S = 60.0
CHUNK = 65_536


def make_content() -> bytes:
    """4 MiB and a bit: data and holes."""
    chooser = random.Random(11)
    pieces = [chooser.randbytes(CHUNK) if chooser.random() < 0.5 else bytes(CHUNK) for _ in range(64)]
    return b"".join(pieces) + chooser.randbytes(512)


CONTENT = make_content()


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(3 * DEADLINE_S):
            await test()

    asyncio.run(bounded())


async def serve(socket: Path, exports: Mapping[str, AnyExport], **settings: Any) -> NbdServer:
    server = NbdServer(exports, **settings)
    await server.listen_unix(str(socket))
    return server


async def tool(*command: str, expect: int | None = 0) -> str:
    """Run a program; its standard output."""
    program = shutil.which(command[0])
    if program is None:
        pytest.skip(f"no {command[0]}: install libnbd-bin and qemu-utils")
    process = await asyncio.create_subprocess_exec(
        program, *command[1:], stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
    )
    output, errors = await asyncio.wait_for(process.communicate(), DEADLINE_S)
    if expect is not None:
        assert process.returncode == expect, errors.decode()
    return output.decode()


def uri(socket: Path, export: str = "disk") -> str:
    return f"nbd+unix:///{export}?socket={socket}"


def test_nbdinfo_sees_the_export_and_its_holes(tmp_path: Path) -> None:
    async def test() -> None:
        socket = tmp_path / "s"
        export = ReadOnlyExport(await make_reader(CONTENT, chunk_size=CHUNK), "an image")
        async with await serve(socket, {"disk": export}):
            info = json.loads(await tool("nbdinfo", "--json", uri(socket)))
            (entry,) = info["exports"]
            assert (entry["export-size"], entry["is_read_only"], entry["description"]) == (
                len(CONTENT),
                True,
                "an image",
            )
            assert info["structured"]
            listed = json.loads(await tool("nbdinfo", "--list", "--json", uri(socket, "")))
            assert [export["export-name"] for export in listed["exports"]] == ["disk"]
            extents = json.loads(await tool("nbdinfo", "--map", "--json", uri(socket)))
            for extent in extents:
                part = CONTENT[extent["offset"] : extent["offset"] + extent["length"]]
                assert (extent["type"] == 3) == (not part.strip(b"\0"))
            assert sum(extent["length"] for extent in extents) == len(CONTENT)

    run(test)


def test_nbdcopy_and_qemu_img_copy_the_image_byte_for_byte(tmp_path: Path) -> None:
    async def test() -> None:
        socket = tmp_path / "s"
        async with await serve(socket, {"disk": ReadOnlyExport(await make_reader(CONTENT, chunk_size=CHUNK))}):
            await tool("nbdcopy", uri(socket), str(tmp_path / "one"))
            await tool("qemu-img", "convert", "-f", "raw", "-O", "raw", uri(socket), str(tmp_path / "two"))
            await tool("nbdcopy", "--connections=4", "--requests=16", uri(socket), str(tmp_path / "three"))
        for copy in ("one", "two", "three"):
            assert (tmp_path / copy).read_bytes()[: len(CONTENT)] == CONTENT

    run(test)


def test_qemu_nbd_lists_what_every_export_can(tmp_path: Path) -> None:
    async def test() -> None:
        socket = tmp_path / "s"

        async def open_overlay() -> WritableSource:
            return OverlaySource(await make_reader(CONTENT, chunk_size=CHUNK), tmp_path, 2**30)

        exports = {"disk": ReadOnlyExport(BytesSource(CONTENT)), "copy": CopyOnWriteExport(len(CONTENT), open_overlay)}
        async with await serve(socket, exports):
            listed = await tool("qemu-nbd", "--list", "-k", str(socket))
        head, disk, copy = listed.split("export: ")
        assert head.strip() == "exports available: 2"
        for entry, name in ((disk, "disk"), (copy, "copy")):
            assert entry.startswith(f"'{name}'")
            assert f"size:  {len(CONTENT)}" in entry
            assert "base:allocation" in entry
        assert "readonly" in disk and "multi" in disk
        assert "readonly" not in copy and "zeroes" in copy and "trim" in copy

    run(test)


def test_qemu_img_maps_the_holes(tmp_path: Path) -> None:
    async def test() -> None:
        socket = tmp_path / "s"
        async with await serve(socket, {"disk": ReadOnlyExport(await make_reader(CONTENT, chunk_size=CHUNK))}):
            extents = json.loads(await tool("qemu-img", "map", "-f", "raw", "--output=json", uri(socket)))
        assert sum(extent["length"] for extent in extents) == len(CONTENT)
        assert any(extent["zero"] for extent in extents)
        for extent in extents:
            part = CONTENT[extent["start"] : extent["start"] + extent["length"]]
            assert extent["zero"] == (not part.strip(b"\0"))

    run(test)


def test_qemu_nbd_exports_our_export_once_more_and_nothing_is_lost(tmp_path: Path) -> None:
    async def test() -> None:
        socket, again = tmp_path / "s", tmp_path / "again"
        async with await serve(socket, {"disk": ReadOnlyExport(await make_reader(CONTENT, chunk_size=CHUNK))}):
            program = shutil.which("qemu-nbd")
            if program is None:
                pytest.skip("no qemu-nbd: install qemu-utils")
            arguments = ["-f", "raw", "-r", "-t", "-x", "disk", "-k", str(again), uri(socket)]
            process = await asyncio.create_subprocess_exec(program, *arguments, stdin=subprocess.DEVNULL)
            try:
                await wait_until_async(again.exists, "qemu-nbd listens", DEADLINE_S)
                await tool("nbdcopy", uri(again), str(tmp_path / "copy"))
            finally:
                process.terminate()
                await process.wait()
        assert (tmp_path / "copy").read_bytes() == CONTENT

    run(test)


def test_qemu_io_cannot_write_to_a_read_only_export(tmp_path: Path) -> None:
    async def test() -> None:
        socket = tmp_path / "s"
        async with await serve(socket, {"disk": ReadOnlyExport(BytesSource(CONTENT))}):
            await tool("qemu-io", "-f", "raw", "-c", "write 0 4k", uri(socket), expect=1)
            await tool("qemu-io", "-f", "raw", "-r", "-c", "read 0 4k", uri(socket))

    run(test)


def test_qemu_io_reads_back_what_it_wrote_and_nobody_else_sees_it(tmp_path: Path) -> None:
    async def test() -> None:
        socket = tmp_path / "s"
        made: list[OverlaySource] = []

        async def open_overlay() -> WritableSource:
            made.append(OverlaySource(await make_reader(CONTENT, chunk_size=CHUNK), tmp_path, 2**30))
            return made[-1]

        async with await serve(socket, {"disk": CopyOnWriteExport(len(CONTENT), open_overlay)}):
            commands = [
                "write -P 0xab 1000 5000",
                "read -P 0xab 1000 5000",
                "write -z 65536 65536",
                "read -P 0 65536 65536",
                "discard 0 4096",
                "read -P 0 0 1000",
                "flush",
            ]
            arguments = [argument for command in commands for argument in ("-c", command)]
            output = await tool("qemu-io", "-f", "raw", *arguments, uri(socket))
            assert "verification failed" not in output
            await tool("nbdcopy", uri(socket), str(tmp_path / "copy"))
            assert (tmp_path / "copy").read_bytes() == CONTENT
            await wait_until_async(lambda: all(source._closed for source in made), "overlays are closed", DEADLINE_S)

    run(test)


async def connect(socket: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A raw client in the transmission phase, simple replies."""
    reader, writer = await asyncio.open_unix_connection(str(socket))
    await reader.readexactly(18)
    writer.write(struct.pack(">I", 3) + b"IHAVEOPT" + struct.pack(">II", 1, 4) + b"disk")
    await reader.readexactly(10)
    return reader, writer


async def hang_up(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


def read_request(offset: int, length: int, cookie: int = 1) -> bytes:
    return struct.pack(">IHHQQI", 0x25609513, 0, 0, cookie, offset, length)


@pytest.mark.parametrize("memory", [2**30, 0], ids=["chunks in memory", "nothing in memory"])
def test_random_reads_equal_the_plain_image(memory: int, tmp_path: Path) -> None:
    async def test() -> None:
        socket = tmp_path / "s"
        image = await make_reader(CONTENT, chunk_size=CHUNK, memory=memory)
        async with await serve(socket, {"disk": ReadOnlyExport(image)}):
            reader, writer = await connect(socket)
            chooser = random.Random(15)
            for cookie in range(200):
                offset = chooser.randrange(len(CONTENT))
                length = min(chooser.choice((1, 511, 4096, 70_000, 3_000_000)), len(CONTENT) - offset)
                writer.write(read_request(offset, length, cookie))
                assert struct.unpack(">IIQ", await reader.readexactly(16)) == (0x67446698, 0, cookie)
                assert await reader.readexactly(length) == CONTENT[offset : offset + length]
            await hang_up(writer)

    run(test)


def test_a_client_that_vanishes_takes_its_requests_with_it_and_nobody_else(tmp_path: Path) -> None:
    async def test() -> None:
        socket = tmp_path / "s"
        source = BytesSource(CONTENT, is_in_memory=False)
        source.gate = asyncio.Event()
        async with await serve(socket, {"disk": ReadOnlyExport(source)}) as server:
            for _ in range(3):
                _, writer = await connect(socket)
                writer.write(b"".join(read_request(0, 4096, cookie) for cookie in range(4)))
                await writer.drain()
                reads = source.reads
                await wait_until_async(lambda reads=reads: source.reads > reads, "the request arrives", DEADLINE_S)
                await hang_up(writer)
            await wait_until_async(lambda: not server._connections, "the connections are over", DEADLINE_S)
            source.gate.set()
            reader, writer = await connect(socket)
            writer.write(read_request(0, 4096))
            assert (await reader.readexactly(16 + 4096))[16:] == CONTENT[:4096]
            await hang_up(writer)

    run(test)


def test_a_client_that_asks_and_never_reads_holds_bounded_memory(tmp_path: Path) -> None:
    async def test() -> None:
        socket = tmp_path / "s"
        source = BytesSource(CONTENT, is_in_memory=False)
        async with await serve(socket, {"disk": ReadOnlyExport(source)}, limits=NbdLimits(requests=4)):
            reader, writer = await connect(socket)
            reader._transport.pause_reading()  # type: ignore[attr-defined]
            for cookie in range(200):
                writer.write(read_request(0, 1024 * 1024, cookie))
            for _ in range(500):
                await asyncio.sleep(0)
            assert source.reads < 20
            await hang_up(writer)

    run(test)


def test_a_source_that_fails_is_an_error_for_the_request_and_not_the_connection(tmp_path: Path) -> None:
    async def test() -> None:
        socket = tmp_path / "s"
        source = BytesSource(CONTENT, is_in_memory=False)
        source.failure = BlockError("origin down")
        async with await serve(socket, {"disk": ReadOnlyExport(source)}):
            reader, writer = await connect(socket)
            writer.write(read_request(0, 4096, cookie=9))
            assert struct.unpack(">IIQ", await reader.readexactly(16)) == (0x67446698, 5, 9)
            source.failure = None
            writer.write(read_request(0, 4096, cookie=10))
            assert struct.unpack(">IIQ", await reader.readexactly(16)) == (0x67446698, 0, 10)
            await hang_up(writer)

    run(test)


def test_a_client_that_says_nothing_is_cut_off_and_too_many_are_not_let_in(tmp_path: Path) -> None:
    async def test() -> None:
        socket = tmp_path / "s"
        limits = NbdLimits(connections=1, handshake_s=0.05)
        async with await serve(socket, {"disk": ReadOnlyExport(BytesSource(CONTENT))}, limits=limits):
            reader, writer = await asyncio.open_unix_connection(str(socket))
            assert len(await reader.read()) == 18
            await hang_up(writer)
        limits = NbdLimits(connections=1)
        other = tmp_path / "t"
        async with await serve(other, {"disk": ReadOnlyExport(BytesSource(CONTENT))}, limits=limits):
            _, first = await connect(other)
            reader, second = await asyncio.open_unix_connection(str(other))
            assert await _read_or_reset(reader) == b""
            await hang_up(first)
            await hang_up(second)

    run(test)


async def _read_or_reset(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionError:
        return b""


def make_certificates(directory: Path) -> None:
    """A certificate authority and a certificate for localhost, in the layout that libnbd looks for."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl to make certificates with")
    key, cert = str(directory / "server-key.pem"), str(directory / "server-cert.pem")
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
    subprocess.run([*command, "-keyout", key, "-out", cert], check=True, stderr=subprocess.DEVNULL)
    shutil.copy(cert, directory / "ca-cert.pem")


@pytest.mark.parametrize("policy", [TlsPolicy.OFFERED, TlsPolicy.REQUIRED])
def test_libnbd_and_qemu_copy_over_tls_and_only_over_tls_if_that_is_demanded(policy: TlsPolicy, tmp_path: Path) -> None:
    async def test() -> None:
        make_certificates(tmp_path)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / "server-cert.pem", tmp_path / "server-key.pem")
        exports = {"disk": ReadOnlyExport(await make_reader(CONTENT, chunk_size=CHUNK))}
        async with NbdServer(exports, tls=context, policy=policy) as server:
            port = await server.listen_tcp()
            secure = f"nbds://localhost:{port}/disk?tls-certificates={tmp_path}"
            await tool("nbdcopy", secure, str(tmp_path / "copy"))
            assert (tmp_path / "copy").read_bytes() == CONTENT
            credentials = f"tls-creds-x509,id=tls,endpoint=client,dir={tmp_path}"
            node = f"driver=nbd,host=localhost,port={port},export=disk,tls-creds=tls"
            target = str(tmp_path / "qemu")
            await tool("qemu-img", "convert", "--object", credentials, "--image-opts", node, "-O", "raw", target)
            assert (tmp_path / "qemu").read_bytes()[: len(CONTENT)] == CONTENT
            plain = 0 if policy is TlsPolicy.OFFERED else 1
            await tool("nbdinfo", f"nbd://localhost:{port}/disk", expect=plain)

    run(test)


def test_tls_needs_a_policy_and_a_context() -> None:
    with pytest.raises(ValueError, match="TLS"):
        NbdServer({}, policy=TlsPolicy.REQUIRED)
