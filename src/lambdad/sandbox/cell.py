"""One cell as its driver sees it, from the request for it until nothing of it is left.

A cell is made ahead of any function (`ready`), started once with a function's orders (`start`), and killed once
(`kill`, by whoever wants it gone; `removed` tells when it is). Everything is a future or a callback: no step depends
on a task that somebody might cancel.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections import deque
from collections.abc import Callable, Sequence

from lambdad.linux import cgroup, process
from lambdad.linux.cgroup import Cgroup
from lambdad.sandbox.doors import Doors, OpenDoors
from lambdad.sandbox.interface import ExitStatus, SandboxError, StartError, Usage
from lambdad.sandbox.network import Link
from lambdad.sandbox.packets import PacketReader, packet_pair

_log = logging.getLogger(__name__)

_REMOVE_DELAY_S = 0.002
_REMOVE_DELAY_MAX_S = 0.25
_REMOVE_ATTEMPTS = 60
"""About ten seconds in all: processes that the kernel still takes apart keep their group busy."""

Connect = Callable[[int], asyncio.Future[Link]]
"""Connects the network namespace of a process; fails with SandboxError. See `network.Router.attach`."""

_KILLED = ExitStatus(code=None, signal=signal.SIGKILL)


class Cell:
    """group: the control group that its processes join. launcher: where the request goes. connect: gives it a network.
    doors: those that it has; none if None.

    ready: resolves when it can be started; fails with SandboxError.
    exited: resolves when the runtime process has ended. removed: when everything has. is_killed: from then on.
    captured: resolves when the runtime process waits to be forked from; forked: how often it says that it was.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        group: Cgroup,
        launcher: PacketReader,
        connect: Connect | None = None,
        doors: Doors | None = None,
    ) -> None:
        self._loop = loop
        self._doors = doors
        self._open_doors: OpenDoors | None = None
        self.group = group
        self.ready: asyncio.Future[None] = loop.create_future()
        self.exited: asyncio.Future[ExitStatus] = loop.create_future()
        self.removed: asyncio.Future[None] = loop.create_future()
        self.captured: asyncio.Future[None] = loop.create_future()
        self.forked = 0
        self.listener: socket.socket | None = None
        self._users = -1
        self._init_pidfd = -1
        self._runtime_pidfd = -1
        self._started: asyncio.Future[None] | None = None
        self._is_going = False
        self._stays = False
        self.is_killed = False
        self._is_handed_over = False
        self._attempts = 0
        self._connect = connect
        self._link: Link | None = None
        self._programs: dict[bytes, asyncio.Future[ExitStatus]] = {}
        """By their number."""
        self._last_program = 0
        self._sockets: deque[asyncio.Future[socket.socket]] = deque()
        control, control_theirs = packet_pair()
        launch, launch_theirs = packet_pair()
        self._control = PacketReader(loop, control, self._on_control)
        self._launch = PacketReader(loop, launch, self._on_launch)
        joining: list[int] = []
        try:
            joining = group.open_for_joining()
            launcher.send(*self._request(control_theirs.fileno(), launch_theirs.fileno(), joining))
        except OSError as error:
            self._fail(f"asking the launcher for a cell failed: {error}")
            self.kill()
        finally:
            control_theirs.close()
            launch_theirs.close()
            for fd in joining:
                os.close(fd)

    @property
    def is_usable(self) -> bool:
        """Ready and not started, with its processes alive."""
        return self.ready.done() and not self.is_killed and self._started is None and not self.exited.done()

    @property
    def depths(self) -> list[int]:
        """What berths are made below: its process 1 and its user namespace, as descriptors that stay ours."""
        return [self._init_pidfd, self._users]

    @property
    def runtime_pid(self) -> int:
        """The runtime process as this host numbers it; 0 if it is gone."""
        return 0 if self._runtime_pidfd < 0 or self.exited.done() else process.pid_of(self._runtime_pidfd)

    def tell(self, orders: bytes, fds: Sequence[int]) -> None:
        """To a runtime process that was captured. Raises OSError."""
        self._launch.send(orders, fds)

    def start(self, orders: bytes, fds: Sequence[int], *, stays: bool = False) -> asyncio.Future[None]:
        """Send the runtime process on its way. Fails with StartError or SandboxError.

        stays: it will be forked from, so that more will be said.
        """
        self._stays = stays
        self._started = self._loop.create_future()
        try:
            self._launch.send(orders, fds)
        except OSError as error:
            refuse(self._started, SandboxError(f"the prepared process did not take its orders: {error}"))
        return self._started

    def proceed(self) -> asyncio.Future[None]:
        """Let a runtime process go on that is held behind its walls. Fails with StartError or SandboxError."""
        return self.start(b"go", [])

    def spawn(self, orders: bytes, fds: Sequence[int]) -> asyncio.Future[ExitStatus]:
        """Start a further program. Resolves when it has ended. Raises OSError."""
        self._last_program += 1
        exited: asyncio.Future[ExitStatus] = self._loop.create_future()
        number = b"%d" % self._last_program
        self._control.send(b"spawn %b %b" % (number, orders), fds)
        self._programs[number] = exited
        return exited

    def open_socket(self) -> asyncio.Future[socket.socket]:
        """A TCP socket of this network. Fails with SandboxError. Raises OSError."""
        future: asyncio.Future[socket.socket] = self._loop.create_future()
        self._control.send(b"socket")
        self._sockets.append(future)
        return future

    @property
    def runtime_api(self) -> tuple[str, int]:
        """Where the listener is. Of a cell that is ready."""
        assert self.listener is not None
        host, port = self.listener.getsockname()
        return host, port

    def hand_over(self) -> socket.socket:
        """The listener; from now on the caller closes it."""
        if self.listener is None:
            raise SandboxError("the cell is not ready")
        self._is_handed_over = True
        return self.listener

    def signal(self, number: int) -> None:
        """To the runtime process, if it is there."""
        if self._runtime_pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._runtime_pidfd, number)

    def freeze(self) -> None:
        """Stop everything inside; nothing if it is being killed."""
        if self.is_killed:
            return
        if self.group.controls(cgroup.FREEZER):
            with contextlib.suppress(FileNotFoundError):
                self.group.freeze()
        else:
            self._tell_init(b"stop")

    def thaw(self) -> None:
        if self.is_killed:
            return
        if self.group.controls(cgroup.FREEZER):
            with contextlib.suppress(FileNotFoundError):
                self.group.thaw()
        else:
            self._tell_init(b"continue")

    def let_run(self) -> None:
        """Thaw it and lift its CPU quota, for what is to die soon."""
        if not self.is_killed:
            self.group.let_run()

    def usage(self) -> Usage:
        """What it used, as far as this host counts."""
        counters = self.group.counters()
        peak, current, cpu = counters.memory_peak, counters.memory_current, counters.cpu
        pid = self.runtime_pid
        if pid and not self.group.controls(cgroup.MEMORY):
            peak, current = process.memory_of(pid)
        if pid and not self.group.controls(cgroup.ACCOUNT):
            cpu = process.cpu_of(pid)
        return Usage(peak, current, cpu, counters.oom_kills)

    def kill(self) -> None:
        """End everything inside, then free what it held. Idempotent."""
        if self.is_killed:
            return
        self.is_killed = True
        self.group.let_run()
        if self._init_pidfd < 0:
            # Not forked yet, or never: whoever is in the middle of it finds its socket closed and ends.
            self._on_init_ended()
            return
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._init_pidfd, signal.SIGKILL)

    def _request(self, control: int, launch: int, joining: Sequence[int]) -> tuple[bytes, list[int]]:
        """What the launcher is asked for, with the far ends of both sockets."""
        return b"cell", [control, launch, *joining]

    def _tell_init(self, word: bytes) -> None:
        with contextlib.suppress(OSError):
            self._control.send(word)

    def _on_control(self, data: bytes, fds: list[int]) -> None:
        word, _, rest = data.partition(b" ")
        match word, fds:
            case b"forked", [pidfd]:
                self._init_pidfd = pidfd
                self._loop.add_reader(pidfd, self._on_init_ended)
            case b"ready", [*listeners, pidfd] if len(listeners) == self._listeners:
                self._runtime_pidfd = pidfd
                self._on_made(listeners)
            case b"users", [users] if self._users < 0:
                self._users = users
            case b"exited", []:
                self._resolve_exit(_parse_exit(rest))
            case b"program", []:
                number, _, rest = rest.partition(b" ")
                exited = self._programs.pop(number, None)
                if exited is not None:
                    exited.set_result(_parse_exit(rest))
            case b"socket", [made]:
                self._hand_out(socket.socket(fileno=made))
            case _:
                for fd in fds:
                    os.close(fd)
                if word == b"error":
                    self._fail(f"making a cell failed: {rest.decode(errors='replace')}")
                elif not data and self._init_pidfd < 0 and not self.is_killed:
                    self._fail("the launcher ended before it made a cell")
                    self.kill()

    def _hand_out(self, made: socket.socket) -> None:
        future = self._sockets.popleft() if self._sockets else None
        if future is None or future.done():
            made.close()
        else:
            made.setblocking(False)
            future.set_result(made)

    @property
    def _listeners(self) -> int:
        """How many listening sockets process 1 makes: the Runtime API's and those of the doors."""
        return 1 + (len(self._doors.upstreams) if self._doors else 0)

    def _on_made(self, listeners: Sequence[int]) -> None:
        """Its walls stand: it can be started once it has its network."""
        self.listener, *doors = [socket.socket(fileno=fd) for fd in listeners]
        self.listener.setblocking(False)
        if self._doors is not None:
            self._open_doors = self._doors.open(self._loop, doors)
        if self._connect is not None and not self.is_killed:
            self._connect(process.pid_of(self._init_pidfd)).add_done_callback(self._on_connected)
        elif not self.ready.done():
            self.ready.set_result(None)

    def _on_connected(self, connected: asyncio.Future[Link]) -> None:
        error = connected.exception()
        if error is not None:
            self._fail(str(error))
            self.kill()
            return
        self._link = connected.result()
        if self.removed.done():
            self._link.release()
        elif not self.ready.done():
            self.ready.set_result(None)

    def _on_launch(self, data: bytes, fds: list[int]) -> None:
        for fd in fds:
            os.close(fd)
        word, _, rest = data.partition(b" ")
        if word == b"going":
            self._is_going = True
        elif word == b"captured" and not self.captured.done():
            self.captured.set_result(None)
        elif word == b"forked":
            self.forked += 1
        if self._started is None or self._started.done():
            return
        if word == b"held":
            self._started.set_result(None)
        elif word == b"error":
            kind, _, text = rest.decode(errors="replace").partition(" ")
            error = SandboxError(f"starting a cell failed: {text}") if kind == "-" else StartError(kind, text)
            refuse(self._started, error)
        elif self._is_going and (not data or self._stays):
            # The program runs; or it is about to, and keeps this socket.
            self._started.set_result(None)
        elif not data:
            how = self.exited.result().describe() if self.exited.done() else "reason unknown"
            refuse(self._started, SandboxError(f"the process ended before the function's program ran ({how})"))

    def _on_init_ended(self) -> None:
        """Process 1 is gone, and with it, by the kernel, everything in its namespaces."""
        if self._init_pidfd >= 0:
            self._loop.remove_reader(self._init_pidfd)
            os.close(self._init_pidfd)
            self._init_pidfd = -1
        self._fail("process 1 of a cell ended")
        self._resolve_exit(_KILLED)
        for exited in self._programs.values():
            exited.set_result(_KILLED)
        self._programs.clear()
        for wanted in self._sockets:
            if not wanted.done():
                refuse_socket(wanted)
        self._sockets.clear()
        self.is_killed = True
        self._control.close()
        self._launch.close()
        for fd in (self._runtime_pidfd, self._users):
            if fd >= 0:
                os.close(fd)
        self._runtime_pidfd = self._users = -1
        if self.listener is not None and not self._is_handed_over:
            self.listener.close()
        if self._open_doors is not None:
            self._open_doors.close()
        self._remove_group()

    def _remove_group(self) -> None:
        try:
            is_gone = self.group.remove()
        except OSError as error:
            _log.warning("removing a control group failed: %s", error)
            is_gone = True
        self._attempts += 1
        if not is_gone and self._attempts >= _REMOVE_ATTEMPTS:
            _log.warning("control group %s stays busy; the next start removes it", self.group.paths)
            is_gone = True
        if not is_gone:
            delay = min(_REMOVE_DELAY_MAX_S, _REMOVE_DELAY_S * 2**self._attempts)
            self._loop.call_later(delay, self._remove_group)
        elif not self.removed.done():
            if self._link is not None:
                self._link.release()
            self.removed.set_result(None)

    def _resolve_exit(self, status: ExitStatus) -> None:
        if not self.exited.done():
            self.exited.set_result(status)

    def _fail(self, text: str) -> None:
        for future in (self.ready, self._started):
            if future is not None and not future.done():
                refuse(future, SandboxError(text))


def refuse(future: asyncio.Future[None], error: SandboxError) -> None:
    """Whoever waits sees it; nobody has to: the one who did may have been cancelled."""
    future.set_exception(error)
    future.exception()


def refuse_socket(future: asyncio.Future[socket.socket]) -> None:
    future.set_exception(SandboxError("the sandbox has ended"))
    future.exception()


def _parse_exit(rest: bytes) -> ExitStatus:
    """`CODE SIGNAL`, as process 1 says it; nonsense counts as killed."""
    try:
        code, number = (int(word) for word in rest.split())
    except ValueError:
        return _KILLED
    return ExitStatus(code=None, signal=number) if number else ExitStatus(code=code, signal=None)
