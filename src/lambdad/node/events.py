"""Asynchronous invocation put together: the queue's lanes, their handlers, and what they need of the node."""

from __future__ import annotations

import os
from concurrent.futures import Executor

from lambdad.events.aws import AWS_SERVICES, AwsSender
from lambdad.events.destinations import Deliverer, Sender, Ways
from lambdad.events.local import FileSender, WebhookSender
from lambdad.events.policy import Timing
from lambdad.events.runner import EventRunner
from lambdad.events.schedule import Limits
from lambdad.events.service import EventService
from lambdad.model.arn import Namespace
from lambdad.model.clock import SteadyClock, SystemClock
from lambdad.model.destination import Service
from lambdad.model.settings import InvokeConfig
from lambdad.node.config import Config
from lambdad.node.observer import EventObserver
from lambdad.node.paths import Paths
from lambdad.node.tasks import Tasks
from lambdad.placement.service import Placement
from lambdad.store.catalogue import Catalogue
from lambdad.store.event_queue import EventQueue
from lambdad.store.settings import INVOKE_CONFIG
from lambdad.telemetry.log import Logger

DELIVERY_THREADS = 8
_DELIVERIES = Limits(per_scope=4, total=16)
"""A target that hangs holds half of the threads at most."""


def make_events(
    config: Config,
    paths: Paths,
    queue: EventQueue,
    catalogue: Catalogue,
    placement: Placement,
    observer: EventObserver,
    threads: Executor,
    tasks: Tasks,
    log: Logger,
) -> EventService:
    """threads: for deliveries, `DELIVERY_THREADS` of them."""
    steady = SteadyClock()
    timing = Timing(retry_delays=config.retry_delays)

    def settings(namespace: Namespace, function: str, qualifier: str) -> InvokeConfig | None:
        return catalogue.setting(INVOKE_CONFIG, namespace, function, qualifier)

    aws = AwsSender(os.environ)
    senders: dict[Service, Sender] = dict.fromkeys(AWS_SERVICES, aws)
    senders |= {"file": FileSender(paths.destinations), "webhook": WebhookSender()}
    runner = EventRunner(catalogue, settings, placement, observer, SystemClock(), steady, timing)
    deliverer = Deliverer(Ways(senders, threads), catalogue, observer, steady, tasks.spawn, log, config.delivery_delays)
    events = Limits(per_scope=config.event_concurrency, total=4 * config.event_concurrency)
    return EventService(
        queue,
        {"event": (runner, events), "delivery": (deliverer, _DELIVERIES)},
        observer,
        steady,
        log,
    )
