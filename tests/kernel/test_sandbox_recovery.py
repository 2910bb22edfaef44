"""The native driver leaves nothing on the host after `close`, and nothing of a killed worker after the next `open`."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from lambdad.linux.cgroup import CgroupTree
from lambdad.sandbox.interface import ExitStatus, SandboxError
from lambdad.sandbox.native import NativeDriver, tree_name
from lambdad.testing.conformance.sandbox import DEADLINE_S, Lab, finish, run_script, shell, started
from lambdad.testing.leftovers import describe_leftovers, list_holdings
from lambdad.testing.probes import can_make_namespaces, can_mount_loop, has_cgroup, is_root, skip_unless
from lambdad.testing.waiting import wait_until, wait_until_async

pytestmark = [
    pytest.mark.kernel,
    skip_unless(is_root(), can_make_namespaces(), can_mount_loop(), has_cgroup("freezer")),
]

WORKER = """
import asyncio, sys
from pathlib import Path
from lambdad.sandbox.native import NativeDriver
from lambdad.testing.conformance.sandbox import Lab, shell

async def main():
    workspace = Path(sys.argv[1])
    driver = NativeDriver(workspace / "state", zygotes=[])
    await driver.open()
    lab = Lab(driver, workspace)
    write = "dd if=/dev/zero of=/tmp/file bs=1M count=20; exec sleep 1000"
    for script in ("exec sleep 1000", "while :; do :; done", write):
        sandbox = await lab.launch(shell(script), await lab.volume())
    (await lab.launch(shell("exec sleep 1000"), await lab.volume())).freeze()
    print("ready", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def test_closing_leaves_nothing(tmp_path: Path) -> None:
    async def scenario() -> list[str]:
        driver = NativeDriver(tmp_path / "state", zygotes=[])
        await driver.open()
        lab = Lab(driver, tmp_path)
        await lab.launch(shell("exec sleep 1000"), await lab.volume())
        held = list_holdings(tmp_path / "state")
        assert len(held.processes) > 3
        await driver.close()
        return describe_leftovers(tmp_path / "state", held) + [path.name for path in (tmp_path / "state").iterdir()]

    assert asyncio.run(scenario()) == []


def test_a_killed_worker_takes_its_running_sandboxes_along(tmp_path: Path) -> None:
    """Not the frozen one: that is what the next `open` is for."""
    worker = _start_worker(tmp_path)
    running = list_holdings(tmp_path / "state").processes
    worker.kill()
    worker.wait()
    frozen = 2  # process 1 and the runtime process of the frozen sandbox
    wait_until(lambda: len(_alive(running)) <= frozen, "the sandboxes of a killed worker end")
    _recover(tmp_path)


def test_the_next_open_removes_what_a_killed_worker_left(tmp_path: Path) -> None:
    worker = _start_worker(tmp_path)
    held = list_holdings(tmp_path / "state")
    assert held.cgroups
    worker.kill()
    worker.wait()
    _recover(tmp_path)
    wait_until(lambda: describe_leftovers(tmp_path / "state", held) == [], "everything of the killed worker is gone")


def test_recovery_leaves_other_drivers_alone(tmp_path: Path) -> None:
    async def scenario() -> str:
        one, two = (NativeDriver(tmp_path / name / "state", zygotes=[]) for name in ("one", "two"))
        await one.open()
        lab = Lab(one, tmp_path)
        async with started(lab, shell("read line; exec sleep 1000")) as sandbox:
            await two.open()
            await two.close()
            assert not sandbox.exited.done()
            text = (await run_script(lab, "echo works")).text
        await one.close()
        return text

    assert asyncio.run(scenario()) == "works\n"


def test_two_drivers_on_one_directory_are_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        one, two = (NativeDriver(tmp_path / "state", zygotes=[]) for _ in range(2))
        await one.open()
        with pytest.raises(SandboxError, match="in use by another worker"):
            await two.open()
        await two.close()
        assert (await run_script(Lab(one, tmp_path), "echo works")).text == "works\n"
        await one.close()

    asyncio.run(scenario())


def test_a_launcher_that_dies_is_replaced_and_its_sandboxes_live_on(tmp_path: Path) -> None:
    async def scenario(driver: NativeDriver, lab: Lab) -> None:
        async with started(lab, shell("exec sleep 1000")) as sandbox:
            _kill_helper(tmp_path / "state", "launcher.py")
            for _ in range(5):
                assert (await run_script(lab, "echo works")).text == "works\n"
            assert not sandbox.exited.done()

    _with_driver(tmp_path, scenario)


def test_a_mounter_that_dies_is_replaced(tmp_path: Path) -> None:
    async def scenario(driver: NativeDriver, lab: Lab) -> None:
        old = await lab.volume()
        async with started(
            lab, shell("while read line; do :; done; echo on > /tmp/file; exec cat /tmp/file")
        ) as sandbox:
            _kill_helper(tmp_path / "state", "lambdad.sandbox.mounter")
            assert (await finish(sandbox)).text == "on\n"
        for _ in range(2):  # the first that asks may be the one to find out
            try:
                assert (await run_script(lab, "echo works")).text == "works\n"
            except SandboxError as error:
                assert "has ended" in str(error)
        with pytest.raises(SandboxError, match="went away"):
            await lab.launch(shell("true"), old)

    _with_driver(tmp_path, scenario)


def test_process_one_that_dies_is_a_killed_sandbox(tmp_path: Path) -> None:
    async def scenario(driver: NativeDriver, lab: Lab) -> None:
        async with started(lab, shell("exec sleep 1000")) as sandbox:
            pipe = os.readlink(f"/proc/self/fd/{sandbox.output}")
            (runtime,) = [pid for pid in _numbers() if _link(f"/proc/{pid}/fd/1") == pipe]
            status = Path(f"/proc/{runtime}/status").read_text()
            init = int(status.partition("PPid:")[2].split()[0])
            os.kill(init, signal.SIGKILL)
            assert await asyncio.wait_for(asyncio.shield(sandbox.exited), DEADLINE_S) == ExitStatus(None, 9)

    _with_driver(tmp_path, scenario)


def test_ten_rounds_leave_no_descriptor_open(tmp_path: Path) -> None:
    async def scenario(driver: NativeDriver, lab: Lab) -> None:
        counts = set()
        for _ in range(10):
            assert (await run_script(lab, "exit 1")).status == ExitStatus(1, None)
            # The prepared cells hold descriptors: count when they are complete.
            await wait_until_async(lambda: _prepared_cells(tmp_path) == 2, "two cells are ready")
            await asyncio.sleep(0)
            counts.add(len(os.listdir("/proc/self/fd")))
        assert max(counts) - min(counts) <= 6, counts

    _with_driver(tmp_path, scenario)


def _prepared_cells(workspace: Path) -> int:
    return len(CgroupTree.find(tree_name(workspace / "state")).existing())


def _with_driver(workspace: Path, scenario: Callable[[NativeDriver, Lab], Awaitable[None]]) -> None:
    async def run() -> None:
        driver = NativeDriver(workspace / "state", zygotes=[])
        await driver.open()
        try:
            await scenario(driver, Lab(driver, workspace))
        finally:
            await driver.close()

    asyncio.run(run())


def _start_worker(workspace: Path) -> subprocess.Popen[str]:
    worker = subprocess.Popen([sys.executable, "-c", WORKER, str(workspace)], stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    with worker.stdout:
        assert worker.stdout.readline() == "ready\n"
    return worker


def _recover(workspace: Path) -> None:
    async def scenario() -> None:
        driver = NativeDriver(workspace / "state", zygotes=[])
        await driver.open()
        assert (await run_script(Lab(driver, workspace), "echo works")).text == "works\n"
        await driver.close()

    asyncio.run(scenario())


def _kill_helper(state_dir: Path, name: str) -> None:
    """Kill the process of the driver's whose command line names both."""
    for pid in _numbers():
        words = _command_line(pid)
        is_named = any(word.startswith(str(state_dir)) for word in words) and any(word.endswith(name) for word in words)
        if is_named and _parent(pid) == os.getpid():
            os.kill(pid, signal.SIGKILL)
            return
    raise AssertionError(f"no {name} is running")


def _command_line(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return []


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _numbers() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _alive(pids: frozenset[int]) -> list[int]:
    def is_alive(pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            return False

    return [pid for pid in pids if is_alive(pid)]
