"""A started cell, as the rest of the worker sees it."""

from __future__ import annotations

import asyncio
import contextlib
import marshal
import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any

from lambdad.sandbox.cell import Cell
from lambdad.sandbox.interface import ExitStatus, SandboxError, StartError, Usage

RUNTIME_API_VARIABLE = "AWS_LAMBDA_RUNTIME_API"


_START_TIMEOUT_S = 60.0


class NativeProgram:
    """A further program. Implements `Program`."""

    def __init__(self, output: int, exited: asyncio.Future[ExitStatus]) -> None:
        self.output = output
        self.exited = exited


class NativeSandbox:
    """A started cell. program: what all further programs are told; none can be started without."""

    def __init__(self, sandbox_id: str, cell: Cell, output: int, program: Mapping[str, Any] | None = None) -> None:
        self._program = program
        self._outputs: list[int] = []
        self.id = sandbox_id
        self.listener: socket.socket = cell.hand_over()
        self.output = output
        self.exited: asyncio.Future[ExitStatus] = cell.exited
        self._cell = cell
        self._is_destroyed = False
        self._last = Usage(0, 0, 0, 0)

    @property
    def pid(self) -> int:
        """The runtime process as this host numbers it; 0 if it is gone."""
        return self._cell.runtime_pid

    def freeze(self) -> None:
        self._cell.freeze()

    def thaw(self) -> None:
        self._cell.thaw()

    def limit_cpu(self, cpus: float) -> None:
        if not self._cell.is_killed:
            with contextlib.suppress(FileNotFoundError):
                self._cell.group.limit_cpu(cpus)

    def signal(self, number: int) -> None:
        self._cell.signal(number)

    async def proceed(self) -> None:
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                await asyncio.shield(self._cell.proceed())
        except TimeoutError as error:
            raise SandboxError(f"the process did not start within {_START_TIMEOUT_S:.0f} seconds") from error

    async def spawn(self, argv: Sequence[str], environment: Mapping[str, str]) -> NativeProgram:
        if self._program is None:
            raise SandboxError("there are no further programs beside a restored one")
        orders = {**self._program, "argv": list(argv), "environment": dict(environment)}
        if RUNTIME_API_VARIABLE in environment:
            orders["environment"][RUNTIME_API_VARIABLE] = self._program["address"]
        output, their_output = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(their_output, True)
        self._outputs.append(output)
        status, their_status = os.pipe2(os.O_CLOEXEC)
        try:
            exited = self._cell.spawn(marshal.dumps(orders, 2), [their_output, their_status])
        except OSError as error:
            os.close(status)
            raise SandboxError(f"asking for a program failed: {error}") from error
        finally:
            os.close(their_output)
            os.close(their_status)
        await self._hear_start(status)
        return NativeProgram(output, exited)

    async def _hear_start(self, status: int) -> None:
        """Wait until the program runs. Closes `status`. Raises StartError, SandboxError."""
        loop = asyncio.get_running_loop()
        heard: asyncio.Future[None] = loop.create_future()
        os.set_blocking(status, False)
        loop.add_reader(status, lambda: None if heard.done() else heard.set_result(None))
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                await heard
            kind, _, text = os.read(status, 8192).decode(errors="replace").partition(" ")
        except TimeoutError as error:
            raise SandboxError(f"the program did not start within {_START_TIMEOUT_S:.0f} seconds") from error
        finally:
            loop.remove_reader(status)
            os.close(status)
        if kind == "-":
            raise SandboxError(f"starting a program failed: {text}")
        if kind:
            raise StartError(kind, text)

    async def open_socket(self) -> socket.socket:
        try:
            return await self._cell.open_socket()
        except OSError as error:
            raise SandboxError(f"asking for a socket failed: {error}") from error

    def usage(self) -> Usage:
        if not self._cell.is_killed:
            self._last = self._cell.usage()
        return self._last

    def reset_peak(self) -> None:
        if not self._cell.is_killed:
            self._cell.group.reset_peak()

    async def destroy(self) -> None:
        if not self._is_destroyed:
            self._is_destroyed = True
            self.usage()
            self.listener.close()
            for output in (self.output, *self._outputs):
                os.close(output)
            self._cell.kill()
        await asyncio.shield(self._cell.removed)
