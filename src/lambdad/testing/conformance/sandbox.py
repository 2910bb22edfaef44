"""What every `SandboxDriver` promises, sentence by sentence, as checks against a driver that is open.

Functions are shell scripts of the host's /bin/sh, so a driver under test must offer `HostRoot`. Each check leaves the
driver as it found it. `Lab` and the helpers below it serve other suites about sandboxes, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lambdad.sandbox.interface import (
    RUNTIME_API_ADDRESS,
    ExitStatus,
    Program,
    Sandbox,
    SandboxDriver,
    SandboxError,
    StartError,
    Volume,
)
from lambdad.sandbox.spec import Bind, DirectoryRoot, Exec, Fork, Overlay, Restore, SandboxSpec

DEADLINE_S = 60.0
"""For events that come at once on an idle machine."""
MEBIBYTE = 1024 * 1024

_OUTPUT_MAX = 4 * MEBIBYTE


@dataclass(slots=True)
class Lab:
    """driver: open. workspace: a host directory for what sandboxes are shown; task: in it, what /var/task shows.

    zygote: name of one whose `run` prints `zygote`, the environment variable WORD and the working directory.
    """

    driver: SandboxDriver
    workspace: Path
    zygote: str | None = None
    _names: int = field(default=0)

    @property
    def task(self) -> Path:
        directory = self.workspace / "task"
        directory.mkdir(exist_ok=True)
        return directory

    def new_directory(self) -> Path:
        self._names += 1
        directory = self.workspace / f"directory-{self._names}"
        directory.mkdir()
        return directory

    def spec(self, start: Exec | Fork | Restore, **changes: Any) -> SandboxSpec:
        """An ordinary spec; changes: fields of `SandboxSpec`."""
        fields: dict[str, Any] = {
            "start": start,
            "mounts": (Bind(str(self.task), "/var/task"),),
            "environment": {"PATH": "/usr/bin:/bin"},
            "memory_bytes": 256 * MEBIBYTE,
            "cpus": 1.0,
            "pids": 64,
            "files": 1024,
        }
        return SandboxSpec(**fields | changes)

    async def volume(self, size_mb: int = 64) -> Volume:
        return await self.driver.create_volume(size_mb)

    async def launch(self, start: Exec | Fork, volume: Volume, **changes: Any) -> Sandbox:
        self._names += 1
        return await self.driver.launch(f"sandbox-{self._names}", self.spec(start, **changes), volume)


Check = Callable[[Lab], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Result:
    """How a script ended and what it wrote."""

    status: ExitStatus
    text: str


class Output:
    """Reads the output of a sandbox, or of a program in it, as it comes. Close it before the sandbox is destroyed."""

    def __init__(self, source: Sandbox | Program) -> None:
        self.data = bytearray()
        self._fd = source.output
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._loop.add_reader(self._fd, self._read)

    async def wait_for(self, is_there: Callable[[bytes], bool]) -> bytes:
        """All output so far, once `is_there` holds of it."""
        async with asyncio.timeout(DEADLINE_S):
            while not is_there(bytes(self.data)):
                self._changed.clear()
                await self._changed.wait()
        return bytes(self.data)

    def close(self) -> str:
        """Stop; returns all that came."""
        self._read()
        self._loop.remove_reader(self._fd)
        return self.data.decode(errors="replace")

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._fd, 65536):
                self.data += data
                assert len(self.data) < _OUTPUT_MAX, "a script that never stops writing"
            self._loop.remove_reader(self._fd)
        self._changed.set()


@contextlib.asynccontextmanager
async def started(lab: Lab, start: Exec | Fork, **changes: Any) -> AsyncIterator[Sandbox]:
    """A sandbox with a volume of its own; both are gone afterwards."""
    volume = await lab.volume()
    try:
        sandbox = await lab.launch(start, volume, **changes)
        try:
            yield sandbox
        finally:
            await sandbox.destroy()
    finally:
        await volume.close()


def shell(script: str) -> Exec:
    return Exec(("/bin/sh", "-c", script))


async def finish(sandbox: Sandbox) -> Result:
    """Read the output until the runtime process has ended."""
    output = Output(sandbox)
    try:
        async with asyncio.timeout(DEADLINE_S):
            status = await asyncio.shield(sandbox.exited)
    finally:
        text = output.close()
    return Result(status, text)


async def run(lab: Lab, start: Exec | Fork, **changes: Any) -> Result:
    """Run to the end in a sandbox of its own."""
    async with started(lab, start, **changes) as sandbox:
        return await finish(sandbox)


async def run_script(lab: Lab, script: str, **changes: Any) -> Result:
    return await run(lab, shell(script), **changes)


# The runtime process


async def check_the_environment_is_whole_and_exact(lab: Lab) -> None:
    given = {"PATH": "/usr/bin:/bin", "WORD": "a b=c", "EMPTY": "", "ÄÖ": "ü"}
    result = await run(lab, Exec(("/usr/bin/env", "-0")), environment=given)
    assert set(result.text.rstrip("\0").split("\0")) == {f"{name}={value}" for name, value in given.items()}


async def check_it_starts_in_its_working_directory(lab: Lab) -> None:
    assert await run_script(lab, "pwd") == Result(ExitStatus(0, None), "/var/task\n")
    assert await run_script(lab, "pwd", working_directory="/tmp") == Result(ExitStatus(0, None), "/tmp\n")


async def check_exit_codes_and_signals_are_told(lab: Lab) -> None:
    assert (await run_script(lab, "exit 3")).status == ExitStatus(3, None)
    assert (await run_script(lab, "kill -SEGV $$")).status == ExitStatus(None, 11)


async def check_both_streams_are_the_output(lab: Lab) -> None:
    result = await run_script(lab, "echo out; echo err >&2; cat")
    assert result == Result(ExitStatus(0, None), "out\nerr\n")


async def check_the_output_does_not_block_its_reader(lab: Lab) -> None:
    async with started(lab, shell("exec sleep 1000")) as sandbox:
        try:
            os.read(sandbox.output, 1)
        except BlockingIOError:
            return
        raise AssertionError("reading an output with nothing in it returned")


async def check_a_signal_reaches_the_runtime_process(lab: Lab) -> None:
    script = "trap 'echo caught; exit 4' TERM; echo ready; while :; do sleep 0.01; done"
    async with started(lab, shell(script)) as sandbox:
        output = Output(sandbox)
        await output.wait_for(lambda data: b"ready" in data)
        sandbox.signal(15)
        async with asyncio.timeout(DEADLINE_S):
            assert await asyncio.shield(sandbox.exited) == ExitStatus(4, None)
        assert output.close() == "ready\ncaught\n"
        sandbox.signal(15)


async def check_a_missing_program_is_an_invalid_entrypoint(lab: Lab) -> None:
    for program in ("/var/task/bootstrap", "no-such-program"):
        await _expect_start_error(lab, Exec((program,)), "Runtime.InvalidEntrypoint", program)


async def check_a_program_that_may_not_be_executed_is_an_invalid_entrypoint(lab: Lab) -> None:
    (lab.task / "plain").write_text("#!/bin/sh\n")
    await _expect_start_error(lab, Exec(("/var/task/plain",)), "Runtime.InvalidEntrypoint", "permission denied")


async def check_a_missing_working_directory_is_told(lab: Lab) -> None:
    start = shell("exit 0")
    await _expect_start_error(lab, start, "Runtime.InvalidWorkingDir", "/nowhere", working_directory="/nowhere")


async def check_a_failed_start_leaves_its_volume_usable(lab: Lab) -> None:
    volume = await lab.volume()
    for _ in range(3):
        with contextlib.suppress(StartError):
            await lab.launch(Exec(("/no/such/program",)), volume)
    sandbox = await lab.launch(shell("echo works"), volume)
    assert (await finish(sandbox)).text == "works\n"
    await sandbox.destroy()
    await volume.close()


async def check_a_program_is_found_on_the_path(lab: Lab) -> None:
    assert (await run(lab, Exec(("sh", "-c", "echo found")))).text == "found\n"


async def check_a_zygote_runs_in_the_sandbox(lab: Lab) -> None:
    if lab.zygote is None:
        return
    result = await run(lab, Fork(lab.zygote), environment={"WORD": "hello"}, working_directory="/tmp")
    assert result == Result(ExitStatus(0, None), "zygote hello /tmp\n")


async def check_what_the_driver_does_not_have_is_refused(lab: Lab) -> None:
    volume = await lab.volume()
    for start, changes in ((Fork("no-such-zygote"), {}), (shell("true"), {"egress": "no-such-way"})):
        try:
            sandbox = await lab.launch(start, volume, **changes)
        except SandboxError:
            continue
        await sandbox.destroy()
        raise AssertionError(f"{start} {changes} was accepted")
    await volume.close()


async def _expect_start_error(lab: Lab, start: Exec, kind: str, part: str, **changes: Any) -> None:
    try:
        result = await run(lab, start, **changes)
    except StartError as error:
        assert (error.kind, part in str(error)) == (kind, True), error
        return
    raise AssertionError(f"{start} started: {result}")


# Mounts and the root


async def check_a_bind_is_shown_read_only(lab: Lab) -> None:
    shown = lab.new_directory()
    (shown / "file").write_text("content\n")
    (shown / "file").chmod(0o666)
    shown.chmod(0o777)  # the mount is what refuses
    script = "cat /opt/file; touch /opt/new; rm /opt/file; echo x >> /opt/file; mkdir /opt/d"
    result = await run_script(lab, script, mounts=(*_task(lab), Bind(str(shown), "/opt")))
    assert result.text.startswith("content\n")
    assert result.text.lower().count("read-only file system") == 4
    assert [entry.name for entry in shown.iterdir()] == ["file"]


async def check_a_file_can_be_bound_where_nothing_was(lab: Lab) -> None:
    file = lab.new_directory() / "source"
    file.write_text("content\n")
    target = "/some/where/else"
    result = await run_script(lab, f"cat {target}", mounts=(*_task(lab), Bind(str(file), target)))
    assert result == Result(ExitStatus(0, None), "content\n")


async def check_the_first_lower_of_an_overlay_is_on_top(lab: Lab) -> None:
    names = ("a:b", "c,d", "e\\f g")
    lowers = [lab.new_directory() / name for name in names]
    for number, lower in enumerate(lowers):
        lower.mkdir()
        (lower / "same").write_text(f"{number}\n")
        (lower / f"only-{number}").write_text("")
    overlay = Overlay(tuple(str(lower) for lower in lowers), "/opt")
    script = "cat /opt/same; ls /opt; touch /opt/new"
    result = await run_script(lab, script, mounts=(*_task(lab), overlay))
    assert result.text.startswith("0\nonly-0\nonly-1\nonly-2\nsame\n")
    assert "read-only" in result.text.lower()


async def check_an_overlay_of_one_is_a_bind(lab: Lab) -> None:
    lower = lab.new_directory()
    (lower / "file").write_text("one\n")
    mounts = (*_task(lab), Overlay((str(lower),), "/opt"))
    assert (await run_script(lab, "cat /opt/file", mounts=mounts)).text == "one\n"


async def check_later_mounts_cover_earlier_ones(lab: Lab) -> None:
    below, above = lab.new_directory(), lab.new_directory()
    (below / "inner").mkdir()
    (above / "file").write_text("above\n")
    mounts = (*_task(lab), Bind(str(below), "/opt"), Bind(str(above), "/opt/inner"))
    assert (await run_script(lab, "cat /opt/inner/file", mounts=mounts)).text == "above\n"


async def check_a_mount_that_is_not_there_is_the_hosts_error(lab: Lab) -> None:
    volume = await lab.volume()
    try:
        sandbox = await lab.launch(shell("true"), volume, mounts=(Bind("/no/such/source", "/opt"),))
    except SandboxError as error:
        assert not isinstance(error, StartError)
    else:
        await sandbox.destroy()
        raise AssertionError("a bind of nothing was accepted")
    await volume.close()


async def check_the_root_is_read_only(lab: Lab) -> None:
    result = await run_script(lab, "for at in / /etc /usr /var /dev /mnt; do touch $at/new && echo wrote $at; done")
    assert "wrote" not in result.text


async def check_a_directory_can_be_the_root(lab: Lab) -> None:
    """A root without mount points, made of links and binds to the host's programs."""
    root = lab.new_directory()
    for name in ("bin", "lib", "lib64"):
        if Path("/", name).is_symlink():
            (root / name).symlink_to(Path("/", name).readlink())
    (root / "marker").write_text("a root of its own\n")
    usr = Bind("/usr", "/usr")
    script = "cat /marker; ls -d /proc/self /dev/null /tmp /var/task; echo x > /tmp/x && cat /tmp/x; touch /marker2"
    result = await run_script(lab, script, root=DirectoryRoot(str(root)), mounts=(usr, *_task(lab)))
    assert result.text.startswith("a root of its own\n/dev/null\n/proc/self\n/tmp\n/var/task\nx\n"), result.text
    assert "Read-only" in result.text
    assert sorted(entry.name for entry in root.iterdir() if not entry.is_symlink()) == ["marker"]


