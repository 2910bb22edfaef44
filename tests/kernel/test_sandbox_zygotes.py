"""Zygotes under every interpreter of this host, and programs of other languages behind the same filter."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lambdad.sandbox.interface import ExitStatus, SandboxError
from lambdad.sandbox.native import NativeDriver
from lambdad.sandbox.spec import Bind, Exec, Fork, ZygoteSpec
from lambdad.testing.conformance.sandbox import DEADLINE_S, Lab, Result, finish, run, started
from lambdad.testing.probes import can_make_namespaces, can_mount_loop, is_root, skip_unless

pytestmark = [pytest.mark.kernel, skip_unless(is_root(), can_make_namespaces(), can_mount_loop())]

ENTRY = """
import os
import sys

def preload():
    global json, random, toy
    import json
    import random
    import toy

def run():
    import signal
    import threading
    threads = [threading.Thread(target=str) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps({
        "version": list(sys.version_info[:2]),
        "environment": dict(os.environ),
        "directory": os.getcwd(),
        "ids": [os.getuid(), os.getgid(), os.getgroups()],
        "descriptors": sorted(int(name) for name in os.listdir("/proc/self/fd"))[:-1],
        "interrupt": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
        "blocked": len(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "random": random.random(),
        "toy": toy.WORD,
        "bytecode": sys.dont_write_bytecode,
        "umask": os.umask(0o022),
    }))
    sys.exit(5)
"""
PROGRAMS = {
    "node": ["node", "-e", "setTimeout(() => console.log([1, 2].map(x => x * 2).join()), 1)"],
    "java": ["java", "-Xmx64m", "-XX:+UseSerialGC", "-version"],
    "php": ["php", "-r", "echo implode(',', [2, 4]), PHP_EOL;"],
    "perl": ["perl", "-e", "print join(',', map { 2 * $_ } (1, 2));"],
    "bash": ["bash", "-c", "echo {2,4} | tr ' ' ,"],
    "ruby": ["ruby", "-e", "puts [1, 2].map { |x| x * 2 }.join(',')"],
}


def _interpreters() -> dict[str, tuple[str, str]]:
    """Path and prefix by version, of those found that can be a zygote's."""
    found = {}
    for place in [Path(sys.base_prefix, "bin"), *sorted(Path.home().glob(".pyenv/versions/3.*/bin")), Path("/usr/bin")]:
        for minor in range(9, 15):
            path = place / f"python3.{minor}"
            if path.exists():
                code = "import sys; print(sys.base_prefix)"
                done = subprocess.run([str(path), "-I", "-S", "-c", code], capture_output=True, text=True, timeout=60)
                if done.returncode == 0:
                    found.setdefault(f"python3.{minor}", (str(path), done.stdout.strip()))
    return found


INTERPRETERS = _interpreters()


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def lab(runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    workspace = tmp_path_factory.mktemp("zygotes")
    (workspace / "entry.py").write_text(ENTRY)
    (workspace / "search").mkdir()
    (workspace / "search" / "toy.py").write_text("WORD = 'found'\n")
    zygotes = [
        ZygoteSpec(
            name=name,
            interpreter=interpreter,
            entry=str(workspace / "entry.py"),
            binds=(Bind(prefix, prefix),) if not prefix.startswith("/usr") else (),
            path=(str(workspace / "search"),),
        )
        for name, (interpreter, prefix) in INTERPRETERS.items()
    ]
    driver = NativeDriver(workspace / "state", zygotes=zygotes, prepared=1)
    runner.run(driver.open())
    yield Lab(driver, workspace)
    runner.run(driver.close())


@pytest.mark.parametrize("name", INTERPRETERS)
def test_a_zygote_of_each_interpreter_starts_functions(name: str, lab: Lab, runner: asyncio.Runner) -> None:
    result = runner.run(run(lab, Fork(name), environment={"WORD": "one"}, working_directory="/tmp"))
    assert result.status == ExitStatus(5, None), result.text
    told = json.loads(result.text)
    told.pop("random")
    assert told == {
        "version": [3, int(name.partition(".")[2])],
        "environment": {"WORD": "one"},
        "directory": "/tmp",
        "ids": [993, 990, []],
        "descriptors": [0, 1, 2],
        "interrupt": True,
        "blocked": 0,
        "toy": "found",
        "bytecode": False,
        "umask": 0o022,
    }


def test_two_forks_of_one_zygote_draw_different_numbers(lab: Lab, runner: asyncio.Runner) -> None:
    name = next(iter(INTERPRETERS))
    texts = [runner.run(run(lab, Fork(name))).text for _ in range(3)]
    assert len({json.loads(text)["random"] for text in texts}) == 3


def test_a_zygote_can_be_added_to_an_open_driver(lab: Lab, runner: asyncio.Runner, tmp_path: Path) -> None:
    """One that cannot start is told, and may be added again once it can."""

    async def scenario() -> str:
        name, (interpreter, prefix) = next(iter(INTERPRETERS.items()))
        binds = (Bind(prefix, prefix),) if not prefix.startswith("/usr") else ()
        entry = tmp_path / "entry.py"
        entry.write_text("raise ImportError('broken on purpose')")
        spec = ZygoteSpec(name=f"late-{name}", interpreter=interpreter, entry=str(entry), binds=binds)
        with pytest.raises(SandboxError, match="broken on purpose"):
            await lab.driver.add_zygote(spec)
        entry.write_text("def preload(): pass\ndef run(): print('late')\n")
        adding = asyncio.get_running_loop().create_task(lab.driver.add_zygote(spec))
        await asyncio.sleep(0)
        adding.cancel()
        await asyncio.gather(lab.driver.add_zygote(spec), lab.driver.add_zygote(spec), adding, return_exceptions=True)
        await lab.driver.add_zygote(spec)
        return (await run(lab, Fork(spec.name))).text

    assert runner.run(scenario()) == "late\n"


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_of_other_languages_run_behind_the_filter(name: str, lab: Lab, runner: asyncio.Runner) -> None:
    path = shutil.which(name)
    if path is None or not os.path.realpath(path).startswith("/usr/"):
        pytest.skip(f"no {name} below /usr")
    result = runner.run(run(lab, Exec(tuple(PROGRAMS[name])), memory_bytes=1 << 30, pids=200, cpus=2.0))
    assert result.status == ExitStatus(0, None), result.text
    assert ("2,4" if name != "java" else "version") in result.text


def test_a_zygote_serves_its_function_over_the_listener(lab: Lab, runner: asyncio.Runner) -> None:
    """What every invocation does: a connection from inside, served by the worker's loop."""

    async def scenario() -> tuple[Result, bytes]:
        script = "exec 3<>/dev/tcp/127.0.0.1/9001; printf 'GET / HTTP/1.1\\r\\n\\r\\n' >&3; cat <&3"
        heard = asyncio.Event()
        request = b""

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal request
            request = await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\n\r\nhello\n")
            writer.close()
            await writer.wait_closed()
            heard.set()

        (lab.task / "client.sh").write_text(script)
        async with started(lab, Exec(("/bin/bash", "/var/task/client.sh"))) as sandbox:
            server = await asyncio.start_server(answer, sock=sandbox.listener)
            await asyncio.wait_for(heard.wait(), DEADLINE_S)
            result = await finish(sandbox)
            server.close()
            await server.wait_closed()
        return result, request

    result, request = runner.run(scenario())
    assert result.text.endswith("hello\n")
    assert request.startswith(b"GET / ")
