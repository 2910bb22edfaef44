"""Running a layer's tests in the sandbox that functions run in: lambdad's own driver, with the base as the root.

`SandboxRunner` is a `SmokeRunner`. A test is the runtime process of a sandbox of its own: the base read-only at /, the
layers at /opt, a /tmp of 512 MiB, Lambda's user, the system-call filter, limits of memory, processes and files, and no
network but a loopback. For a trace the process is held behind its walls until strace has hold of it from outside.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from lambdad.model.limits import FILES_MAX, MEGABYTE, MEMORY_MB_PER_VCPU, PROCESSES_MAX
from lambdad.pack.errors import PackError
from lambdad.pack.smoke import OUTPUT_MAX, TEST_TIMEOUT_S, ChrootRunner, SmokeResult, SmokeRunner, strace_command
from lambdad.sandbox.interface import ExitStatus, SandboxError, StartError
from lambdad.sandbox.native import NativeDriver
from lambdad.sandbox.native_sandbox import NativeSandbox
from lambdad.sandbox.spec import Bind, DirectoryRoot, Exec, Overlay, SandboxSpec

_TMP_MB = 512
_CPUS = 2.0
_ATTACH_TIMEOUT_S = 30.0
_READ = 64 * 1024
_OPT = "/opt"


def choose_runner(timeout_s: float = TEST_TIMEOUT_S) -> tuple[SmokeRunner, str]:
    """The best runner that this user may use, and a sentence on what it lacks (empty: nothing)."""
    if os.geteuid() == 0:
        return SandboxRunner(timeout_s), ""
    return ChrootRunner(timeout_s), (
        "not root: tests run in plain namespaces, without the limits and the system-call filter of a function's sandbox"
    )


class SandboxRunner:
    """A `SmokeRunner` of the native driver, which is opened for each test. Needs root; must not run in an event loop.

    timeout_s: for one test.
    """

    def __init__(self, timeout_s: float = TEST_TIMEOUT_S) -> None:
        self._timeout_s = timeout_s

    def run(self, base: Path, layers: tuple[Path, ...], command: str, environment: Mapping[str, str]) -> SmokeResult:
        return asyncio.run(self._run(base, layers, command, environment))

    def trace(self, base: Path, layers: tuple[Path, ...], command: str, environment: Mapping[str, str]) -> SmokeResult:
        return asyncio.run(self._trace(base, layers, command, environment))

    async def _run(
        self, base: Path, layers: tuple[Path, ...], command: str, environment: Mapping[str, str]
    ) -> SmokeResult:
        async with self._sandbox(_spec(base, layers, command, environment)) as sandbox:
            return await self._finish(sandbox)

    async def _trace(
        self, base: Path, layers: tuple[Path, ...], command: str, environment: Mapping[str, str]
    ) -> SmokeResult:
        with tempfile.TemporaryDirectory(prefix="lambdad-trace-") as directory:
            log = Path(directory) / "trace"
            tracer = strace_command(log)
            spec = _spec(base, layers, command, environment, held=True)
            async with self._sandbox(spec) as sandbox, _traced(tracer, sandbox.pid):
                await sandbox.proceed()
                done = await self._finish(sandbox)
            return SmokeResult(done.status, done.output, log.read_text(errors="surrogateescape"))

    @asynccontextmanager
    async def _sandbox(self, spec: SandboxSpec) -> AsyncIterator[NativeSandbox]:
        with tempfile.TemporaryDirectory(prefix="lambdad-smoke-") as state:
            driver = NativeDriver(Path(state) / "sandboxes", prepared=0, snapshots=False)
            try:
                await driver.open()
                volume = await driver.create_volume(_TMP_MB)
                sandbox = await driver.launch("test", spec, volume)
                try:
                    yield sandbox
                finally:
                    await sandbox.destroy()
                    await volume.close()
            except StartError as error:
                raise PackError(f"the test could not be started: {error}") from None
            except SandboxError as error:
                raise PackError(f"there is no sandbox to test in: {error}") from None
            finally:
                await driver.close()

    async def _finish(self, sandbox: NativeSandbox) -> SmokeResult:
        output = _Output(sandbox.output)
        try:
            async with asyncio.timeout(self._timeout_s):
                status = await asyncio.shield(sandbox.exited)
        except TimeoutError:
            raise PackError(f"the test did not end within {self._timeout_s:.0f} s") from None
        finally:
            output.close()
        oom = "\nthe test used more memory than it may" if sandbox.usage().oom_kills else ""
        return SmokeResult(_as_number(status), output.text() + oom)


class _Output:
    """The end of what a sandbox prints, read as it comes."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._kept = bytearray()
        asyncio.get_running_loop().add_reader(descriptor, self._read)

    def _read(self) -> bool:
        try:
            data = os.read(self._descriptor, _READ)
        except BlockingIOError:
            return False
        self._kept += data
        del self._kept[:-OUTPUT_MAX]
        if not data:
            asyncio.get_running_loop().remove_reader(self._descriptor)
        return bool(data)

    def close(self) -> None:
        """Take what is there; what a surviving child would print later is not waited for."""
        for _ in range(OUTPUT_MAX // _READ + 16):
            if not self._read():
                break
        asyncio.get_running_loop().remove_reader(self._descriptor)

    def text(self) -> str:
        return self._kept.decode("utf-8", "replace")


@asynccontextmanager
async def _traced(command: Sequence[str], pid: int) -> AsyncIterator[None]:
    """strace on a process and all its children, from when the block begins; ended when they have ended."""
    tracer = await asyncio.create_subprocess_exec(
        *command, "-p", str(pid), stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    try:
        assert tracer.stderr is not None
        try:
            async with asyncio.timeout(_ATTACH_TIMEOUT_S):
                line = await tracer.stderr.readline()
        except TimeoutError:
            raise PackError("strace did not take hold of the test") from None
        if b"attached" not in line:
            raise PackError(f"strace cannot trace here: {line.decode(errors='replace').strip()}")
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            tracer.terminate()
        await tracer.wait()


def _spec(
    base: Path, layers: tuple[Path, ...], command: str, environment: Mapping[str, str], *, held: bool = False
) -> SandboxSpec:
    if not (base / "bin/sh").exists():
        raise PackError(f"{base} has no /bin/sh: it is not a base")
    merged = tuple(str(layer.resolve()) for layer in reversed(layers))
    mounts = () if not merged else (Bind(merged[0], _OPT) if len(merged) == 1 else Overlay(merged, _OPT),)
    return SandboxSpec(
        start=Exec(("/bin/sh", "-c", command)),
        root=DirectoryRoot(str(base.resolve())),
        mounts=mounts,
        environment=environment,
        working_directory="/var/task",
        memory_bytes=MEMORY_MB_PER_VCPU * MEGABYTE,
        cpus=_CPUS,
        pids=PROCESSES_MAX,
        files=FILES_MAX,
        held=held,
    )


def _as_number(status: ExitStatus) -> int:
    """The exit status, or minus the signal's number."""
    if status.signal is not None:
        return -status.signal
    return status.code if status.code is not None else -1
