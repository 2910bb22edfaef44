"""Objects in a directory; S3 is tested through the origin's conformance suite and here for what chunks do not use."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lambdad.chunks import objects as module
from lambdad.chunks.interface import StoreFull, StoreUnavailable
from lambdad.chunks.objects import DirectoryObjects, ObjectMissing, Objects, check_path, open_s3
from lambdad.chunks.s3_credentials import GivenKeys
from lambdad.testing.chunk_servers import free_port, run_s3

KEYS = GivenKeys("t", "t")
MOTO = shutil.which("moto_server", path=f"{Path(sys.executable).parent}:/usr/bin:/usr/local/bin")


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    if MOTO is None:
        pytest.skip("no moto_server beside the interpreter: install moto[server] to test S3")
    with run_s3(MOTO) as server:
        yield server.endpoint


@pytest.fixture(params=["directory", "s3"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    if request.param == "directory":
        return DirectoryObjects(tmp_path / "objects")
    endpoint = request.getfixturevalue("s3_endpoint")
    return open_s3("chunks", endpoint=endpoint, prefix=tmp_path.name, keys=KEYS, timeout_s=60)


def test_objects_are_put_replaced_listed_and_deleted(objects: Objects) -> None:
    async def run() -> None:
        await objects.put("a/b/one", b"1")
        await objects.put("a/b/one", b"11")
        await objects.put("a/c", b"2")
        await objects.put("ab/d", b"3")
        assert await objects.get("a/b/one") == b"11"
        assert await objects.head("a/b/one") == 2
        assert sorted([path async for path in objects.list("a")]) == ["a/b/one", "a/c"]
        assert [path async for path in objects.list("nothing")] == []
        await objects.delete("a/b/one")
        await objects.delete("a/b/one")
        assert await objects.head("a/b/one") is None
        with pytest.raises(ObjectMissing):
            await objects.get("a/b/one")
        await objects.close()

    asyncio.run(run())


def test_only_one_of_many_creates(objects: Objects) -> None:
    async def run() -> None:
        made = await asyncio.gather(*(objects.create("only/one", str(number).encode()) for number in range(8)))
        assert sum(made) == 1
        assert await objects.get("only/one") == str(made.index(True)).encode()

    asyncio.run(run())


@pytest.mark.parametrize(
    "path", ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/", ".tmp-x", "a\0b", "a b", "a/.x"]
)
def test_paths_that_could_lead_elsewhere_are_refused(path: str) -> None:
    with pytest.raises(ValueError, match="not a path"):
        check_path(path)


def test_a_full_disk_is_told_from_a_broken_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    objects = DirectoryObjects(tmp_path)
    number = [28]

    def fail(*_: object, **__: object) -> bool:
        raise OSError(number[0], os.strerror(number[0]))

    monkeypatch.setattr(module, "write_atomically", fail)
    with pytest.raises(StoreFull):
        asyncio.run(objects.put("x", b""))
    number[0] = 5
    with pytest.raises(StoreUnavailable):
        asyncio.run(objects.put("x", b""))


def test_an_s3_that_is_not_there_is_unavailable() -> None:
    objects = open_s3("b", endpoint=f"http://127.0.0.1:{free_port()}", keys=KEYS)

    async def run() -> None:
        for operation in (objects.get("x"), objects.head("x"), objects.put("x", b""), objects.delete("x")):
            with pytest.raises(StoreUnavailable):
                await operation
        with pytest.raises(StoreUnavailable):
            assert [path async for path in objects.list("x")] == []

    asyncio.run(run())