async def check_the_host_name_is_the_specs(lab: Lab) -> None:
    assert (await run_script(lab, "uname -n", hostname="169.254.7.7")).text == "169.254.7.7\n"


def _task(lab: Lab) -> tuple[Bind]:
    return (Bind(str(lab.task), "/var/task"),)


# The volume


async def check_a_volume_outlives_its_sandboxes(lab: Lab) -> None:
    volume = await lab.volume()
    for script, expected in (
        ("echo kept > /tmp/file; mkdir /tmp/d", ""),
        ("cat /tmp/file; echo more > /tmp/d/f", "kept\n"),
    ):
        sandbox = await lab.launch(shell(script), volume)
        assert await finish(sandbox) == Result(ExitStatus(0, None), expected)
        await sandbox.destroy()
    await volume.close()
    await volume.close()


async def check_volumes_are_private(lab: Lab) -> None:
    async with started(lab, shell("echo secret > /tmp/file; echo done; exec sleep 1000")) as other:
        output = Output(other)
        await output.wait_for(lambda data: b"done" in data)
        output.close()
        assert (await run_script(lab, "ls -A /tmp")).text == ""


async def check_a_full_volume_is_the_functions_own_error(lab: Lab) -> None:
    script = "dd if=/dev/zero of=/tmp/file bs=1M count=200 2>&1; rm /tmp/file; echo again > /tmp/file && cat /tmp/file"
    result = await run_script(lab, script)
    assert "No space left on device" in result.text
    assert result.text.endswith("again\n")


