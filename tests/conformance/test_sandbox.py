"""Every sandbox driver against the one contract, and the native one with what it alone promises of its life."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lambdad.sandbox.interface import ExitStatus, SandboxError
from lambdad.sandbox.native import NativeDriver
from lambdad.sandbox.spec import Bind, ZygoteSpec
from lambdad.testing.conformance.sandbox import CHECKS, DEADLINE_S, Check, Lab, shell
from lambdad.testing.conformance.sandbox_programs import PROGRAM_CHECKS
from lambdad.testing.probes import can_make_namespaces, can_mount_loop, can_mount_overlay, skip_unless

pytestmark = [
    pytest.mark.kernel,
    skip_unless(can_make_namespaces(), can_mount_loop(), can_mount_overlay()),
]

ENTRY = """
import os
import sys

def preload():
    global json
    import json

def run():
    print(json.loads('"zygote"'), os.environ["WORD"], os.getcwd())
    raise SystemExit(0)
"""


def make_zygote(directory: Path) -> ZygoteSpec:
    entry = directory / "entry.py"
    entry.write_text(ENTRY)
    prefix = sys.base_prefix
    return ZygoteSpec(
        name="python",
        interpreter=sys._base_executable,
        entry=str(entry),
        binds=(Bind(prefix, prefix),),  # type: ignore[attr-defined]
    )


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def lab(runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    workspace = tmp_path_factory.mktemp("sandboxes")
    workspace.chmod(0o755)
    driver = NativeDriver(workspace / "state", zygotes=[make_zygote(workspace)])
    runner.run(driver.open())
    yield Lab(driver, workspace, zygote="python")
    runner.run(driver.close())


@pytest.mark.parametrize("check", (*CHECKS, *PROGRAM_CHECKS), ids=lambda check: check.__name__)
def test_the_native_driver_keeps_the_contract(check: Check, lab: Lab, runner: asyncio.Runner) -> None:
    runner.run(check(lab))  # type: ignore[arg-type]


def test_closing_destroys_what_is_open_and_may_be_done_twice(tmp_path: Path) -> None:
    async def scenario() -> None:
        driver = NativeDriver(tmp_path / "state", zygotes=[])
        await driver.open()
        lab = Lab(driver, tmp_path)
        sandbox = await lab.launch(shell("exec sleep 1000"), await lab.volume())
        async with asyncio.timeout(DEADLINE_S):
            await driver.close()
            await driver.close()
            assert await sandbox.exited == ExitStatus(None, 9)
        await sandbox.destroy()
        with pytest.raises(SandboxError, match="not open"):
            await driver.create_volume(512)

    asyncio.run(scenario())


def test_a_driver_can_be_opened_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        driver = NativeDriver(tmp_path / "state", zygotes=[])
        for _ in range(2):
            await driver.open()
            lab = Lab(driver, tmp_path)
            volume = await lab.volume()
            sandbox = await lab.launch(shell("exit 0"), volume)
            assert await asyncio.wait_for(sandbox.exited, DEADLINE_S) == ExitStatus(0, None)
            await driver.close()
            await sandbox.destroy()

    asyncio.run(scenario())
