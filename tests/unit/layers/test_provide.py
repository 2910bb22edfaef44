"""Unpacked code: made once, whole or not at all, kept while in use."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from lambdad.layers.archive import ArchiveError
from lambdad.layers.provide import CodeStore
from lambdad.model.environment import Code
from lambdad.store.blobs import BlobNotFound, DirectoryBlobs
from lambdad.testing.control_plane import make_zip


class GatedBlobs(DirectoryBlobs):
    """Counts look-ups, and makes them wait for the gate."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.looked_up = 0
        self.gate = threading.Event()
        self.gate.set()

    def path(self, sha: str) -> Path | None:
        self.looked_up += 1
        assert self.gate.wait(60)
        return super().path(sha)


class PathlessBlobs(DirectoryBlobs):
    """A store that has the bytes but no file of its own."""

    def path(self, sha: str) -> Path | None:
        return None


class LateExecutor(Executor):
    """Works at once, and says so when it is told to; the first piece of work, the stock-taking, at once."""

    def __init__(self) -> None:
        self._waiting: list[Callable[[], None]] | None = None

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        result = fn(*args, **kwargs)
        if self._waiting is None:
            self._waiting = []
            future.set_result(result)
        else:
            self._waiting.append(lambda: future.set_result(result))
        return future

    def tell(self) -> None:
        for tell in self._waiting or ():
            tell()


@asynccontextmanager
async def open_store(root: Path, blobs: DirectoryBlobs, size_max: int = 10**9) -> AsyncIterator[CodeStore]:
    with ThreadPoolExecutor(2) as executor:
        store = CodeStore(root / "trees", blobs, executor, size_max)
        await store.open()
        yield store


def put(blobs: DirectoryBlobs, content: str) -> Code:
    data = make_zip({"file": content})
    return Code(sha256=blobs.put(data), size=len(data))