async def check_a_volume_holds_what_was_asked_for(lab: Lab) -> None:
    volume = await lab.volume(100)
    sandbox = await lab.launch(shell("dd if=/dev/zero of=/tmp/file bs=1M count=99 2>/dev/null && echo fits"), volume)
    assert ((await finish(sandbox)).text, volume.size_mb) == ("fits\n", 100)
    await sandbox.destroy()
    await volume.close()


# The listener


async def check_the_runtime_api_is_reached_from_inside(lab: Lab) -> None:
    host, port = RUNTIME_API_ADDRESS
    script = f"exec 3<>/dev/tcp/{host}/{port}; echo ping >&3; cat <&3"
    async with started(lab, Exec(("/bin/bash", "-c", script))) as sandbox:
        connection = await _accept(sandbox)
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(DEADLINE_S):
            assert await loop.sock_recv(connection, 100) == b"ping\n"
            await loop.sock_sendall(connection, b"pong\n")
        connection.close()
        assert await finish(sandbox) == Result(ExitStatus(0, None), "pong\n")


async def check_each_sandbox_has_a_listener_of_its_own(lab: Lab) -> None:
    host, port = RUNTIME_API_ADDRESS
    script = f"exec 3<>/dev/tcp/{host}/{port}; echo $WORD >&3; cat <&3"
    start = Exec(("/bin/bash", "-c", script))
    loop = asyncio.get_running_loop()
    async with contextlib.AsyncExitStack() as stack:
        words = ("first", "second", "third")
        sandboxes = [
            await stack.enter_async_context(started(lab, start, environment={"PATH": "/usr/bin:/bin", "WORD": word}))
            for word in words
        ]
        for word, sandbox in reversed(list(zip(words, sandboxes, strict=True))):
            with await _accept(sandbox) as connection:
                async with asyncio.timeout(DEADLINE_S):
                    assert await loop.sock_recv(connection, 100) == f"{word}\n".encode()


