"""The handler of the lane of events: one attempt is one invocation through placement, as the frontend's are.

The function is resolved again at every attempt: events that waited run the code of now. The request id stays.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Protocol

import orjson

from lambdad.events.event import (
    Event,
    LastAttempt,
    decode_event,
    decode_last,
    encode_last,
    parse_scope,
    progress_of,
)
from lambdad.events.policy import (
    Condition,
    Decision,
    GiveUp,
    Rules,
    Timing,
    TryLater,
    after_function_error,
    after_refusal,
    before_attempt,
)
from lambdad.events.records import (
    DeliveryKind,
    dead_letter_attributes,
    delivery,
    destination_record,
    encode_delivery,
)
from lambdad.events.verdict import Done, GivenUp, Later, Settle
from lambdad.model.arn import Namespace, function_arn
from lambdad.model.clock import Clock
from lambdad.model.environment import EnvironmentSpec
from lambdad.model.errors import ApiError
from lambdad.model.invocation import Invocation, InvocationResult
from lambdad.model.lineage import PASSES_MAX, passes
from lambdad.model.settings import InvokeConfig
from lambdad.model.target import Target
from lambdad.placement.service import Ticket
from lambdad.store.event_queue import Death, Message, Retry

UNRESOLVED_S = 0.0
"""How long an attempt takes that finds no function."""
FUNCTION_DELETED = "FunctionDeleted"


class Resolver(Protocol):
    def resolve(self, namespace: Namespace, name: str, qualifier: str | None, draw: float) -> Target: ...


class Placer(Protocol):
    def submit(self, ticket: Ticket) -> None: ...


class Observer(Protocol):
    """Hears of invocations, as the frontend's does, and of events."""

    def invoked(self, spec: EnvironmentSpec, result: InvocationResult, timings: Mapping[str, float]) -> None: ...
    def rejected(self, namespace: Namespace, function: str, error: ApiError) -> None: ...

    def event_started(self, function: str, age: float) -> None:
        """An attempt begins. age: seconds since the event was accepted."""
        ...

    def event_dropped(self, function: str, reason: str) -> None:
        """An event was given up. reason: a `Condition`, or FUNCTION_DELETED."""
        ...


Settings = Callable[[Namespace, str, str], InvokeConfig | None]
"""The configuration of asynchronous invokes of: namespace, function, qualifier (`Target.setting_key`)."""


class EventRunner:
    """Runs events. A `verdict.Handler`."""

    def __init__(
        self,
        resolver: Resolver,
        settings: Settings,
        placer: Placer,
        observer: Observer,
        clock: Clock,
        steady: Clock,
        timing: Timing,
    ) -> None:
        """clock: for tickets, as placement's. steady: epoch seconds that do not jump, as the queue's."""
        self._resolver = resolver
        self._settings = settings
        self._placer = placer
        self._observer = observer
        self._clock = clock
        self._steady = steady
        self._timing = timing

    def attempt_s(self, scope: str) -> float:
        namespace, function, qualifier = parse_scope(scope)
        try:
            return float(self._resolver.resolve(namespace, function, qualifier, 0.0).spec.timeout_s)
        except ApiError:
            return UNRESOLVED_S

    def start(self, message: Message, settle: Settle) -> None:
        _Run(self, message, settle).start()

    # -- for `_Run`

    def resolve(self, event: Event) -> Target:
        draw = random.random()  # noqa: S311
        return self._resolver.resolve(event.namespace, event.function, event.qualifier, draw)

    def configuration(self, event: Event, target: Target | None) -> InvokeConfig | None:
        key = event.qualifier or "$LATEST" if target is None else target.setting_key
        return self._settings(event.namespace, event.function, key)

    def submit(self, ticket: Ticket) -> None:
        self._placer.submit(ticket)

    @property
    def observer(self) -> Observer:
        return self._observer

    @property
    def timing(self) -> Timing:
        return self._timing

    def now(self) -> float:
        return self._steady.time()

    def monotonic(self) -> float:
        return self._clock.monotonic()


