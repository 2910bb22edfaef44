"""Snapshots of the native driver: forks that are strangers to each other, and a snapshot process that may do little."""

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
    "tell(draws=[random.random(), secrets.token_hex(), str(uuid.uuid4()), str(uuid.uuid1()), "
    "ssl.RAND_bytes(16).hex(), tempfile.mktemp()])"
)
REFUSED = """
libc = ctypes.CDLL(None, use_errno=True)
def attempt(name, *arguments):
    ctypes.set_errno(0)
    return [name, getattr(libc, name)(*arguments), ctypes.get_errno()]
def attempts():
    own = {name: os.open("/proc/self/ns/" + name, os.O_RDONLY) for name in ("user", "mnt", "net", "pid", "cgroup")}
    return [
        *[attempt("unshare", flag) for flag in (0x10000000, 0x20000, 0x20000000, 0x40000000, 0x7E020000)],
        attempt("setns", own["user"], 0x10000000), attempt("setns", own["user"], 0), attempt("setns", own["net"], 0),
        attempt("setns", own["cgroup"], 0x02000000), attempt("setns", os.pidfd_open(os.getpid()), 0x40020000),
        attempt("setns", own["mnt"], 0x20000), attempt("setns", own["net"], 0x40000000),
        attempt("mount", b"none", b"/tmp", b"tmpfs", 0, None), attempt("umount2", b"/tmp", 2),
        attempt("sethostname", b"x", 1), attempt("syscall", 429, -1, b"", -100, b"/tmp", 4),
        attempt("syscall", 430, b"tmpfs", 0),
    ]
"""


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
            waiting: list[asyncio.Future[Any]] = [
                asyncio.shield(snapshot.captured),
                asyncio.shield(snapshot.sandbox.exited),
            ]
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


def test_a_fork_sees_no_process_file_or_network_of_its_siblings(lab: Lab, runner: asyncio.Runner) -> None:
    after = """
own = open("/tmp/own", "w")
server = socket.socket(); server.bind(("127.0.0.1", 5000)); server.listen()
abstract = socket.socket(socket.AF_UNIX); abstract.bind(chr(0) + "sibling"); abstract.listen()
tell(pid=os.getpid(), visible=visible(), files=sorted(os.listdir("/tmp")), hostname=socket.gethostname(),
     interfaces=[name for _, name in socket.if_nameindex()], capabilities=capabilities(),
     ids=[os.getuid(), os.getgid()], descriptors=len(os.listdir("/proc/self/fd")), parent=os.getppid())
import time
while os.environ["STAYS"] == "yes": time.sleep(3600)
"""

    async def scenario() -> None:
        init = "open('/tmp/made', 'w').write('init')"
        async with captured(lab, init, after) as snapshot, contextlib.AsyncExitStack() as stack:
            first = await stack.enter_async_context(restored(lab, snapshot, STAYS="yes"))
            output = Output(first)
            told = json.loads(await output.wait_for(lambda data: data.endswith(b"\n")))
            output.close()
            second, result = await facts(lab, snapshot, STAYS="no")
            assert result.status == ExitStatus(0, None)
        for one in (told, second):
            pid = one.pop("pid")
            assert sorted(one.pop("visible")) == [str(pid)]
            assert one["files"] == ["made", "own"]
            assert one["interfaces"] == ["lo"]
            assert set(one["capabilities"]) == {"0" * 16}
            assert one["ids"] == [993, 990]
            assert one["parent"] == 1
        assert told == second

    runner.run(scenario())


def test_a_fork_goes_on_with_a_copy_of_the_files_that_were_open(lab: Lab, runner: asyncio.Runner) -> None:
    init = """
named = open("/tmp/named", "w+"); named.write("before,"); named.flush()
nameless = tempfile.TemporaryFile("w+"); nameless.write("before,"); nameless.flush()
"""
    after = """
for file in (named, nameless):
    file.write(os.environ["WORD"]); file.flush(); file.seek(0)
tell(named=named.read(), nameless=nameless.read(), again=open("/tmp/named").read())
"""

    async def scenario() -> None:
        async with captured(lab, init, after) as snapshot:
            for word in ("one", "two"):
                told, _ = await facts(lab, snapshot, WORD=word)
                assert told == dict.fromkeys(("named", "nameless", "again"), f"before,{word}")

    runner.run(scenario())


def test_a_snapshot_process_and_its_forks_can_make_and_enter_nothing_of_their_own(
    lab: Lab, runner: asyncio.Runner
) -> None:
    """The one call that the snapshot process has besides those of functions is refused with anything but a berth."""

    async def scenario() -> None:
        init = REFUSED + "tell(inside=attempts(), capabilities=capabilities())"
        async with captured(lab, init, REFUSED + "tell(inside=attempts())") as snapshot:
            before = json.loads(os.read(snapshot.sandbox.output, 65536))
            told, _ = await facts(lab, snapshot)
        assert all(result == -1 for _, result, _ in before["inside"] + told["inside"]), (before, told)
        # Inheritable, permitted, effective, bounding, ambient: CAP_SYS_CHROOT and CAP_SYS_ADMIN, over berths alone.
        assert before["capabilities"] == ["0" * 16, f"{0x240000:016x}", f"{0x240000:016x}", "0" * 16, "0" * 16]

    runner.run(scenario())


