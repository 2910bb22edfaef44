"""Carries telemetry to one subscriber's listener, batch after batch, at the subscriber's pace.

The listener is untrusted code inside a sandbox: it may refuse, stall, or answer anything. A batch that it does not
take after a few attempts is dropped and counted; nothing here waits for it but this delivery's own task, and what
waits meanwhile is bounded (`delivery_buffer`). While the sandbox is frozen the clock of an attempt stands still.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import httptools

from lambdad.telemetry.delivery_buffer import DeliveryBuffer
from lambdad.telemetry.subscription import HOST, Subscription

ATTEMPT_S = 5.0
"""How long the listener may take to take one batch."""
RETRY_DELAYS_S = (0.02, 0.05, 0.1, 0.25, 0.5, 1.0)
"""An extension may subscribe before it listens; after the last of these a batch is dropped."""
ANSWER_MAX = 65_536

Connect = Callable[[int], Awaitable[socket.socket]]
"""A non-blocking connection to a port of the sandbox. Raises OSError."""


class Delivery:
    """One subscriber. describe_dropped: makes the record that tells of (records, bytes), None if it is not wanted.

    `run` is to be run by whoever owns it; it returns after `close`.
    """

    def __init__(
        self, subscription: Subscription, connect: Connect, describe_dropped: Callable[[int, int], bytes | None]
    ) -> None:
        self.subscription = subscription
        self._connect = connect
        self._describe_dropped = describe_dropped
        self._buffer = DeliveryBuffer(subscription.max_items, subscription.max_bytes, subscription.timeout)
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._socket: socket.socket | None = None
        self._timeout: asyncio.Timeout | None = None
        self._is_flushing = False
        self._is_paused = False
        self._is_closed = False

    def add(self, record: bytes) -> None:
        """record: one JSON value."""
        if self._buffer.add(record, self._loop.time()):
            self._changed.set()

    def flush(self) -> None:
        """Send what waits without waiting for more."""
        self._is_flushing = True
        self._changed.set()

    def pause(self) -> None:
        """The sandbox is frozen."""
        self._is_paused = True
        self._reschedule(None)

    def resume(self) -> None:
        self._is_paused = False
        self._reschedule(self._loop.time() + ATTEMPT_S)
        self._changed.set()

    def close(self) -> None:
        """Give up what waits."""
        self._is_closed = True
        self._changed.set()
        self._reschedule(self._loop.time())

    def _reschedule(self, when: float | None) -> None:
        """Move the end of the attempt that is under way."""
        if self._timeout is not None and not self._timeout.expired():
            self._timeout.reschedule(when)

    async def run(self) -> None:
        try:
            while await self._wait_until_due():
                batch, (records, size) = self._buffer.take()
                if records and (told := self._describe_dropped(records, size)) is not None:
                    batch.append(told)
                if batch and not await self._send(batch):
                    self._buffer.drop(len(batch), sum(len(record) for record in batch))
        finally:
            self._disconnect()

    async def _wait_until_due(self) -> bool:
        """False when there will be nothing more to send."""
        while not self._is_closed:
            due = self._buffer.due(self._loop.time())
            if due is None:
                self._is_flushing = False
            elif not self._is_paused and (due <= 0 or self._is_flushing):
                return True
            await self._wait(None if self._is_paused else due)
        return False

    async def _wait(self, seconds: float | None) -> None:
        """Until something changes, for so long at most."""
        self._changed.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            pass

    async def _send(self, batch: list[bytes]) -> bool:
        for delay in (*RETRY_DELAYS_S, None):
            try:
                async with asyncio.timeout(None if self._is_paused else ATTEMPT_S) as self._timeout:
                    await self._post(batch)
                return True
            except (OSError, TimeoutError, httptools.HttpParserError):
                self._disconnect()
            finally:
                self._timeout = None
            if delay is None or self._is_closed:
                break
            await self._wait_out(delay)
        return False

    async def _wait_out(self, seconds: float) -> None:
        """So long, or until it is closed; for as long as the sandbox is frozen."""
        until = self._loop.time() + seconds
        while not self._is_closed and (self._is_paused or self._loop.time() < until):
            await self._wait(None if self._is_paused else until - self._loop.time())

    async def _post(self, batch: list[bytes]) -> None:
        """Raises OSError, HttpParserError."""
        if self._socket is None:
            self._socket = await self._connect(self.subscription.port)
        path = self.subscription.path
        if path is None:
            await self._loop.sock_sendall(self._socket, b"\n".join(batch) + b"\n")
            return
        body = b"[" + b",".join(batch) + b"]"
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {HOST}:{self.subscription.port}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        await self._loop.sock_sendall(self._socket, head.encode("ascii") + body)
        answer = _Answer()
        received = 0
        while not answer.is_complete:
            data = await self._loop.sock_recv(self._socket, 16_384)
            received += len(data)
            if not data or received > ANSWER_MAX:
                raise ConnectionError("the listener hung up, or never stopped answering")
            answer.parser.feed_data(data)
        if not answer.is_good:
            raise ConnectionError("the listener did not accept the batch")
        if not answer.keeps_alive:
            self._disconnect()

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class _Answer:
    """A listener's answer, as it is parsed."""

    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.is_complete = False
        self.is_good = False
        self.keeps_alive = False

    def on_message_complete(self) -> None:
        self.is_complete = True
        self.is_good = 200 <= self.parser.get_status_code() < 300
        self.keeps_alive = self.parser.should_keep_alive()
