"""Launcher processes that misbehave, and pools of cells that never become ready."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from lambdad.linux.cgroup import Cgroup
from lambdad.sandbox import pool
from lambdad.sandbox.cell import Cell
from lambdad.sandbox.interface import SandboxError
from lambdad.sandbox.packets import PacketReader, packet_pair
from lambdad.sandbox.pool import CellPool, Launcher

DEADLINE_S = 60.0
CONFIG: dict[str, Any] = {"entry": None, "path": [], "stage": "/no/such/place", "kit": [], "layout": [], "filter": b""}


async def _why_not_ready(interpreter: str, config: dict[str, Any]) -> str:
    launcher = Launcher(asyncio.get_running_loop(), "name", interpreter, config)
    try:
        await asyncio.wait_for(asyncio.shield(launcher.ready), DEADLINE_S)
    except SandboxError as error:
        return str(error)
    finally:
        launcher.close()
        assert launcher.ended.done()
    raise AssertionError("it got ready")


def test_an_entry_that_cannot_be_loaded_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    entry = tmp_path / "entry.py"
    entry.write_text("def preload():\n    raise RuntimeError('broken on purpose')\n")
    why = asyncio.run(_why_not_ready(sys.executable, CONFIG | {"entry": str(entry)}))
    assert "the launcher name did not start: RuntimeError: broken on purpose" in why
    assert "Traceback" in capfd.readouterr().err


def test_an_interpreter_that_ends_at_once_is_told() -> None:
    assert "it ended" in asyncio.run(_why_not_ready("/bin/true", CONFIG))


def test_search_paths_come_before_the_standard_library(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "json.py").write_text("raise RuntimeError('found first')\n")
    entry = tmp_path / "entry.py"
    entry.write_text("import json\n")
    config = CONFIG | {"entry": str(entry), "path": [str(tmp_path)]}
    assert "found first" in asyncio.run(_why_not_ready(sys.executable, config))
    capfd.readouterr()


class Factory:
    """Makes cells whose launcher is dead, or fails itself."""

    def __init__(self) -> None:
        self.made = 0
        ours, theirs = packet_pair()
        theirs.close()
        self.reader = PacketReader(asyncio.get_running_loop(), ours, lambda data, fds: None)

    def make_dead_cell(self) -> Cell:
        self.made += 1
        return Cell(asyncio.get_running_loop(), Cgroup({}, {}), self.reader)

    def fail(self) -> Cell:
        self.made += 1
        raise OSError(28, "No space left on device")


def test_taking_tries_twice_and_then_says_what_is_wrong() -> None:
    async def scenario() -> None:
        factory = Factory()
        cells = CellPool(asyncio.get_running_loop(), factory.make_dead_cell, prepared=1)
        with pytest.raises(SandboxError, match="asking the launcher"):
            await asyncio.wait_for(cells.take(), DEADLINE_S)
        assert factory.made == 2
        factory.reader.close()

    asyncio.run(scenario())


def test_a_control_group_that_cannot_be_made_is_told() -> None:
    async def scenario() -> None:
        factory = Factory()
        cells = CellPool(asyncio.get_running_loop(), factory.fail, prepared=1)
        with pytest.raises(SandboxError, match="No space left"):
            await asyncio.wait_for(cells.take(), DEADLINE_S)
        factory.reader.close()

    asyncio.run(scenario())


def test_refilling_gives_up_on_the_first_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that cannot make cells is not asked again and again in the background."""

    async def scenario() -> None:
        factory = Factory()
        monkeypatch.setattr(pool, "_REFILL_DELAY_S", 0.0)
        for make in (factory.make_dead_cell, factory.fail):
            cells = CellPool(asyncio.get_running_loop(), make, prepared=5)
            before = factory.made
            cells.refill()
            for _ in range(20):
                await asyncio.sleep(0)
            assert factory.made == before + 1
            cells.close()
            cells.refill()
            for _ in range(20):
                await asyncio.sleep(0)
            assert factory.made == before + 1
        factory.reader.close()

    asyncio.run(scenario())