async def _accept(sandbox: Sandbox) -> socket.socket:
    sandbox.listener.setblocking(False)
    async with asyncio.timeout(DEADLINE_S):
        connection, _ = await asyncio.get_running_loop().sock_accept(sandbox.listener)
    return connection


# Limits and usage


async def check_too_much_memory_is_a_kill(lab: Lab) -> None:
    script = 'exec perl -e \'$x = "x" x (512 * 1024 * 1024); print "survived"\''
    async with started(lab, shell(script), memory_bytes=64 * MEBIBYTE) as sandbox:
        result = await finish(sandbox)
        assert "survived" not in result.text
        if not any(text.startswith("Memory") for text in lab.driver.weaknesses):
            assert result.status == ExitStatus(None, 9)
            assert sandbox.usage().oom_kills > 0


async def check_open_files_are_limited(lab: Lab) -> None:
    assert (await run_script(lab, "ulimit -n; ulimit -Hn", files=100)).text == "100\n100\n"


async def check_processes_are_limited(lab: Lab) -> None:
    script = "i=0; while [ $i -lt 100 ]; do sleep 1000 & i=$((i+1)); done; echo all"
    result = await run_script(lab, script, pids=20)
    assert "all" not in result.text
    assert "fork" in result.text.lower() or "resource" in result.text.lower()


