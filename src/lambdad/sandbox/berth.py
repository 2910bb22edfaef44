"""One berth as its driver sees it: a cell whose runtime process comes from elsewhere, as a fork of a snapshot.

The fork is not to be believed. It says its number; process 1 of the berth, which is ours, finds it by that among the
berth's own processes and shows it; and only when it is in the control group of this sandbox is it told to go on.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Sequence

from lambdad.linux import process
from lambdad.linux.cgroup import Cgroup
from lambdad.sandbox.cell import Cell, Connect, refuse
from lambdad.sandbox.doors import Doors
from lambdad.sandbox.interface import ExitStatus, SandboxError
from lambdad.sandbox.packets import PacketReader

_PID_DIGITS = 10

Ask = Callable[[Sequence[int]], None]
"""Asks the snapshot process for a fork, with the descriptors that it needs. Raises OSError."""


class Berth(Cell):
    """As a `Cell`; below: that of the snapshot process, which must be captured."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        group: Cgroup,
        launcher: PacketReader,
        below: Cell,
        connect: Connect | None = None,
        doors: Doors | None = None,
    ) -> None:
        self._below = below
        self._theirs = -1
        self._spaces: list[int] = []
        super().__init__(loop, group, launcher, connect, doors)
        self.removed.add_done_callback(lambda _: self._close_own())

    def enter(self, ask: Ask, mount: int, output: int) -> asyncio.Future[None]:
        """Let a fork in, with `mount` at /tmp. Resolves when it is in its group; fails with SandboxError."""
        self._started = self._loop.create_future()
        try:
            self._control.send(b"tmp", [mount])
            ask([*self._spaces, output, self._theirs])
        except OSError as error:
            refuse(self._started, SandboxError(f"the snapshot process did not take its orders: {error}"))
        self._close_own()
        return self._started

    def spawn(self, orders: bytes, fds: Sequence[int]) -> asyncio.Future[ExitStatus]:
        raise ConnectionError("there are no further programs beside a restored one")

    def open_socket(self) -> asyncio.Future[socket.socket]:
        raise ConnectionError("a restored sandbox gives no sockets away")

    def _request(self, control: int, launch: int, joining: Sequence[int]) -> tuple[bytes, list[int]]:
        self._theirs = os.dup(launch)
        return b"berth", [control, *self._below.depths, *joining]

    def _on_control(self, data: bytes, fds: list[int]) -> None:
        match data, fds:
            case b"ready", received if len(received) > self._listeners:
                self._spaces = received[self._listeners :]
                self._on_made(received[: self._listeners])
            case b"runtime", [pidfd] if self._runtime_pidfd < 0:
                self._runtime_pidfd = pidfd
                self._admit()
            case _:
                super()._on_control(data, fds)

    def _admit(self) -> None:
        if self._started is None or self._started.done():
            return
        try:
            self.group.adopt(process.pid_of(self._runtime_pidfd))
            self._launch.send(b"go")
        except OSError as error:
            refuse(self._started, SandboxError(f"the restored process could not be taken into its group: {error}"))
        else:
            self._started.set_result(None)

    def _on_launch(self, data: bytes, fds: list[int]) -> None:
        for fd in fds:
            os.close(fd)
        if self._started is None or self._started.done():
            return
        word, _, rest = data.partition(b" ")
        if word == b"here" and rest.isdigit() and len(rest) <= _PID_DIGITS:
            try:
                self._control.send(b"find " + rest)
            except OSError as error:
                refuse(self._started, SandboxError(f"process 1 of a berth is gone: {error}"))
        else:
            text = rest.decode(errors="replace") if word == b"error" else "the process ended before it was in its place"
            refuse(self._started, SandboxError(f"restoring the snapshot failed: {text}"))

    def _close_own(self) -> None:
        for fd in (self._theirs, *self._spaces):
            if fd >= 0:
                os.close(fd)
        self._theirs, self._spaces = -1, []
