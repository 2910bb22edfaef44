"""The entry of the processes under `lambdad up`: python -m lambdad.node.process ROLE READY_FD [LISTENER_FD].

The configuration comes on standard input. A line on READY_FD says that the process serves. SIGTERM ends it in order;
Ctrl-C of the terminal is the supervisor's business; if the supervisor dies, so does this process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Coroutine
from typing import Any

import uvloop

from lambdad.linux.syscalls import set_parent_death_signal
from lambdad.node import api, worker
from lambdad.node.config import from_json
from lambdad.node.privileges import drop
from lambdad.telemetry.log import configure


def main(arguments: list[str]) -> int:
    role, ready_fd = arguments[0], int(arguments[1])
    parent = os.getppid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    config = from_json(sys.stdin.read())
    if role == "api":
        drop(config)
    set_parent_death_signal(signal.SIGTERM)  # after the change of user, which clears it
    if os.getppid() != parent:
        return 1  # it died before it could be watched
    log = configure(config.log_level, as_json=config.json_logs, name=role)

    def ready() -> None:
        os.write(ready_fd, b"ready\n")
        os.close(ready_fd)

    if role == "worker":
        run = worker.serve(config, log, ready)
    else:
        listener = socket.socket(fileno=int(arguments[2]))
        run = api.serve(config, log, ready, listener)
    uvloop.run(_until_told(run))
    return 0


async def _until_told(serving: Coroutine[Any, Any, None]) -> None:
    """Run until SIGTERM, then cancel, and let it clean up."""
    loop = asyncio.get_running_loop()
    task = loop.create_task(serving)
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
