"""The telemetry of one sandbox: what the platform says and what is logged, handed to every extension that asked for it.

Subscriptions are made in the init phase, and tell of that phase from its beginning: until it is over, what has
happened is kept, within a limit.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

import orjson

from lambdad.telemetry.delivery import Connect, Delivery
from lambdad.telemetry.function_log import Event, LogsDropped, TelemetrySubscription, format_time, telemetry_record
from lambdad.telemetry.logs_api import logs_api_records
from lambdad.telemetry.subscription import Subscription

HISTORY_ITEMS, HISTORY_BYTES = 2_000, 262_144
"""Of the init phase, for extensions that subscribe late in it."""
FALLEN_BEHIND = "Consumer seems to have fallen behind as it has not acknowledged receipt of logs."

Spawn = Callable[[Coroutine[Any, Any, None]], None]
Line = tuple[str, bytes]
"""`function` or `extension`, and the log record."""


class TelemetryHub:
    """logs_json: whether the function logs JSON. spawn: runs a delivery in a task that somebody awaits."""

    def __init__(self, connect: Connect, spawn: Spawn, now_ms: Callable[[], int], *, logs_json: bool) -> None:
        self._connect = connect
        self._spawn = spawn
        self._now_ms = now_ms
        self._logs_json = logs_json
        self._deliveries: dict[str, Delivery] = {}
        self._history: list[tuple[int, Event | Line]] | None = []
        self._history_size = 0

    def subscribe(self, name: str, subscription: Subscription) -> TelemetrySubscription:
        """Begin, or go on with other settings. name: the extension's. The caller publishes what is returned."""
        told = TelemetrySubscription(
            name=name, state="Subscribed", types=subscription.types, is_logs_api=subscription.is_logs_api
        )
        known = self._deliveries.get(name)
        if known is not None:
            if known.subscription == subscription:
                return told
            known.close()
        delivery = Delivery(subscription, self._connect, self._drop_teller(subscription))
        self._deliveries[name] = delivery
        if known is None:
            for now_ms, item in self._history or ():
                self._give(delivery, item, now_ms)
        self._spawn(delivery.run())
        return told

    def publish(self, event: Event, now_ms: int) -> None:
        """An event of the platform."""
        self._take(event, now_ms, 200)

    def line(self, kind: str, record: bytes, now_ms: int) -> None:
        """What was logged. kind: `function` or `extension`."""
        self._take((kind, record), now_ms, len(record))

    def end_init(self) -> None:
        """Nobody subscribes any more."""
        self._history = None

    def flush(self) -> None:
        for delivery in self._deliveries.values():
            delivery.flush()

    def pause(self) -> None:
        for delivery in self._deliveries.values():
            delivery.pause()

    def resume(self) -> None:
        for delivery in self._deliveries.values():
            delivery.resume()

    def close(self) -> None:
        for delivery in self._deliveries.values():
            delivery.close()

    def _take(self, item: Event | Line, now_ms: int, size: int) -> None:
        history = self._history
        if history is not None and len(history) < HISTORY_ITEMS and self._history_size + size <= HISTORY_BYTES:
            history.append((now_ms, item))
            self._history_size += size
        for delivery in self._deliveries.values():
            self._give(delivery, item, now_ms)

    def _give(self, delivery: Delivery, item: Event | Line, now_ms: int) -> None:
        subscription = delivery.subscription
        if isinstance(item, tuple):
            kind, record = item
            if kind in subscription.types:
                delivery.add(self._encode_line(subscription, kind, record, now_ms))
        elif "platform" in subscription.types:
            for encoded in _encode_event(subscription, item, now_ms):
                delivery.add(encoded)

    def _encode_line(self, subscription: Subscription, kind: str, record: bytes, now_ms: int) -> bytes:
        value: object = record.decode("utf-8", "replace")
        if self._logs_json and subscription.has_objects and record.startswith(b"{"):
            with contextlib.suppress(orjson.JSONDecodeError):  # it may only look like an object
                value = orjson.loads(record)
        return orjson.dumps({"time": format_time(now_ms), "type": kind, "record": value})

    def _drop_teller(self, subscription: Subscription) -> Callable[[int, int], bytes | None]:
        def tell(records: int, size: int) -> bytes | None:
            if "platform" not in subscription.types:
                return None
            event = LogsDropped(reason=FALLEN_BEHIND, records=records, bytes=size)
            return _encode_event(subscription, event, self._now_ms())[0]

        return tell


def _encode_event(subscription: Subscription, event: Event, now_ms: int) -> list[bytes]:
    if subscription.is_logs_api:
        return [orjson.dumps(record) for record in logs_api_records(event, now_ms, subscription.schema)]
    return [orjson.dumps(telemetry_record(event, now_ms))]
