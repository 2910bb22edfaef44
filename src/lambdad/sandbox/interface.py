"""The contract of sandbox drivers. Every driver passes `lambdad.testing.conformance.sandbox` and the hostile suite.

A driver belongs to one event loop. Its coroutines may be called concurrently. Everything that a driver makes on the
host (processes, mounts, cgroups, loop devices, files) is gone after `SandboxDriver.close`, and what a killed worker
left behind is removed by the next `SandboxDriver.open` on the same state directory.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from lambdad.sandbox.spec import SandboxSpec, ZygoteSpec


class SandboxError(Exception):
    """A sandbox could not be made, for a reason of the host. The text says what was tried and what to do."""


class StartError(SandboxError):
    """The runtime process could not be started for a reason of the function.

    kind: AWS's name for it: `Runtime.InvalidEntrypoint`, `Runtime.InvalidWorkingDir` or `Runtime.ExitError`; of a
    further program `PermissionDenied` or `UnknownError`.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class ExitStatus:
    """How the runtime process ended: an exit code, or the number of the signal that killed it."""

    code: int | None
    signal: int | None

    def describe(self) -> str:
        """`exit status 3` or `signal: killed`, the words that AWS uses."""
        if self.signal is not None:
            return f"signal: {_SIGNAL_WORDS.get(self.signal, str(self.signal))}"
        return f"exit status {self.code}"


_SIGNAL_WORDS = {
    1: "hangup",
    2: "interrupt",
    3: "quit",
    4: "illegal instruction",
    6: "aborted",
    7: "bus error",
    8: "floating point exception",
    9: "killed",
    11: "segmentation fault",
    13: "broken pipe",
    15: "terminated",
    31: "bad system call",
}


@dataclass(frozen=True, slots=True)
class Usage:
    """What a sandbox used. memory_peak: bytes, since `Sandbox.reset_peak`; cpu: nanoseconds since its start."""

    memory_peak: int
    memory_current: int
    cpu: int
    oom_kills: int


class Volume(Protocol):
    """The /tmp of a sandbox: bounded, private, and longer-lived than the processes that use it."""

    size_mb: int

    async def close(self) -> None:
        """Free it. Idempotent; the sandboxes that used it must be destroyed before."""
        ...


class Program(Protocol):
    """A further program in a sandbox, beside its runtime process.

    output: non-blocking read end of the pipe that is its stdout and stderr; `Sandbox.destroy` closes it.
    exited: resolves when it has ended. Never an exception.
    """

    output: int
    exited: asyncio.Future[ExitStatus]


class Sandbox(Protocol):
    """One set of walls with a runtime process inside.

    listener: listening TCP socket, bound inside the sandbox's own network namespace at `RUNTIME_API_ADDRESS`;
        connections on it come from this sandbox and nobody else. The caller serves it; `destroy` closes it.
    output: non-blocking read end of the pipe that is stdout and stderr of everything inside; `destroy` closes it.
    exited: resolves when the runtime process has ended, whoever ended it. Never an exception.
    """

    id: str
    listener: socket.socket
    output: int
    exited: asyncio.Future[ExitStatus]

    def freeze(self) -> None:
        """Stop giving CPU to everything inside. Idempotent, does not block for longer than the kernel's write."""
        ...

    def thaw(self) -> None:
        """Undo `freeze`. Idempotent."""
        ...

    def limit_cpu(self, cpus: float) -> None:
        """Change the share of CPU time. It starts as the spec's, from the moment that `launch` returns."""
        ...

    def signal(self, number: int) -> None:
        """Send a signal to the runtime process; nothing happens if it has ended."""
        ...

    async def proceed(self) -> None:
        """Let the runtime process of a `held` spec run. Raises `StartError`, `SandboxError`, as `launch` does."""
        ...

    async def spawn(self, argv: Sequence[str], environment: Mapping[str, str]) -> Program:
        """Run another program behind the same walls: same user, files, limits, network and filter, working directory /.

        Returns when its `exec` has succeeded; raises `StartError` or `SandboxError`.
        """
        ...

    async def open_socket(self) -> socket.socket:
        """A non-blocking TCP socket of the sandbox's own network, not connected yet; the caller's to close.

        Raises `SandboxError`.
        """
        ...

    def usage(self) -> Usage: ...

    def reset_peak(self) -> None:
        """Start measuring `memory_peak` anew where the kernel can."""
        ...

    async def destroy(self) -> None:
        """Kill everything inside and take the walls away. Idempotent; no call does harm after it."""
        ...


class Snapshot(Protocol):
    """A runtime process that has run its init phase and is forked from. name: what `Restore.snapshot` says.

    sandbox: the walls that it lives in itself; `destroy` ends the snapshot instead.
    captured: resolves when it waits to be forked from. Never an exception: `sandbox.exited` tells of an early end.
    """

    name: str
    sandbox: Sandbox
    captured: asyncio.Future[None]

    @property
    def is_usable(self) -> bool:
        """Captured, and alive as far as is known."""
        ...

    async def seal(self) -> None:
        """Keep what is in its /tmp now for those who are restored. Once, after `captured`. Raises `SandboxError`."""
        ...

    async def create_volume(self) -> Volume:
        """A /tmp for one restored sandbox: what was there at `seal`. Raises `SandboxError`."""
        ...

    def rest(self) -> None:
        """Give it no CPU until the next fork, unless one is under way."""
        ...

    async def destroy(self) -> None:
        """End the process, and what is prepared for it. Returns when nothing is left of it or of what was restored
        from it: sandboxes that run are not touched. Idempotent.
        """
        ...


RUNTIME_API_ADDRESS = ("127.0.0.1", 9001)
"""Where `AWS_LAMBDA_RUNTIME_API` is, inside; with `egress: host` a port that is free, and drivers set the variable."""


class SandboxDriver(Protocol):
    """Makes sandboxes on this host.

    weaknesses: sentences, each a wall that this host cannot give and what would give it; empty when all stand.
    why_no_snapshots: why `launch_snapshot` cannot work here; empty if it can.
    """

    weaknesses: tuple[str, ...]
    why_no_snapshots: str

    async def open(self) -> None:
        """Remove what an earlier worker left, then make ready what cold starts need."""
        ...

    async def add_zygote(self, spec: ZygoteSpec) -> None:
        """Start a zygote, and prepare sandboxes of it. Idempotent by name; `launch` may then fork from it."""
        ...

    async def create_volume(self, size_mb: int) -> Volume: ...

    async def launch(self, sandbox_id: str, spec: SandboxSpec, volume: Volume) -> Sandbox:
        """Start `spec` with `volume` at /tmp. Returns when the runtime process runs its own code (or its `exec` has
        succeeded); raises `StartError` or `SandboxError`, and then nothing is left behind.
        """
        ...

    async def launch_snapshot(self, name: str, spec: SandboxSpec, volume: Volume) -> Snapshot:
        """As `launch`, of a process that says when it can be forked from; from then on `launch` takes `Restore(name)`.

        The runtime must know how: see `runtimes/python/snapshot.py`. Raises `StartError`, `SandboxError`.
        """
        ...

    async def close(self) -> None:
        """Destroy every sandbox and everything prepared. Idempotent."""
        ...