def run(body: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await asyncio.wait_for(body(), 60)

    asyncio.run(main())


def test_a_tree_lies_under_its_digest(tmp_path: Path) -> None:
    async def body() -> None:
        blobs = DirectoryBlobs(tmp_path / "blobs")
        code = put(blobs, "content")
        async with open_store(tmp_path, blobs) as store:
            directory = Path(await store.provide(code))
            assert directory == tmp_path / "trees" / code.sha256
            assert (directory / "file").read_text() == "content"

    run(body)


def test_many_who_want_one_tree_make_it_once(tmp_path: Path) -> None:
    async def body() -> None:
        blobs = GatedBlobs(tmp_path / "blobs")
        code = put(blobs, "content")
        async with open_store(tmp_path, blobs) as store:
            directories = await asyncio.gather(*(store.provide(code) for _ in range(10)))
            assert len(set(directories)) == 1
            await store.provide(code)
            assert blobs.looked_up == 1

    run(body)


def test_others_get_their_tree_though_the_first_gave_up(tmp_path: Path) -> None:
    async def body() -> None:
        blobs = GatedBlobs(tmp_path / "blobs")
        code = put(blobs, "content")
        blobs.gate.clear()
        async with open_store(tmp_path, blobs) as store, asyncio.TaskGroup() as tasks:
            first = tasks.create_task(store.provide(code))
            second = tasks.create_task(store.provide(code))
            await asyncio.sleep(0)
            first.cancel()
            blobs.gate.set()
            assert Path(await second).is_dir()
        assert blobs.looked_up == 1

    run(body)


def test_everybody_hears_of_a_failure_and_the_next_tries_again(tmp_path: Path) -> None:
    async def body() -> None:
        blobs = DirectoryBlobs(tmp_path / "blobs")
        bad = Code(sha256=blobs.put(b"not a zip"), size=9)
        missing = Code(sha256="ab" * 32, size=1)
        async with open_store(tmp_path, blobs) as store:
            results = await asyncio.gather(*(store.provide(bad) for _ in range(3)), return_exceptions=True)
            assert [type(result) for result in results] == [ArchiveError] * 3
            with pytest.raises(BlobNotFound):
                await store.provide(missing)
            assert list((tmp_path / "trees").iterdir()) == []

    run(body)


def test_a_store_without_files_is_copied_from(tmp_path: Path) -> None:
    async def body() -> None:
        blobs = PathlessBlobs(tmp_path / "blobs")
        code = put(blobs, "content")
        async with open_store(tmp_path, blobs) as store:
            assert (Path(await store.provide(code)) / "file").read_text() == "content"

    run(body)


def test_trees_survive_a_restart_and_half_made_ones_do_not(tmp_path: Path) -> None:
    async def body() -> None:
        blobs = GatedBlobs(tmp_path / "blobs")
        code = put(blobs, "content")
        async with open_store(tmp_path, blobs) as store:
            await store.provide(code)
        for leftover in (".new-1", ".old-1"):
            (tmp_path / "trees" / leftover / "tree").mkdir(parents=True)
        (tmp_path / "trees" / ("cd" * 32)).mkdir()
        async with open_store(tmp_path, blobs) as store:
            names = {path.name for path in (tmp_path / "trees").iterdir()}
            assert names == {code.sha256, f"{code.sha256}.note"}
            await store.provide(code)
        assert blobs.looked_up == 1

    run(body)


def test_trees_of_an_earlier_boot_are_made_anew(tmp_path: Path) -> None:
    """They were not forced to disk: a machine that lost power may have empty files in them."""

    async def body() -> None:
        blobs = DirectoryBlobs(tmp_path / "blobs")
        code = put(blobs, "content")
        async with open_store(tmp_path, blobs) as store:
            directory = Path(await store.provide(code))
        directory.with_suffix(".note").write_text("7 another-boot")
        (directory / "file").write_text("")
        async with open_store(tmp_path, blobs) as store:
            assert (Path(await store.provide(code)) / "file").read_text() == "content"

    run(body)


def test_the_least_recently_used_tree_makes_room(tmp_path: Path) -> None:
    async def body() -> None:
        blobs = DirectoryBlobs(tmp_path / "blobs")
        codes = [put(blobs, str(number) * 100) for number in range(3)]
        async with open_store(tmp_path, blobs, size_max=200) as store:
            directories = [Path(await store.provide(code)) for code in codes[:2]]
            await store.provide(codes[0])
            directories.append(Path(await store.provide(codes[2])))
            assert [directory.exists() for directory in directories] == [True, False, True]
            assert (Path(await store.provide(codes[1])) / "file").read_text() == "1" * 100

    run(body)


def test_a_tree_in_use_is_never_removed(tmp_path: Path) -> None:
    async def body() -> None:
        blobs = DirectoryBlobs(tmp_path / "blobs")
        codes = [put(blobs, str(number) * 100) for number in range(3)]
        async with open_store(tmp_path, blobs, size_max=100) as store:
            held = Path(await store.acquire(codes[0]))
            await store.acquire(codes[0])
            for code in codes[1:]:
                await store.provide(code)
            assert (held / "file").read_text() == "0" * 100
            store.release(codes[0])
            await store.provide(codes[1])
            assert held.exists()
            store.release(codes[0])
            await store.provide(codes[2])
            assert not held.exists()

    run(body)


def test_who_comes_between_the_making_and_its_news_waits_and_does_not_spin(tmp_path: Path) -> None:
    """Once a whole worker stood still in that moment. A loop that never yields is ended by nothing but a signal."""

    def still_spinning(number: int, frame: FrameType | None) -> None:
        raise AssertionError("the event loop stands still")

    async def scenario() -> None:
        blobs, executor = DirectoryBlobs(tmp_path / "blobs"), LateExecutor()
        code = put(blobs, "content")
        store = CodeStore(tmp_path / "trees", blobs, executor)
        await store.open()
        loop = asyncio.get_running_loop()
        first = loop.create_task(store.acquire(code))
        await asyncio.sleep(0)
        executor.tell()
        second = loop.create_task(store.acquire(code))
        assert await first == await second

    before = signal.signal(signal.SIGALRM, still_spinning)
    signal.alarm(30)
    try:
        run(scenario)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
