"""Polling ends with the condition, or with a sentence that names it."""

from __future__ import annotations

import asyncio
from itertools import count

import pytest

from lambdad.testing.waiting import wait_until, wait_until_async


def test_waiting_ends_when_the_condition_holds() -> None:
    calls = count()
    wait_until(lambda: next(calls) == 3, "the fourth call")
    assert next(calls) == 4


def test_a_deadline_names_what_did_not_come() -> None:
    with pytest.raises(TimeoutError, match="not within 0 s: the train"):
        wait_until(lambda: False, "the train", timeout=0)


def test_the_event_loop_runs_while_waiting() -> None:
    async def scenario() -> None:
        happened = asyncio.Event()
        asyncio.get_running_loop().call_soon(happened.set)
        await wait_until_async(happened.is_set, "the callback")

    asyncio.run(scenario())


def test_the_asynchronous_deadline_names_it_too() -> None:
    with pytest.raises(TimeoutError, match="not within 0 s: the train"):
        asyncio.run(wait_until_async(lambda: False, "the train", timeout=0))
