"""How fast images are made and blocks are read: one core's MB/s, FUSE and NBD, sequential and random."""

from __future__ import annotations

import asyncio
import contextlib
import json
import mmap
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from bench.figures import AtLeast, AtMost, Measurement, Row, percentile
from bench.images.corpus import open_corpus
from bench.images.nbd_client import NbdClient
from bench.images.recipes import LARGE
from bench.setup import Setup
from lambdad.block.messages import Configure, Serve
from lambdad.block.service import BlockService
from lambdad.chunks.manifest import Manifest
from lambdad.cli.image_pull import parse_platform, pull_image
from lambdad.cli.image_store import ImageStore
from lambdad.testing.waiting import wait_until

NAME = "bench"
_CHUNKS = 1024
"""Positions that are read: half a gigabyte of the image, of which the zeros are not counted."""
_SMALL = 32 * 1024**2
_LARGE = 1024**3
"""Bytes of chunks that the agent keeps in memory: next to nothing, or all that is read."""
_READS = 5000
_PIECE = 1024 * 1024


def measure_image_blocks(setup: Setup) -> Measurement:
    """Needs root, /dev/fuse and the corpus."""
    rounds = setup.effort.rounds
    with open_corpus((LARGE,), lambda text: print(f"  {text}", flush=True)) as corpus:
        built = [_flatten(corpus.references[LARGE], setup.directory) for _ in range(rounds)]
        store = ImageStore(setup.directory / "store")
        before = time.perf_counter()
        asyncio.run(pull_image(store, corpus.references[LARGE], NAME, parse_platform(""), None))
        pulled = time.perf_counter() - before
    rows = _build_rows(built, pulled)
    samples: dict[str, list[float]] = {}
    for tier, memory in (("disk cache", _SMALL), ("memory", _LARGE)):
        rates, waits = asyncio.run(_read_fuse(store, setup.directory, memory, rounds))
        promise = AtLeast(500)
        rows.append(Row(f"FUSE, chunks in the {tier}: sequential", statistics.median(rates), "MB/s", promise))
        samples[f"FUSE, {tier}: MB/s"] = rates
        if memory == _LARGE:
            rows += _random_rows("FUSE", waits)
    rates, waits = _read_nbd(store, setup.directory, rounds)
    rows.append(Row("NBD, chunks in memory: sequential", statistics.median(rates), "MB/s", AtLeast(500)))
    rows += _random_rows("NBD", waits)
    note = "MB/s of reads count stored bytes only, not the zeros between them; the page cache was emptied each time."
    return Measurement(name="image-blocks", rows=tuple(rows), samples=samples, notes=(note,))


def _build_rows(built: list[dict[str, float]], pulled: float) -> list[Row]:
    best = built[0]
    seconds = statistics.median(found["seconds"] for found in built)
    return [
        Row("flatten + chunk + encrypt, one core: of image", best["image"] / seconds / 1e6, "MB/s", AtLeast(150)),
        Row("flatten + chunk + encrypt, one core: of files", best["content"] / seconds / 1e6, "MB/s"),
        Row(
            "pulled from the registry into chunks on disk, two cores: of files", best["content"] / pulled / 1e6, "MB/s"
        ),
        Row("manifest / image", 100 * best["manifest"] / best["image"], "%", AtMost(0.02)),
    ]


def _random_rows(way: str, waits: list[float]) -> list[Row]:
    return [
        Row(f"{way}, chunks in memory: 4 KiB at random, p50", percentile(waits, 50), "us", AtMost(100)),
        Row(f"{way}, chunks in memory: 4 KiB at random, p99", percentile(waits, 99), "us"),
    ]


