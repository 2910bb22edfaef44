"""What every `SandboxDriver` promises of further programs, of runtime processes that are held, and of sockets inside.

As `sandbox`, whose `Lab` it uses.
"""

from __future__ import annotations

import asyncio
import socket

from lambdad.sandbox.interface import ExitStatus, Sandbox, StartError
from lambdad.sandbox.spec import Exec
from lambdad.testing.conformance.sandbox import DEADLINE_S, Check, Lab, Output, Result, finish, shell, started


async def _spawned(sandbox: Sandbox, script: str) -> Result:
    """Run a script beside the runtime process, to its end."""
    program = await sandbox.spawn(("/bin/sh", "-c", script), {"PATH": "/usr/bin:/bin", "WORD": "further"})
    output = Output(program)
    try:
        async with asyncio.timeout(DEADLINE_S):
            status = await asyncio.shield(program.exited)
    finally:
        text = output.close()
    return Result(status, text)


_RIGHTS = r"""
grep -E '^(Uid|Gid|Groups|Cap[A-Za-z]*|NoNewPrivs|Seccomp):' /proc/$$/status
ulimit -n; ulimit -u; ulimit -c; uname -n; cat /proc/$$/oom_score_adj
for name in cgroup ipc mnt net pid user uts; do readlink /proc/$$/ns/$name; done
cat /proc/$$/cgroup
"""


async def check_a_further_program_has_the_rights_of_the_runtime_process_and_no_others(lab: Lab) -> None:
    async with started(lab, shell(f"{_RIGHTS}\necho end; exec sleep 1000")) as sandbox:
        output = Output(sandbox)
        own = await output.wait_for(lambda data: data.endswith(b"end\n"))
        output.close()
        other = await _spawned(sandbox, _RIGHTS)
        assert other == Result(ExitStatus(0, None), own.decode().removesuffix("end\n"))


async def check_a_further_program_sees_the_same_files_and_its_own_environment(lab: Lab) -> None:
    async with started(lab, shell("echo shared > /tmp/file; echo end; exec sleep 1000")) as sandbox:
        output = Output(sandbox)
        await output.wait_for(lambda data: data.endswith(b"end\n"))
        output.close()
        script = (
            "cat /tmp/file; echo $WORD; pwd; env | grep -c LAMBDA; ls /proc/self/fd; touch /opt/x; echo err >&2; exit 5"
        )
        result = await _spawned(sandbox, script)
        assert result.status == ExitStatus(5, None)
        assert result.text.startswith("shared\nfurther\n/\n0\n0\n1\n2\n3\n"), result.text
        assert "read-only" in result.text.lower()
        assert result.text.endswith("err\n")


async def check_a_further_program_that_cannot_be_executed_is_told(lab: Lab) -> None:
    (lab.task / "plain").write_text("#!/bin/sh\n")
    async with started(lab, shell("exec sleep 1000")) as sandbox:
        cases = {"/var/task/plain": ("PermissionDenied", "permission"), "/no/such": ("UnknownError", "no such file")}
        for path, (kind, words) in cases.items():
            try:
                await sandbox.spawn((path,), {})
            except StartError as error:
                assert (error.kind, words in str(error)) == (kind, True), error
                continue
            raise AssertionError(f"{path} started")


async def check_further_programs_end_with_their_sandbox(lab: Lab) -> None:
    async with started(lab, shell("exec sleep 1000")) as sandbox:
        programs = [await sandbox.spawn(("/bin/sleep", "1000"), {}) for _ in range(3)]
        sandbox.freeze()
        async with asyncio.timeout(DEADLINE_S):
            await sandbox.destroy()
            for program in programs:
                assert await asyncio.shield(program.exited) == ExitStatus(None, 9)


async def check_a_held_runtime_process_waits_behind_its_walls(lab: Lab) -> None:
    for script, expected in (("cat /tmp/first", Result(ExitStatus(0, None), "came first\n")), ("exit 3", None)):
        async with started(lab, shell(script), held=True) as sandbox:
            assert (await _spawned(sandbox, "echo came first > /tmp/first")).status == ExitStatus(0, None)
            assert not sandbox.exited.done()
            await sandbox.proceed()
            result = await finish(sandbox)
            assert expected is None or result == expected
    async with started(lab, Exec(("/no/such/program",)), held=True) as sandbox:
        try:
            await sandbox.proceed()
        except StartError as error:
            assert error.kind == "Runtime.InvalidEntrypoint"
        else:
            raise AssertionError("a program that is not there started")


async def check_a_held_runtime_process_can_be_destroyed(lab: Lab) -> None:
    async with started(lab, shell("echo never"), held=True) as sandbox:
        async with asyncio.timeout(DEADLINE_S):
            await sandbox.destroy()
        assert sandbox.exited.result() == ExitStatus(None, 9)


async def check_a_socket_of_the_sandboxs_network_reaches_its_listeners_and_no_others(lab: Lab) -> None:
    loop = asyncio.get_running_loop()
    script = (
        "exec perl -MIO::Socket::INET -e '$| = 1; $s = IO::Socket::INET->new(Listen => 1, LocalAddr => "
        '"sandbox.localdomain", LocalPort => 8080) or die; print "ready\\n"; $c = $s->accept; print $c "hello\\n"\''
    )
    with socket.create_server(("127.0.0.1", 0)) as outside:
        async with started(lab, shell(script)) as sandbox:
            output = Output(sandbox)
            await output.wait_for(lambda data: b"ready" in data)
            output.close()
            async with asyncio.timeout(DEADLINE_S):
                with await sandbox.open_socket() as inside:
                    await loop.sock_connect(inside, ("127.0.0.1", 8080))
                    assert await loop.sock_recv(inside, 100) == b"hello\n"
                with await sandbox.open_socket() as inside:
                    try:
                        await loop.sock_connect(inside, outside.getsockname())
                    except OSError:
                        return
    raise AssertionError("a socket of the sandbox's network reached the host")


PROGRAM_CHECKS: tuple[Check, ...] = (
    check_a_further_program_has_the_rights_of_the_runtime_process_and_no_others,
    check_a_further_program_sees_the_same_files_and_its_own_environment,
    check_a_further_program_that_cannot_be_executed_is_told,
    check_further_programs_end_with_their_sandbox,
    check_a_held_runtime_process_waits_behind_its_walls,
    check_a_held_runtime_process_can_be_destroyed,
    check_a_socket_of_the_sandboxs_network_reaches_its_listeners_and_no_others,
)