class _Run:
    """One attempt at one event."""

    def __init__(self, runner: EventRunner, message: Message, settle: Settle) -> None:
        self._runner = runner
        self._message = message
        self._settle = settle
        self._event = decode_event(message)
        self._progress = progress_of(message)
        self._rules = Rules()
        self._config: InvokeConfig | None = None
        self._target: Target | None = None

    def start(self) -> None:
        runner, event = self._runner, self._event
        refusal: ApiError | None = None
        try:
            self._target = runner.resolve(event)
        except ApiError as error:
            if error.status == 404:
                self._forget()
                return
            refusal = error
        self._config = runner.configuration(event, self._target)
        self._rules = _rules(self._config)
        now = runner.now()
        reserved = None if self._target is None else self._target.reserved_concurrency
        end = before_attempt(self._progress, self._rules, reserved, now)
        if end is None and self._goes_round():
            end = GiveUp(Condition.RECURSIVE_LOOP)
        if end is not None:
            self._give_up(end.condition, self._message.attempts, decode_last(self._message.last))
        elif refusal is not None or self._target is None:
            self._refused(refusal)
        else:
            runner.observer.event_started(event.function, now - event.accepted)
            self._invoke(self._target)

    def _goes_round(self) -> bool:
        """Whether the event has passed its function too often."""
        event, target = self._event, self._target
        if target is None or target.recursion_allowed:
            return False
        return passes(event.trace_id, function_arn(event.namespace, event.function)) > PASSES_MAX

    def _invoke(self, target: Target) -> None:
        event = self._event
        invocation = Invocation(
            request_id=event.request_id,
            payload=event.payload,
            invoked_arn=target.invoked_arn,
            trace_id=event.trace_id,
        )
        ticket = Ticket(target, invocation, self._runner.monotonic(), self._answered, is_event=True)
        try:
            self._runner.submit(ticket)
        except ApiError as error:
            self._refused(error)

    def _answered(self, ticket: Ticket, outcome: InvocationResult | ApiError) -> None:
        if isinstance(outcome, ApiError):
            self._refused(outcome)
            return
        timings = {**ticket.timings, **outcome.timings}
        timings.setdefault("duration", 0.0)
        self._runner.observer.invoked(ticket.spec, outcome, timings)
        assert self._target is not None
        last = _last_of(outcome, self._target.executed_version)
        if outcome.error is None:
            self._succeed(last)
            return
        decision = after_function_error(self._progress, self._rules, self._runner.timing, self._runner.now())
        self._decide(decision, self._message.attempts + 1, last, refused=False)

    def _refused(self, error: ApiError | None) -> None:
        """The function did not run."""
        if error is not None:
            self._runner.observer.rejected(self._event.namespace, self._event.function, error)
        decision = after_refusal(self._progress, self._rules, self._runner.timing, self._runner.now())
        last = decode_last(self._message.last)
        if last is None or last.executed_version is None:
            last = None if error is None else LastAttempt(status=error.status, error_message=error.message)
        self._decide(decision, self._message.attempts, last, refused=True)

    def _decide(self, decision: Decision, attempts: int, last: LastAttempt | None, *, refused: bool) -> None:
        match decision:
            case TryLater(due, progress):
                retry = Retry(due=due, attempts=progress.attempts, refusals=progress.refusals, last=encode_last(last))
                self._settle(Later(retry, refused))
            case GiveUp(condition):
                self._give_up(condition, attempts, last)

    def _succeed(self, last: LastAttempt) -> None:
        target = "" if self._config is None else self._config.on_success
        if not target:
            self._settle(Done())
            return
        self._settle(Done([self._record("on-success", target, Condition.SUCCESS, self._message.attempts + 1, last)]))

    def _give_up(self, condition: Condition, attempts: int, last: LastAttempt | None) -> None:
        event, now = self._event, self._runner.now()
        follow: list[Message] = []
        if self._config is not None and self._config.on_failure:
            follow.append(self._record("on-failure", self._config.on_failure, condition, attempts, last))
        if self._target is not None and self._target.dead_letter_arn:
            attributes = dead_letter_attributes(event, condition, last)
            letter = delivery("dead-letter", self._target.dead_letter_arn, event, event.payload, now, attributes)
            follow.append(encode_delivery(letter))
        self._runner.observer.event_dropped(event.function, condition.value)
        death = Death(now=now, reason=condition.value, attempts=attempts, last=encode_last(last))
        self._settle(GivenUp(death, follow))

    def _record(
        self, kind: DeliveryKind, target: str, condition: Condition, attempts: int, last: LastAttempt | None
    ) -> Message:
        now = self._runner.now()
        body = destination_record(self._event, condition, attempts, last, now)
        return encode_delivery(delivery(kind, target, self._event, body, now))

    def _forget(self) -> None:
        """The function is gone: as AWS, no record is sent; the event stays among the dead for a person to see."""
        self._runner.observer.event_dropped(self._event.function, FUNCTION_DELETED)
        death = Death(
            now=self._runner.now(),
            reason=FUNCTION_DELETED,
            attempts=self._message.attempts,
            last=self._message.last,
        )
        self._settle(GivenUp(death))


def _rules(config: InvokeConfig | None) -> Rules:
    defaults = Rules()
    if config is None:
        return defaults
    retries, age = config.maximum_retries, config.maximum_age
    return Rules(
        maximum_retries=defaults.maximum_retries if retries is None else retries,
        maximum_age=defaults.maximum_age if age is None else age,
    )


def _last_of(result: InvocationResult, version: str) -> LastAttempt:
    text = result.payload.decode(errors="replace")
    return LastAttempt(
        status=200,
        executed_version=version,
        function_error=result.error,
        payload=text,
        error_message="" if result.error is None else _message_in(text) or result.error_type or result.error,
    )


def _message_in(payload: str) -> str:
    """`errorMessage` of an error object."""
    try:
        document = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return ""
    text = document.get("errorMessage") if isinstance(document, dict) else None
    return text if isinstance(text, str) else ""
