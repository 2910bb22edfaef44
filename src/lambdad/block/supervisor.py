"""Keeps the FUSE descriptors while the agent that serves them comes and goes. `python -m lambdad.block.supervisor FD`.

As little as can be: it mounts, keeps descriptors, starts the agent, hands the descriptors to it, and passes messages
on. It reads no chunk, opens no network connection and holds no event loop, so there is nothing in it to crash. When the
agent dies, a new one gets the descriptors and asks the kernel to send again what the dead one had not answered: readers
wait a moment longer. When the agent dies too often, every mount is given up, and readers get errors instead of hanging.
When the worker is gone (its end of the socket closes), everything is taken away.
"""

from __future__ import annotations

import array
import logging
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from dataclasses import replace

from lambdad.block.fuse_mount import FuseMount, mount_file, unmount
from lambdad.block.fuse_protocol import FuseViolation
from lambdad.block.messages import (
    MESSAGE_MAX,
    Configure,
    Drop,
    Lost,
    Message,
    MessageInvalid,
    Refused,
    Serve,
    Started,
    encode_message,
    parse_message,
)

_log = logging.getLogger(__name__)

RESTARTS_MAX = 5
RESTARTS_WINDOW_S = 30.0


class Supervisor:
    """worker: connected SOCK_SEQPACKET socket."""

    def __init__(self, worker: socket.socket) -> None:
        self._worker = worker
        self._selector = selectors.DefaultSelector()
        self._selector.register(worker, selectors.EVENT_READ)
        self._configure = Configure()
        self._mounts: dict[str, tuple[Serve, FuseMount]] = {}
        self._agent: subprocess.Popen[bytes] | None = None
        self._agent_socket: socket.socket | None = None
        self._restarts: deque[float] = deque(maxlen=RESTARTS_MAX)

    def run(self) -> None:
        """Until the worker is gone or the agent is beyond help."""
        try:
            while self._turn():
                pass
        finally:
            self._close()

    def _turn(self) -> bool:
        for key, _ in self._selector.select():
            try:
                data = key.fileobj.recv(MESSAGE_MAX)  # type: ignore[union-attr]  # only sockets are registered
            except ConnectionError:
                data = b""
            if key.fileobj is self._worker:
                if not data:
                    return False
                self._from_worker(parse_message(data))
            elif key.fileobj is self._agent_socket:
                if not data:
                    if not self._agent_died():
                        return False
                else:
                    self._from_agent(parse_message(data))
        return True

    def _from_worker(self, message: Message) -> None:
        match message:
            case Configure():
                self._configure = message
                self._start_agent()
            case Serve():
                self._serve(message)
            case Started(mount_id):
                if mount_id in self._mounts:
                    self._to_agent(message)
            case Drop(mount_id):
                self._to_agent(message)
                self._forget(mount_id)
            case _:
                raise MessageInvalid(f"{message} from the worker")

    def _from_agent(self, message: Message) -> None:
        if isinstance(message, Refused):
            self._forget(message.id)
        self._to_worker(message)

    def _serve(self, request: Serve) -> None:
        if request.id in self._mounts:
            self._to_worker(Refused(request.id, f"mount {request.id} exists already"))
            return
        try:
            mount = mount_file(request.path)
        except (OSError, FuseViolation) as error:
            self._to_worker(Refused(request.id, f"FUSE file {request.path}: {error}"))
            return
        request = replace(request, can_resend=mount.can_resend)
        self._mounts[request.id] = (request, mount)
        self._to_agent(request, mount.descriptor)

    def _to_agent(self, message: Message, descriptor: int | None = None) -> None:
        if self._agent_socket is None:
            return
        ancillary = []
        if descriptor is not None:
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]).tobytes())]
        try:
            self._agent_socket.sendmsg([encode_message(message)], ancillary)
        except OSError as error:
            # It is dying: its socket will say so, and the next agent is told everything anew.
            _log.warning("action=agent_message_lost error=%s", error)

    def _to_worker(self, message: Message) -> None:
        try:
            self._worker.send(encode_message(message))
        except OSError as error:
            _log.warning("action=worker_message_lost error=%s", error)

    def _start_agent(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-m", "lambdad.block.agent", str(theirs.fileno())]
        with theirs:
            self._agent = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        self._agent_socket = ours
        self._selector.register(ours, selectors.EVENT_READ)
        self._to_agent(self._configure)

    def _agent_died(self) -> bool:
        """Replace it. False if that has been done too often."""
        status = self._reap()
        now = time.monotonic()
        if len(self._restarts) == RESTARTS_MAX and now - self._restarts[0] < RESTARTS_WINDOW_S:
            reason = f"the block agent died {RESTARTS_MAX + 1} times in {RESTARTS_WINDOW_S:.0f} s (last: {status})"
            _log.critical("action=agent_given_up reason=%s", reason)
            self._to_worker(Lost(reason))
            return False
        self._restarts.append(now)
        _log.error("action=agent_died status=%s mounts=%d", status, len(self._mounts))
        self._start_agent()
        for request, mount in self._mounts.values():
            self._to_agent(replace(request, is_resumed=True), mount.descriptor)
        return True

    def _reap(self) -> int | None:
        if self._agent_socket is not None:
            self._selector.unregister(self._agent_socket)
            self._agent_socket.close()
            self._agent_socket = None
        if self._agent is None:
            return None
        # It has closed its socket; if it still runs, it is of no use to anybody.
        self._agent.kill()
        return self._agent.wait()

    def _forget(self, mount_id: str) -> None:
        found = self._mounts.pop(mount_id, None)
        if found is not None:
            unmount(found[1].path)
            os.close(found[1].descriptor)

    def _close(self) -> None:
        for mount_id in list(self._mounts):
            self._forget(mount_id)
        self._reap()
        self._worker.close()


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="block-supervisor: %(levelname)s %(message)s")
    # The worker decides when it ends, by closing the socket; a Ctrl-C for the group must not take mounts from under it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Supervisor(socket.socket(fileno=int(sys.argv[1]))).run()


if __name__ == "__main__":
    main()
