"""Snapshots of the native driver: forks that are strangers to each other, and a snapshot process that may do no more."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from lambdad.linux.process import pid_of
from lambdad.sandbox.interface import ExitStatus, Sandbox, SandboxError, Snapshot
from lambdad.sandbox.native import NativeDriver
from lambdad.sandbox.spec import Bind, Fork, Restore, ZygoteSpec
from lambdad.testing.conformance.sandbox import DEADLINE_S, Lab, Output, Result, finish
from lambdad.testing.probes import can_make_namespaces, can_mount_loop, is_root, skip_unless

pytestmark = [pytest.mark.kernel, skip_unless(is_root(), can_make_namespaces(), can_mount_loop())]

CLIENT = Path(__file__).parents[2] / "src/lambdad/runtimes/python/snapshot.py"
ENTRY = """
import os

def preload():
    global json, lambdad_snapshot
    import ctypes
    import json
    import lambdad_snapshot

def run():
    scope = {"json": json, "client": lambdad_snapshot}
    exec(os.environ["INIT"], scope)
    channel = lambdad_snapshot.find_channel()
    lambdad_snapshot.wait_and_fork(channel)
    exec(os.environ["AFTER"], scope)
    os._exit(0)
"""
FACTS = """
import os, random, secrets, ssl, uuid, tempfile, socket, ctypes
def visible():
    return [name for name in os.listdir("/proc") if name.isdigit()]
def capabilities():
    return [line.split()[1] for line in open("/proc/self/status") if line.startswith("Cap")]
def tell(**facts):
    os.write(1, (json.dumps(facts) + "\\n").encode())
"""
DRAWS = (
    "tell(draws=[random.random(), secrets.token_hex(), str(uuid.uuid4()), ssl.RAND_bytes(16).hex(), str(uuid.uuid1())])"
)


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def lab(runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    workspace = tmp_path_factory.mktemp("snapshots")
    workspace.chmod(0o755)
    (workspace / "entry.py").write_text(ENTRY)
    (workspace / "lambdad_snapshot.py").write_text(CLIENT.read_text())
    zygote = ZygoteSpec(
        name="python",
        interpreter=sys._base_executable,  # type: ignore[attr-defined]
        entry=str(workspace / "entry.py"),
        binds=(Bind(sys.base_prefix, sys.base_prefix),),
        path=(str(workspace),),
    )
    driver = NativeDriver(workspace / "state", zygotes=[zygote], prepared=1)
    runner.run(driver.open())
    assert driver.why_no_snapshots == ""
    yield Lab(driver, workspace, zygote="python")
    runner.run(driver.close())


_numbers = iter(range(1000))


@contextlib.asynccontextmanager
async def captured(lab: Lab, init: str, after: str = "") -> AsyncIterator[Snapshot]:
    volume = await lab.volume()
    environment = {"INIT": FACTS + init, "AFTER": after, "PATH": "/usr/bin:/bin"}
    spec = lab.spec(Fork("python"), environment=environment)
    snapshot = await lab.driver.launch_snapshot(f"s{next(_numbers)}", spec, volume)
    try:
        async with asyncio.timeout(DEADLINE_S):
            waiting = [asyncio.shield(snapshot.captured), asyncio.shield(snapshot.sandbox.exited)]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if not snapshot.captured.done():
                with contextlib.suppress(BlockingIOError):
                    pytest.fail(os.read(snapshot.sandbox.output, 65536).decode())
            await snapshot.seal()
        yield snapshot
    finally:
        async with asyncio.timeout(DEADLINE_S):
            await snapshot.destroy()
        await volume.close()


@contextlib.asynccontextmanager
async def restored(lab: Lab, snapshot: Snapshot, **environment: str) -> AsyncIterator[Sandbox]:
    volume = await snapshot.create_volume()
    try:
        spec = lab.spec(Restore(snapshot.name), mounts=(), environment=environment)
        sandbox = await lab.driver.launch(f"r{next(_numbers)}", spec, volume)
        try:
            yield sandbox
        finally:
            await sandbox.destroy()
    finally:
        await volume.close()


async def facts(lab: Lab, snapshot: Snapshot, **environment: str) -> tuple[dict[str, Any], Result]:
    async with restored(lab, snapshot, **environment) as sandbox:
        result = await finish(sandbox)
    merged: dict[str, Any] = {}
    for line in result.text.splitlines():
        assert line.startswith("{"), result.text
        merged |= json.loads(line)
    return merged, result


def test_forks_of_one_snapshot_draw_different_numbers_and_keep_what_was_initialised(
    lab: Lab, runner: asyncio.Runner
) -> None:
    async def scenario() -> None:
        after = DRAWS + "; tell(made=made, word=os.environ['WORD'], directory=os.getcwd())"
        async with captured(lab, "made = random.random(); ssl.RAND_bytes(1)", after) as snapshot:
            told = [(await facts(lab, snapshot, WORD=str(number)))[0] for number in range(3)]
        assert len({one["made"] for one in told}) == 1
        assert [one["word"] for one in told] == ["0", "1", "2"]
        assert {one["directory"] for one in told} == {"/var/task"}
        for draws in zip(*(one["draws"] for one in told), strict=True):
            assert len(set(draws)) == 3, draws

    runner.run(scenario())