def _flatten(reference: str, spool: Path) -> dict[str, float]:
    core = str(max(os.sched_getaffinity(0)))
    command = ["taskset", "-c", core, sys.executable, "-m", "bench.images.flatten", reference, str(spool)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
    found: dict[str, float] = json.loads(done.stdout)
    return found


@contextlib.asynccontextmanager
async def _fuse_file(store: ImageStore, directory: Path, memory: int) -> AsyncIterator[tuple[Path, Manifest]]:
    """The image as a FUSE file, served by an agent with a disk cache and so much memory."""
    data, key = await store.sealed(NAME)
    manifest = directory / "manifest"
    manifest.write_bytes(data)
    cache = directory / "cache"
    service = BlockService(
        Configure(origin_directory=str(store.chunks), cache_directory=str(cache), memory_bytes=memory)
    )
    await service.start()
    try:
        digest = store.record(NAME).manifest
        path = directory / "disk"
        await service.serve(Serve(id=NAME, path=str(path), manifest_path=str(manifest), digest=digest, key=key.hex()))
        yield path, await store.manifest(NAME)
    finally:
        await service.close()


async def _read_fuse(store: ImageStore, directory: Path, memory: int, rounds: int) -> tuple[list[float], list[float]]:
    """MB/s of sequential passes, and microseconds of random reads past the page cache."""
    async with _fuse_file(store, directory, memory) as (path, manifest):
        stored = _stored_bytes(manifest)
        rates = []
        for number in range(rounds + 2):
            seconds = await asyncio.to_thread(_read_through, path, _CHUNKS * manifest.shape.chunk_size)
            if number >= 2:  # before, the caches fill
                rates.append(stored / seconds / 1e6)
        waits = await asyncio.to_thread(_read_at_random, path, _places(manifest))
    return rates, waits


def _stored_bytes(manifest: Manifest) -> int:
    return sum(row.length for row in manifest.rows() if row.position < _CHUNKS)


def _places(manifest: Manifest) -> list[int]:
    """Offsets of random blocks that hold data."""
    chooser = random.Random(1)  # places to read, the same in every run
    rows = [row for row in manifest.rows() if row.position < _CHUNKS and row.length >= 4096]
    chosen = chooser.choices(rows, k=_READS)
    return [row.position * manifest.shape.chunk_size + chooser.randrange(row.length // 4096) * 4096 for row in chosen]


def _read_through(path: Path, length: int) -> float:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        buffer = bytearray(_PIECE)
        before = time.perf_counter()
        while length > 0 and (count := os.readv(descriptor, [buffer])):
            length -= count
        return time.perf_counter() - before
    finally:
        os.close(descriptor)


def _read_at_random(path: Path, places: list[int]) -> list[float]:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECT)
    try:
        with mmap.mmap(-1, 4096) as buffer:  # O_DIRECT wants aligned memory
            return _timed(lambda place: os.preadv(descriptor, [buffer], place), places)
    finally:
        os.close(descriptor)


def _timed(read: Callable[[int], object], places: list[int]) -> list[float]:
    waits = []
    for place in places:
        before = time.perf_counter()
        read(place)
        waits.append((time.perf_counter() - before) * 1e6)
    return waits


def _is_listening(path: Path) -> bool:
    try:
        NbdClient(path).close()
    except OSError:  # bound and not listening yet is refused
        return False
    return True


def _read_nbd(store: ImageStore, directory: Path, rounds: int) -> tuple[list[float], list[float]]:
    """The same over a Unix socket, from `lambdad image serve`."""
    path = directory / "nbd.sock"
    command = [sys.executable, "-m", "lambdad", "image", "serve", NAME, "--nbd", "--socket", str(path)]
    command += ["--store", str(store.directory)]
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: server.poll() is not None or _is_listening(path), "the NBD server listens", 30.0)
        client = NbdClient(path)
        manifest = asyncio.run(store.manifest(NAME))
        # `image serve` keeps half a gigabyte in memory: a quarter of what FUSE is asked for fits for sure.
        places = [place for place in _places(manifest) if place < _CHUNKS // 4 * manifest.shape.chunk_size]
        end = _CHUNKS // 4 * manifest.shape.chunk_size
        stored = sum(row.length for row in manifest.rows() if row.position < _CHUNKS // 4)
        rates = []
        for number in range(rounds + 1):
            before = time.perf_counter()
            client.read_through(end, _PIECE, ahead=4)
            if number >= 1:
                rates.append(stored / (time.perf_counter() - before) / 1e6)
        waits = _timed(lambda place: client.read(place, 4096), places)
        client.close()
        return rates, waits
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)