def test_a_program_that_a_snapshot_process_executes_has_no_capabilities(lab: Lab, runner: asyncio.Runner) -> None:
    run = "subprocess.run(['/bin/cat', '/proc/self/status'], capture_output=True)"
    init = f"import subprocess; tell(seen={run}.stdout.decode())"

    async def scenario() -> None:
        async with captured(lab, init) as snapshot:
            seen = json.loads(os.read(snapshot.sandbox.output, 65536))["seen"]
        found = [line.split()[1] for line in seen.splitlines() if line.startswith("Cap")]
        assert found == ["0" * 16] * 5

    runner.run(scenario())


def test_a_killed_snapshot_leaves_its_forks_alone_and_refuses_others(lab: Lab, runner: asyncio.Runner) -> None:
    after = "import time; tell(started=1); time.sleep(3600)"

    async def scenario() -> None:
        async with captured(lab, "", after) as snapshot, restored(lab, snapshot) as sandbox:
            output = Output(sandbox)
            await output.wait_for(lambda data: b"started" in data)
            snapshot.sandbox.signal(signal.SIGKILL)
            async with asyncio.timeout(DEADLINE_S):
                assert await asyncio.shield(snapshot.sandbox.exited) == ExitStatus(None, 9)
            assert not snapshot.is_usable
            volume = await snapshot.create_volume()
            with pytest.raises(SandboxError, match="not there any more"):
                await lab.driver.launch("late", lab.spec(Restore(snapshot.name)), volume)
            await volume.close()
            assert not sandbox.exited.done()
            sandbox.signal(signal.SIGTERM)
            async with asyncio.timeout(DEADLINE_S):
                assert await asyncio.shield(sandbox.exited) == ExitStatus(None, signal.SIGTERM)
            output.close()

    runner.run(scenario())


@pytest.mark.parametrize(
    "misdeed", ["os._exit(0)", "place.send(b'here 1'); place.recv(9)", "place.send(b'here 99999')"]
)
def test_a_fork_that_lies_or_ends_early_is_an_error_and_leaves_nothing(
    misdeed: str, lab: Lab, runner: asyncio.Runner
) -> None:
    """A snapshot process is a function's own code: it may send anything at all into a berth, or nothing."""
    init = f"""
def become(libc, channel, orders, fds):
    place = socket.socket(fileno=fds[-1])
    {misdeed}
    os._exit(3)
client._become_a_sandbox = become
"""

    async def scenario() -> None:
        async with captured(lab, init) as snapshot:
            volume = await snapshot.create_volume()
            if "here 1'" in misdeed:  # its own process 1 is all that this names: nothing is gained
                sandbox = await lab.driver.launch("liar", lab.spec(Restore(snapshot.name)), volume)
                await sandbox.destroy()
            else:
                with pytest.raises(SandboxError):
                    await lab.driver.launch("liar", lab.spec(Restore(snapshot.name)), volume)
            await volume.close()

    runner.run(scenario())


HANGING = """
def hang(*arguments):
    import time
    os.write(1, b"hangs\\n")
    time.sleep(3600)
client.{} = hang
"""


@pytest.mark.parametrize(
    ("victim", "hangs_in"), [("process 1 of the berth", "_become_a_sandbox"), ("the snapshot process", "_check")]
)
def test_a_kill_in_the_middle_of_a_restore_is_an_error_and_leaves_nothing(
    victim: str, hangs_in: str, lab: Lab, runner: asyncio.Runner
) -> None:
    """The fork is there and not yet in its place, or about to be made: what it depends on is killed."""

    async def scenario() -> None:
        assert isinstance(lab.driver, NativeDriver)
        async with captured(lab, HANGING.format(hangs_in)) as snapshot:
            output = Output(snapshot.sandbox)
            volume = await snapshot.create_volume()
            loop = asyncio.get_running_loop()
            restoring = loop.create_task(lab.driver.launch("killed", lab.spec(Restore(snapshot.name)), volume))
            await output.wait_for(lambda data: b"hangs\n" in data)
            if victim == "the snapshot process":
                snapshot.sandbox.signal(signal.SIGKILL)
            else:
                [berth] = lab.driver._snapshots[snapshot.name]._berths
                signal.pidfd_send_signal(berth._init_pidfd, signal.SIGKILL)
            async with asyncio.timeout(DEADLINE_S):
                with pytest.raises(SandboxError):
                    await restoring
            await volume.close()
            output.close()
            if victim == "process 1 of the berth":
                assert not lab.driver._snapshots[snapshot.name]._berths, "nothing of it is left"
        assert snapshot.name not in lab.driver._snapshots

    runner.run(scenario())


def test_a_restored_sandbox_is_in_a_group_of_its_own_with_its_own_limits(lab: Lab, runner: asyncio.Runner) -> None:
    async def scenario() -> None:
        after = "tell(started=1)\nheap = []\nwhile True: heap.append(bytearray(os.urandom(1 << 20)))"
        async with captured(lab, "", after) as snapshot:
            _, result = await facts(lab, snapshot)
            assert result.status == ExitStatus(None, 9)
            assert snapshot.is_usable
            assert snapshot.sandbox.usage().oom_kills == 0

    runner.run(scenario())
