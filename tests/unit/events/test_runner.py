"""One attempt at one event, with every way that it can end."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from lambdad.events.event import Event, decode_last, encode_event
from lambdad.events.policy import Timing
from lambdad.events.runner import UNRESOLVED_S, EventRunner
from lambdad.events.verdict import Done, GivenUp, Later, Verdict
from lambdad.model.arn import function_arn
from lambdad.model.errors import ApiError, conflict, service_error, throttled
from lambdad.model.invocation import InvocationResult
from lambdad.model.lineage import PASSES_MAX, pass_through
from lambdad.model.settings import InvokeConfig
from lambdad.model.target import Target
from lambdad.store.event_queue import Message
from lambdad.testing.event_doubles import FakeFunctions, RecordingObserver, VirtualClock, failed, succeeded
from lambdad.testing.specs import HERE, make_spec

SQS = "arn:aws:sqs:us-east-1:000000000000:letters"


class World:
    def __init__(self, *outcomes: InvocationResult | ApiError, **config: object) -> None:
        self.clock = VirtualClock()
        self.functions = FakeFunctions()
        self.functions.outcomes = list(outcomes)
        self.functions.configs["f:$LATEST"] = InvokeConfig(last_modified=0.0, **config)  # type: ignore[arg-type]
        self.observer = RecordingObserver()
        self.runner = EventRunner(
            self.functions,
            self.functions.settings,
            self.functions,
            self.observer,
            self.clock,
            self.clock,
            Timing(),
        )
        self.verdicts: list[Verdict] = []

    def message(self, **progress: int | bytes) -> Message:
        event = Event(
            namespace=HERE,
            function="f",
            qualifier=None,
            request_id="r-1",
            trace_id="t",
            payload=b'{"a":1}',
            accepted=self.clock.now,
        )
        return replace(encode_event(event), **progress)  # type: ignore[arg-type]

    def run(self, message: Message | None = None) -> Verdict:
        self.runner.start(message or self.message(), self.verdicts.append)
        return self.verdict

    @property
    def verdict(self) -> Verdict:
        [verdict] = self.verdicts
        return verdict


def test_the_function_gets_the_event_under_the_same_request_id() -> None:
    world = World()
    world.runner.start(world.message(attempts=1), world.verdicts.append)
    [ticket] = world.functions.tickets
    invocation = ticket.invocation
    assert (invocation.request_id, invocation.payload, invocation.trace_id) == ("r-1", b'{"a":1}', "t")
    assert world.verdicts == []
    ticket.settle(succeeded())
    assert world.verdict == Done()
    assert world.observer.heard == [("started", "f", 0.0), ("invoked", "f", None)]


def test_a_success_with_a_destination_makes_a_record() -> None:
    verdict = World(succeeded(b"[1]"), on_success=SQS).run()
    assert isinstance(verdict, Done)
    [record] = verdict.follow
    assert (record.lane, record.id, record.scope) == ("delivery", "r-1/on-success", f"000000000000/us-east-1/{SQS}")
    assert json.loads(record.payload)["responsePayload"] == [1]


def test_a_failure_is_put_back_with_what_it_brought() -> None:
    world = World(failed())
    verdict = world.run()
    assert isinstance(verdict, Later)
    assert (verdict.retry.due, verdict.retry.attempts, verdict.refused) == (world.clock.now + 60, 1, False)
    last = decode_last(verdict.retry.last)
    assert last is not None
    assert (last.function_error, last.error_message) == ("Unhandled", "no")


def test_the_last_failure_goes_to_the_destination_and_the_dead_letter_queue() -> None:
    world = World(failed(), on_failure="arn:aws:lambdad:::file/x")
    world.functions.change("f", dead_letter_arn=SQS)
    verdict = world.run(world.message(attempts=2))
    assert isinstance(verdict, GivenUp)
    assert (verdict.death.reason, verdict.death.attempts) == ("RetriesExhausted", 3)
    record, letter = verdict.follow
    assert (record.id, letter.id) == ("r-1/on-failure", "r-1/dead-letter")
    assert json.loads(record.payload)["requestContext"]["approximateInvokeCount"] == 3
    assert letter.payload == b'{"a":1}'
    assert world.observer.heard[-1] == ("dropped", "f", "RetriesExhausted")


def test_throttles_and_errors_of_the_platform_cost_no_attempt() -> None:
    for outcome in (throttled("x"), service_error("lost")):
        world = World(outcome)
        verdict = world.run(world.message(attempts=2, refusals=3))
        assert isinstance(verdict, Later)
        assert (verdict.retry.attempts, verdict.retry.refusals, verdict.refused) == (2, 4, True)
        assert verdict.retry.due == world.clock.now + 8
        assert ("rejected", "f", outcome.status) in world.observer.heard


def test_what_a_failure_brought_outlives_a_later_throttle() -> None:
    first = World(failed()).run()
    assert isinstance(first, Later)
    world = World(throttled("x"))
    second = world.run(world.message(attempts=1, last=first.retry.last))
    assert isinstance(second, Later)
    assert second.retry.last == first.retry.last


def test_an_old_event_is_given_up_without_running() -> None:
    world = World(succeeded(), maximum_age=60, on_failure=SQS)
    message = world.message()
    world.clock.now += 60
    verdict = world.run(message)
    assert isinstance(verdict, GivenUp)
    assert verdict.death.reason == "EventAgeExceeded"
    assert len(verdict.follow) == 1
    assert world.functions.outcomes


@pytest.mark.parametrize("is_allowed", [False, True])
def test_an_event_that_goes_round_in_circles_is_given_up_unless_that_is_allowed(is_allowed: bool) -> None:
    world = World(succeeded(), on_failure=SQS)
    world.functions.change("f", recursion_allowed=is_allowed)
    message = world.message()
    trace = "Root=1-2-3"
    for _ in range(PASSES_MAX + 1):
        trace, _ = pass_through(trace, function_arn(HERE, "f"))
    verdict = world.run(replace(message, meta=json.dumps({"trace_id": trace})))
    if is_allowed:
        assert isinstance(verdict, Done)
        return
    assert isinstance(verdict, GivenUp)
    assert (verdict.death.reason, len(verdict.follow)) == ("RecursiveLoop", 1)
    assert world.functions.outcomes


def test_a_reservation_of_zero_gives_up_at_once() -> None:
    world = World(succeeded(), on_failure=SQS)
    world.functions.change("f", reserved_concurrency=0)
    verdict = world.run()
    assert isinstance(verdict, GivenUp)
    assert (verdict.death.reason, verdict.death.attempts) == ("ZeroReservedConcurrency", 0)


def test_events_of_a_deleted_function_are_dropped_without_a_record() -> None:
    world = World(on_failure=SQS)
    message = world.message()
    del world.functions.targets["f"]
    verdict = world.run(message)
    assert isinstance(verdict, GivenUp)
    assert (verdict.death.reason, list(verdict.follow)) == ("FunctionDeleted", [])
    assert world.observer.heard == [("dropped", "f", "FunctionDeleted")]


def test_a_function_that_is_not_ready_is_waited_for() -> None:
    world = World()

    class Pending(FakeFunctions):
        def resolve(self, *args: object) -> Target:
            raise conflict("Pending")

    world.runner = EventRunner(
        Pending(), lambda *_: None, world.functions, world.observer, world.clock, world.clock, Timing()
    )
    verdict = world.run()
    assert isinstance(verdict, Later)
    assert verdict.refused


def test_an_attempt_takes_as_long_as_the_functions_timeout() -> None:
    world = World()
    world.functions.change("f", spec=make_spec(timeout_s=300))
    assert world.runner.attempt_s("000000000000/us-east-1/f:") == 300.0
    assert world.runner.attempt_s("000000000000/us-east-1/nobody:") == UNRESOLVED_S


def test_an_error_without_a_message_is_named_by_its_type() -> None:
    for payload in (b"not json", b"[]", b'{"errorMessage":5}'):
        world = World(failed(payload), maximum_retries=0)
        world.functions.change("f", dead_letter_arn=SQS)
        verdict = world.run()
        assert isinstance(verdict, GivenUp)
        [letter] = verdict.follow
        assert json.loads(letter.meta)["attributes"]["ErrorMessage"] == "ValueError"
