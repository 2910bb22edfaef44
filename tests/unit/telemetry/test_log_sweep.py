"""Looking through all logs now and then."""

from __future__ import annotations

import asyncio
import threading

import pytest

from lambdad.telemetry.log_sweep import sweep_logs


class Enough(Exception):
    """Ends what would go on for ever."""


def test_it_begins_at_once_and_goes_on_outside_of_the_loop() -> None:
    threads: list[int] = []

    def sweep() -> None:
        threads.append(threading.get_ident())
        if len(threads) == 3:
            raise Enough

    with pytest.raises(Enough):
        asyncio.run(sweep_logs(sweep, period=0.0))
    assert threading.get_ident() not in threads
