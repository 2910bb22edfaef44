"""The worker's end of the socket, without FUSE: what it makes of a supervisor that refuses, dies or never was."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from lambdad.block.interface import BlockError
from lambdad.block.messages import Configure, Serve
from lambdad.block.service import BlockService
from lambdad.testing.waiting import wait_until_async

DEADLINE_S = 60.0


def run(test: Callable[[BlockService], Coroutine[Any, Any, None]], tmp_path: Path) -> None:
    async def bounded() -> None:
        service = BlockService(Configure(origin_directory=str(tmp_path / "origin")))
        async with asyncio.timeout(2 * DEADLINE_S):
            await service.start()
            try:
                await test(service)
            finally:
                await service.close()
                await service.close()

    asyncio.run(bounded())


def request(path: str) -> Serve:
    return Serve(id="m", path=path, manifest_path="/nowhere", digest="0" * 64, key="00" * 32)


def test_a_file_that_cannot_be_mounted_is_refused_with_the_reason(tmp_path: Path) -> None:
    async def test(service: BlockService) -> None:
        with pytest.raises(BlockError, match="No such file"):
            await service.serve(request(str(tmp_path / "no" / "folder" / "disk")))
        assert service.lost == ""

    run(test, tmp_path)


def test_a_supervisor_that_dies_fails_what_waits_and_all_that_comes_after(tmp_path: Path) -> None:
    async def test(service: BlockService) -> None:
        assert service.pid is not None
        told: list[str] = []
        service.on_lost = lambda: told.append(service.lost)
        os.kill(service.pid, signal.SIGKILL)
        with pytest.raises(BlockError, match="supervisor"):
            await service.serve(request(str(tmp_path / "no" / "disk")))
        await wait_until_async(lambda: bool(service.lost), "the service notices", DEADLINE_S)
        with pytest.raises(BlockError, match="supervisor"):
            await service.serve(request(str(tmp_path / "no" / "disk")))
        service.drop("m")
        service.started("m")
        assert told == [service.lost], "who holds images hears of it once"

    run(test, tmp_path)


def test_a_service_that_was_never_started_closes() -> None:
    asyncio.run(BlockService(Configure()).close())
