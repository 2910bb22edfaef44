"""The closed list of what lambdad says in its own log: one name for each kind of event, `component.what_happened`.

A name is a promise to those who search and alert by it. Add it here first; the type checker refuses others.
"""

from __future__ import annotations

from typing import Literal, get_args

Action = Literal[
    "api.ready",
    "function.prepare_failed",
    "image_gc.done",
    "image_gc.failed",
    "image_gc.refused",
    "image_gc.step",
    "library.message",
    "logs.write_failed",
    "node.ready",
    "node.stopped",
    "node.stopping",
    "process.cannot_serve",
    "process.died",
    "process.killed",
    "process.restart_failed",
    "process.started",
    "queue.delivery_failed",
    "queue.dropped",
    "queue.failed",
    "queue.lease_lost",
    "queue.recovered",
    "queue.trimmed",
    "request.failed",
    "runtime.prepared",
    "sandbox.failed",
    "sandbox.freeze_failed",
    "sandbox.leaked",
    "sandbox.weakness",
    "snapshot.evicted",
    "snapshot.failed",
    "snapshot.leaked",
    "snapshot.lost",
    "snapshot.none",
    "task.failed",
    "worker.bad_frame",
    "worker.caller_refused",
    "worker.lost",
    "worker.ready",
]

ACTIONS: frozenset[str] = frozenset(get_args(Action))
