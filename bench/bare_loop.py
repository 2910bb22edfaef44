"""The floor: AWS's own Python runtime client against a Runtime API that does nothing but answer.

The server is one epoll loop over plain sockets with canned bytes, in this process. What lambdad adds to it is what
lambdad costs. Between runs the runtimes wait for an answer and use no CPU.
"""

from __future__ import annotations

import os
import selectors
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

_RECEIVE = 65536
_START_SECONDS = 60.0
_ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n"


@dataclass(slots=True)
class LoopSamples:
    """Milliseconds. periods: from one response to the next. handovers: from the event sent to its response received."""

    seconds: float = 0.0
    periods: list[float] = field(default_factory=list)
    handovers: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Invocations a second, of all processes together."""
        return len(self.handovers) / self.seconds

    def extend(self, other: LoopSamples) -> None:
        self.seconds += other.seconds
        self.periods += other.periods
        self.handovers += other.handovers


@dataclass(slots=True)
class _Runtime:
    """One runtime's connection. waiting: it has asked for the next event."""

    socket: socket.socket
    data: bytes = b""
    waiting: bool = False
    sent: float = 0.0
    answered: float = 0.0


class BareLoop:
    """`processes` runtimes that run `handler` (`module.function`) of `code`, and their canned server."""

    def __init__(self, code: Path, handler: str, processes: int, event: bytes) -> None:
        self._next = _canned_next(event)
        self._selector = selectors.EpollSelector()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._selector.register(self._listener, selectors.EVENT_READ, None)
        self._runtimes: list[_Runtime] = []
        port = self._listener.getsockname()[1]
        environment = {
            "PATH": os.environ["PATH"],
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{port}",
            "LAMBDA_TASK_ROOT": str(code),
            "PYTHONPATH": str(code),
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
            "AWS_LAMBDA_FUNCTION_NAME": "bare",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        }
        command = [sys.executable, "-m", "awslambdaric", handler]
        self._processes = [
            subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            for _ in range(processes)
        ]

    def __enter__(self) -> Self:
        deadline = time.monotonic() + _START_SECONDS
        while sum(runtime.waiting for runtime in self._runtimes) < len(self._processes):
            if time.monotonic() > deadline:
                raise TimeoutError("the runtimes did not ask for their first event")
            self._turn(None, 0.2)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
        for runtime in self._runtimes:
            runtime.socket.close()
        self._listener.close()
        self._selector.close()

    def run(self, seconds: float) -> LoopSamples:
        """Keep the runtimes busy for so long."""
        samples = LoopSamples()
        started = time.perf_counter()
        for runtime in self._runtimes:
            runtime.answered = 0.0
            if runtime.waiting:
                self._hand_over(runtime)
        while time.perf_counter() - started < seconds:
            self._turn(samples, 1.0)
        samples.seconds = time.perf_counter() - started
        # The last events are answered, and the requests for more stay open.
        while not all(runtime.waiting for runtime in self._runtimes if runtime.sent):
            self._turn(None, 1.0)
        return samples

    def _turn(self, samples: LoopSamples | None, timeout: float) -> None:
        for key, _ in self._selector.select(timeout):
            if key.data is None:
                connection, _ = self._listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                runtime = _Runtime(connection)
                self._runtimes.append(runtime)
                self._selector.register(connection, selectors.EVENT_READ, runtime)
            else:
                self._receive(key.data, samples)

    def _receive(self, runtime: _Runtime, samples: LoopSamples | None) -> None:
        received = runtime.socket.recv(_RECEIVE)
        if not received:
            self._selector.unregister(runtime.socket)
            self._runtimes.remove(runtime)
            runtime.socket.close()
            return
        runtime.data += received
        end = runtime.data.find(b"\r\n\r\n")
        if end < 0:
            return
        if runtime.data.startswith(b"GET"):
            runtime.data = b""
            runtime.waiting = True
            if samples is not None:
                self._hand_over(runtime)
            return
        if len(runtime.data) < end + 4 + _content_length(runtime.data[:end]):
            return
        now = time.perf_counter()
        runtime.data = b""
        runtime.socket.sendall(_ACCEPTED)
        if samples is not None:
            samples.handovers.append((now - runtime.sent) * 1000)
            if runtime.answered:
                samples.periods.append((now - runtime.answered) * 1000)
        runtime.answered = now

    def _hand_over(self, runtime: _Runtime) -> None:
        runtime.waiting = False
        runtime.sent = time.perf_counter()
        runtime.socket.sendall(self._next)


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def _canned_next(event: bytes) -> bytes:
    head = (
        "HTTP/1.1 200 OK\r\n"
        "Content-Type: application/json\r\n"
        "Lambda-Runtime-Aws-Request-Id: 8476a536-e9f4-11e8-9739-2dfe598c3fcd\r\n"
        "Lambda-Runtime-Deadline-Ms: 4102444800000\r\n"
        "Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:us-east-1:000000000000:function:bare\r\n"
        "Lambda-Runtime-Trace-Id: Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=0\r\n"
        f"Content-Length: {len(event)}\r\n\r\n"
    )
    return head.encode() + event