async def check_usage_is_measured(lab: Lab) -> None:
    script = 'exec perl -e \'$x = "x" x (50 << 20); $| = 1; print "ready\\n"; sleep 1000\''
    async with started(lab, shell(script)) as sandbox:
        output = Output(sandbox)
        await output.wait_for(lambda data: b"ready" in data)
        output.close()
        usage = sandbox.usage()
        assert usage.memory_peak >= usage.memory_current > 50 * MEBIBYTE
        assert usage.cpu > 0
        assert usage.oom_kills == 0
        sandbox.reset_peak()
        sandbox.limit_cpu(0.5)


# Frozen, thawed, destroyed


async def check_a_frozen_sandbox_stands_still_until_it_is_thawed(lab: Lab) -> None:
    script = "echo ready; while :; do echo tick; sleep 0.001; done"
    async with started(lab, shell(script)) as sandbox:
        output = Output(sandbox)
        await output.wait_for(lambda data: b"tick" in data)
        sandbox.freeze()
        sandbox.freeze()
        async with asyncio.timeout(DEADLINE_S):
            before = -1
            while before != len(output.data):  # the kernel freezes in its own time
                before = len(output.data)
                await run_script(lab, "sleep 0.02")
        sandbox.thaw()
        sandbox.thaw()
        await output.wait_for(lambda data: len(data) > before)
        output.close()


async def check_a_frozen_sandbox_can_be_destroyed(lab: Lab) -> None:
    async with started(lab, shell("while :; do :; done"), cpus=0.1) as sandbox:
        sandbox.freeze()
        async with asyncio.timeout(DEADLINE_S):
            await sandbox.destroy()
        assert sandbox.exited.result() == ExitStatus(None, 9)


