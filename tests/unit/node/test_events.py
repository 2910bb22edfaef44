"""Asynchronous invocation put together from a configuration."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from lambdad.events.service import EventService
from lambdad.node.config import Config
from lambdad.node.events import make_events
from lambdad.node.observer import EventObserver
from lambdad.node.paths import Paths
from lambdad.node.tasks import Tasks
from lambdad.store.catalogue import Catalogue
from lambdad.telemetry.event_metrics import EventMetrics
from lambdad.telemetry.log import silent
from lambdad.telemetry.metrics import Metrics
from lambdad.testing.conformance.event_queue import make_message
from lambdad.testing.event_doubles import DirectQueue, FakeFunctions
from lambdad.testing.waiting import wait_until_async


def test_events_of_functions_that_are_gone_end_among_the_dead(tmp_path: Path) -> None:
    queue = DirectQueue()
    queue.table.put([replace(make_message("1", "000000000000/us-east-1/gone:"), meta='{"trace_id":""}')], 0.0)
    metrics = Metrics()

    async def run() -> None:
        log = silent()
        with ThreadPoolExecutor(1) as threads:
            async with Tasks(log) as tasks:
                service: EventService = make_events(
                    Config(data_dir=tmp_path),
                    Paths(tmp_path),
                    queue,
                    Catalogue(),
                    FakeFunctions(),  # type: ignore[arg-type]
                    EventObserver(metrics, EventMetrics(metrics.registry)),
                    threads,
                    tasks,
                    log,
                )
                await service.open()
                tasks.spawn(service.run())
                await wait_until_async(lambda: queue.table.usage("event").dead == 1, "the death")

    asyncio.run(run())
    assert b'lambdad_async_events_dropped_total{function="gone",reason="FunctionDeleted"} 1.0' in metrics.render()
