"""How the processes under `lambdad up` live: python -m lambdad.node.api|worker READY_FD [LISTENER_FD].

The configuration comes on standard input. A line on READY_FD says that the process serves. SIGTERM ends it in order;
Ctrl-C of the terminal is the supervisor's business; if the supervisor dies, so does this process. Each process imports
only what it runs: the worker has no use for AWS's service model, nor the API for the sandbox driver.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import uvloop

from lambdad.linux.syscalls import set_parent_death_signal
from lambdad.node.config import Config, from_json
from lambdad.telemetry.log import Logger, configure

Serve = Callable[[Config, Logger, Callable[[], None]], Coroutine[Any, Any, None]]
"""What a process does until it is cancelled; it calls the last argument once it serves."""


class CannotServe(Exception):
    """A process of the node cannot do its work on this host; the text says why and what to do."""


def run(role: str, serve: Serve, prepare: Callable[[Config], None]) -> int:
    """Run a process to its end; its exit status. prepare: called before anything else, still with all rights."""
    ready_fd = int(sys.argv[1])
    parent = os.getppid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    config = from_json(sys.stdin.read())
    prepare(config)
    set_parent_death_signal(signal.SIGTERM)  # after a change of user, which clears it
    if os.getppid() != parent:
        return 1  # it died before it could be watched
    log = configure(config.log_level, as_json=config.json_logs, name=role)

    def ready() -> None:
        os.write(ready_fd, b"ready\n")
        os.close(ready_fd)

    try:
        uvloop.run(_until_told(serve(config, log, ready)))
    except CannotServe as error:
        log.error("process.cannot_serve", why=str(error))
        return 1
    return 0


async def _until_told(serving: Coroutine[Any, Any, None]) -> None:
    """Run until SIGTERM, then cancel, and let it clean up."""
    loop = asyncio.get_running_loop()
    task = loop.create_task(serving)
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task