async def check_destroying_is_idempotent_and_the_end_of_everything(lab: Lab) -> None:
    async with started(lab, shell("(setsid sleep 1000 &) ; echo ready; exec sleep 1000")) as sandbox:
        output = Output(sandbox)
        await output.wait_for(lambda data: b"ready" in data)
        output.close()
        watched = os.dup(sandbox.output)
        async with asyncio.timeout(DEADLINE_S):
            await asyncio.gather(sandbox.destroy(), sandbox.destroy())
            await sandbox.destroy()
            assert await asyncio.shield(sandbox.exited) == ExitStatus(None, 9)
        # The end of the pipe: nobody inside holds it open any more.
        assert os.read(watched, 100) == b""
        os.close(watched)
        assert sandbox.listener.fileno() == -1
        sandbox.freeze()
        sandbox.thaw()
        sandbox.signal(15)
        sandbox.reset_peak()
        sandbox.limit_cpu(1.0)
        assert sandbox.usage().memory_current >= 0


async def check_a_sandbox_stays_after_its_runtime_process(lab: Lab) -> None:
    """Its owner decides when it goes: until then it can be asked."""
    async with started(lab, shell("exit 7")) as sandbox:
        assert (await finish(sandbox)).status == ExitStatus(7, None)
        sandbox.freeze()
        sandbox.thaw()
        sandbox.signal(9)
        assert sandbox.usage().oom_kills == 0


async def check_many_start_at_once(lab: Lab) -> None:
    async with asyncio.TaskGroup() as group:
        scripts = [f"echo {number} > /tmp/x; cat /tmp/x" for number in range(24)]
        tasks = [group.create_task(run_script(lab, script)) for script in scripts]
    assert [task.result().text for task in tasks] == [f"{number}\n" for number in range(24)]


async def check_a_cancelled_launch_leaves_nothing(lab: Lab) -> None:
    """Cancelled at every turn of the loop that it takes."""
    for turns in range(0, 40, 4):
        volume = await lab.volume()
        task = asyncio.get_running_loop().create_task(lab.launch(shell("exec sleep 1000"), volume))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await (await task).destroy()
        await volume.close()


CHECKS: tuple[Check, ...] = (
    check_the_environment_is_whole_and_exact,
    check_it_starts_in_its_working_directory,
    check_exit_codes_and_signals_are_told,
    check_both_streams_are_the_output,
    check_the_output_does_not_block_its_reader,
    check_a_signal_reaches_the_runtime_process,
    check_a_missing_program_is_an_invalid_entrypoint,
    check_a_program_that_may_not_be_executed_is_an_invalid_entrypoint,
    check_a_missing_working_directory_is_told,
    check_a_failed_start_leaves_its_volume_usable,
    check_a_program_is_found_on_the_path,
    check_a_zygote_runs_in_the_sandbox,
    check_what_the_driver_does_not_have_is_refused,
    check_a_bind_is_shown_read_only,
    check_a_file_can_be_bound_where_nothing_was,
    check_the_first_lower_of_an_overlay_is_on_top,
    check_an_overlay_of_one_is_a_bind,
    check_later_mounts_cover_earlier_ones,
    check_a_mount_that_is_not_there_is_the_hosts_error,
    check_the_root_is_read_only,
    check_a_directory_can_be_the_root,
    check_the_host_name_is_the_specs,
    check_a_volume_outlives_its_sandboxes,
    check_volumes_are_private,
    check_a_full_volume_is_the_functions_own_error,
    check_a_volume_holds_what_was_asked_for,
    check_the_runtime_api_is_reached_from_inside,
    check_each_sandbox_has_a_listener_of_its_own,
    check_too_much_memory_is_a_kill,
    check_open_files_are_limited,
    check_processes_are_limited,
    check_usage_is_measured,
    check_a_frozen_sandbox_stands_still_until_it_is_thawed,
    check_a_frozen_sandbox_can_be_destroyed,
    check_destroying_is_idempotent_and_the_end_of_everything,
    check_a_sandbox_stays_after_its_runtime_process,
    check_many_start_at_once,
    check_a_cancelled_launch_leaves_nothing,
)
