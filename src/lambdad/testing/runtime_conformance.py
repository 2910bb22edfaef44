"""Runs a custom runtime against a scripted Runtime API and says, case by case, how it keeps to the contract.

The tested function speaks the small protocol of docs/runtimes.md. Rule: every case gets a process and a place of its
own, and leaves none behind.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum

from lambdad.testing.runtime_cases import CASES, Case, idle_case
from lambdad.testing.runtime_places import Places, PlainPlaces, sandbox_places
from lambdad.testing.runtime_session import NonConformance, Unsupported, session_in
from lambdad.testing.runtime_subject import Subject

_AT_ONCE = 3
"""Cases in sandboxes: most of a case's time is waiting."""
CASE_NAMES = tuple(case.name for case in CASES)


class Verdict(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True, slots=True)
class CaseResult:
    """What came of one case. detail: why it did not pass, in one line, else empty."""

    case: str
    verdict: Verdict
    detail: str = ""


async def runtime_conformance(
    subject: Subject,
    *,
    patience: float = 20.0,
    sandboxed: bool = False,
    cases: Collection[str] = CASE_NAMES,
    idle: float = 0.0,
    told: Callable[[CaseResult], None] = lambda result: None,
) -> list[CaseResult]:
    """Play the named cases: in the open one after the other, in sandboxes some at once. Results are in their order.

    told: called with each result as it is there. patience: seconds for each step of a case. sandboxed: behind the
    platform's own walls, which needs root; else as this user, with no walls at all. idle: seconds of an additional case
    in which nothing happens, if not 0. Raises OSError or `StartError` where the runtime cannot be started,
    `SandboxError` where the sandbox cannot.
    """
    chosen = [case for case in CASES if case.name in cases]
    if idle:
        chosen.append(idle_case(idle))
    results: dict[str, CaseResult] = {}

    async def play(case: Case, places: Places) -> None:
        results[case.name] = await _run(case, places, patience)
        told(results[case.name])

    if sandboxed:
        async with sandbox_places(subject) as sandboxes:
            for case in chosen[:1]:
                await play(case, sandboxes)  # alone: what cannot be started is told by it
            await _play_in_turns(chosen[1:], functools.partial(play, places=sandboxes))
    else:
        for case in chosen:
            await play(case, PlainPlaces(subject))
    return [results[case.name] for case in chosen]


async def _play_in_turns(cases: Iterable[Case], play: Callable[[Case], Awaitable[None]]) -> None:
    """A few at once: behind walls they cannot disturb each other. Raises the first error of any."""
    turns = asyncio.Semaphore(_AT_ONCE)

    async def take_turn(case: Case) -> None:
        async with turns:
            await play(case)

    try:
        async with asyncio.TaskGroup() as tasks:
            for case in cases:
                tasks.create_task(take_turn(case))
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None


async def _run(case: Case, places: Places, patience: float) -> CaseResult:
    tell = functools.partial(CaseResult, case.name)
    async with places.open() as place, session_in(place, case.script, patience) as session:
        try:
            await case.play(session)
        except NonConformance as error:
            return tell(Verdict.FAILED, str(error))
        except Unsupported as error:
            return tell(Verdict.UNSUPPORTED, str(error))
    return tell(Verdict.PASSED)
