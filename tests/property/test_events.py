"""Asynchronous invocation under random input, in virtual time: nothing is lost, nothing is settled twice."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from lambdad.events.event import Event, encode_event, scope_of
from lambdad.events.policy import (
    Condition,
    GiveUp,
    Progress,
    Rules,
    Timing,
    TryLater,
    after_function_error,
    after_refusal,
    before_attempt,
)
from lambdad.events.runner import EventRunner
from lambdad.events.schedule import Limits, Schedule
from lambdad.events.verdict import Done, GivenUp, Later, Verdict
from lambdad.model.errors import throttled
from lambdad.placement.service import Ticket
from lambdad.store.event_queue import Death, LeaseKey, Message, Retry, Selection, Usage
from lambdad.store.event_queue_memory import MemoryEvents
from lambdad.testing.event_doubles import (
    FakeFunctions,
    RecordingObserver,
    VirtualClock,
    failed,
    sqlite_events,
    succeeded,
)
from lambdad.testing.specs import HERE, make_spec, make_target

SCOPES = ("a", "b")
STEPS = int(os.environ.get("LAMBDAD_EVENT_STEPS", "50000"))


class TwoTables(RuleBasedStateMachine):
    """The SQL table and the one in memory do the same, and what was put is always somewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.held = ExitStack()
        self.tables = (self.held.enter_context(sqlite_events()), MemoryEvents())
        self.now = 0.0
        self.put_count = self.acked = self.purged = self.trimmed = 0
        self.keys: list[LeaseKey] = []
        self.ended: set[LeaseKey] = set()

    def teardown(self) -> None:
        self.held.close()

    def both(self, work: Callable[[object], object]) -> object:
        first, second = (work(table) for table in self.tables)
        assert first == second
        return first

    @rule(scope=st.sampled_from(SCOPES), delay=st.integers(0, 5))
    def put(self, scope: str, delay: int) -> None:
        self.put_count += 1
        # Due times differ, so that the order of leases is defined.
        due = self.now + delay + self.put_count / 10_000
        message = Message(
            lane="event", id=str(self.put_count), scope=scope, meta="{}", payload=b"x" * delay, accepted=self.now
        )
        self.both(lambda table: table.put([message], due))

    @rule(delay=st.integers(1, 20))
    def pass_time(self, delay: int) -> None:
        self.now += delay + self.put_count / 100_000

    @rule(scope=st.sampled_from(SCOPES), limit=st.integers(1, 3), seconds=st.integers(1, 15))
    def lease(self, scope: str, limit: int, seconds: int) -> None:
        # One by one, so that no two leases end at the same moment.
        for number in range(limit):
            until = self.now + seconds + (len(self.keys) + number) / 1_000_000
            leased = self.both(lambda table, until=until: table.lease("event", scope, self.now, until, 1))
            self.keys.extend(found.key for found in leased.leases)

    @rule(data=st.data(), way=st.sampled_from(["ack", "nack", "kill", "extend"]))
    def settle(self, data: st.DataObject, way: str) -> None:
        """With any key that there ever was, the current ones among them."""
        if not self.keys:
            return
        key = data.draw(st.sampled_from(self.keys))
        later = self.now + data.draw(st.integers(0, 10)) + len(self.keys) / 1_000_000
        match way:
            case "ack":
                current = self.both(lambda table: table.ack(key))
                self.acked += bool(current)
            case "nack":
                retry = Retry(due=later, attempts=1, refusals=2, last=b"l")
                current = self.both(lambda table: table.nack(key, retry))
            case "kill":
                dead = Death(now=self.now, reason="r", attempts=3, last=b"d")
                current = self.both(lambda table: table.kill(key, dead))
            case _:
                self.both(lambda table: table.extend(key, later))
                return
        if current:
            assert key not in self.ended, "settled twice"
            self.ended.add(key)

    @rule()
    def restart(self) -> None:
        # In SQL several may become due at the same moment: give them an order again.
        self.both(lambda table: table.recover(self.now, self.now + 100))
        for scope in SCOPES:
            leased = [table.lease("event", scope, self.now, self.now + 1, 1_000).leases for table in self.tables]
            keys = [sorted((found.key for found in found_by), key=lambda key: int(key.id)) for found_by in leased]
            assert keys[0] == keys[1]
            for number, key in enumerate(keys[0]):
                due = self.now + number / 1_000_000
                self.both(lambda table, key=key, due=due: table.nack(key, Retry(due=due, attempts=0)))
            self.ended.update(keys[0])

    @rule(scope=st.sampled_from(("", *SCOPES)))
    def redrive(self, scope: str) -> None:
        first, second = (table.redrive(Selection(scope_prefix=scope), self.now) for table in self.tables)
        assert sorted(first) == sorted(second)
        self.restart()

    @rule(scope=st.sampled_from(SCOPES), dead=st.booleans())
    def purge(self, scope: str, dead: bool) -> None:
        self.purged += int(self.both(lambda table: table.purge(Selection(scope=scope), dead=dead)))

    @rule(count=st.integers(0, 3), size=st.integers(0, 10))
    def trim(self, count: int, size: int) -> None:
        self.trimmed += int(self.both(lambda table: table.trim_dead(count, size)))

    @invariant()
    def everything_is_somewhere(self) -> None:
        usage = self.both(lambda table: table.usage("event"))
        assert isinstance(usage, Usage)
        kept = usage.waiting + usage.leased + usage.dead
        assert self.put_count == kept + self.acked + self.purged + self.trimmed
        assert min(usage.waiting, usage.leased, usage.size, usage.dead, usage.dead_size) >= 0
        self.both(lambda table: table.due_by_scope("event"))
        self.both(lambda table: [entry.message for entry in table.entries(Selection(), 99, dead=True)])


TestTwoTables = TwoTables.TestCase
TestTwoTables.settings = settings(
    max_examples=25, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck)
)


class World(RuleBasedStateMachine):
    """Schedule, runner, policy and table together; functions succeed, fail, are throttled, hang; we crash."""

    FUNCTIONS = ("f", "g", "h")
    LIMITS = Limits(per_scope=3, total=5)

    @initialize()
    def start(self) -> None:
        self.clock = VirtualClock()
        self.table = MemoryEvents()
        self.functions = FakeFunctions()
        self.observer = RecordingObserver()
        for name in self.FUNCTIONS:
            self.functions.targets[name] = make_target(spec=make_spec(function_name=name))
        self.count = self.acked = self.trimmed = 0
        self.finals: dict[str, str] = {}
        self.boot()

    def boot(self) -> None:
        """What a process has in memory."""
        self.schedule = Schedule(self.LIMITS)
        self.functions.tickets = []
        self.runner = EventRunner(
            self.functions,
            self.functions.settings,
            self.functions,
            self.observer,
            self.clock,
            self.clock,
            Timing(),
        )
        for scope, due in self.table.due_by_scope("event").items():
            self.schedule.note(scope, due)

    @rule(name=st.sampled_from(FUNCTIONS))
    def accept(self, name: str) -> None:
        self.count += 1
        event = Event(
            namespace=HERE,
            function=name,
            qualifier=None,
            request_id=f"r{self.count}",
            trace_id="",
            payload=b"{}",
            accepted=self.clock.now,
        )
        self.table.put([encode_event(event)], self.clock.now)
        self.schedule.note(scope_of(HERE, name, None), self.clock.now)

    @rule(seconds=st.sampled_from([0.5, 1, 60, 120, 300, 7200]))
    def pass_time(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule()
    def dispatch(self) -> None:
        now = self.clock.now
        for grant in self.schedule.grant(now):
            until = now + 100_000  # heartbeats keep the leases of what runs
            leased = self.table.lease("event", grant.scope, now, until, grant.count)
            self.schedule.leased(grant, len(leased.leases), leased.next_due)
            for found in leased.leases:
                self.runner.start(found.message, self.settler(found.key, found.message))

    def settler(self, key: LeaseKey, message: Message) -> Callable[[Verdict], None]:
        schedule = self.schedule

        def settle(verdict: Verdict) -> None:
            assert schedule is self.schedule, "a verdict from before the crash"
            match verdict:
                case Done():
                    assert self.table.ack(key)
                    self.acked += 1
                    self.end(message.id, "acked")
                case Later(retry, _):
                    assert retry.due > self.clock.now
                    assert retry.due <= message.accepted + Rules().maximum_age
                    assert self.table.nack(key, retry)
                    self.schedule.note(message.scope, retry.due)
                case GivenUp(death, _):
                    assert self.table.kill(key, death)
                    self.end(message.id, death.reason)
            self.schedule.finished(message.scope, refused=isinstance(verdict, Later) and verdict.refused)

        return settle

    def forget_the_dead(self) -> None:
        """As a node does when there are many."""
        self.trimmed += self.table.trim_dead(0, 0)

    def end(self, request_id: str, how: str) -> None:
        assert request_id not in self.finals, "two ends"
        self.finals[request_id] = how

    @rule(number=st.integers(0, 99), way=st.sampled_from(["succeed", "fail", "throttle"]))
    def answer(self, number: int, way: str) -> None:
        if not self.functions.tickets:
            return
        ticket: Ticket = self.functions.tickets.pop(number % len(self.functions.tickets))
        ticket.settle({"succeed": succeeded(), "fail": failed(), "throttle": throttled("x")}[way])

    @rule()
    def crash(self) -> None:
        self.table.recover(self.clock.now, self.clock.now + 21_600)
        self.boot()

    @rule(name=st.sampled_from(FUNCTIONS), reserved=st.sampled_from([None, 0]))
    def reserve(self, name: str, reserved: int | None) -> None:
        self.functions.change(name, reserved_concurrency=reserved)

    @invariant()
    def nothing_is_lost_and_no_limit_is_passed(self) -> None:
        usage = self.table.usage("event")
        dead = usage.dead + self.trimmed
        assert self.count == usage.waiting + usage.leased + self.acked + dead
        assert len(self.finals) == self.acked + dead
        assert usage.leased == self.schedule.running <= self.LIMITS.total
        assert len(self.functions.tickets) == self.schedule.running
        self.schedule.validate()

    def teardown(self) -> None:
        """Whatever happened, everything ends once the functions answer."""
        for name in self.FUNCTIONS:
            self.functions.change(name, reserved_concurrency=None)
        for _ in range(10_000):
            self.dispatch()
            for ticket in list(self.functions.tickets):
                self.functions.tickets.remove(ticket)
                ticket.settle(succeeded())
            usage = self.table.usage("event")
            if usage.waiting + usage.leased == 0:
                break
            self.clock.now += 100
        assert len(self.finals) == self.count


TestWorld = World.TestCase
TestWorld.settings = settings(
    max_examples=40, stateful_step_count=80, deadline=None, suppress_health_check=list(HealthCheck)
)


def test_a_long_walk_in_virtual_time_loses_and_doubles_no_event() -> None:
    """The same from a seeded draw, far longer than Hypothesis would walk; `LAMBDAD_EVENT_STEPS` makes it longer."""
    draw = random.Random(20261124)
    world = World()
    world.start()
    steps = [
        (20, lambda: world.accept(draw.choice(World.FUNCTIONS))),
        (25, world.dispatch),
        (40, lambda: world.answer(draw.randrange(99), draw.choices(["succeed", "fail", "throttle"], [70, 20, 10])[0])),
        (10, lambda: world.pass_time(draw.choice([0.5, 1, 60, 120, 300]))),
        (0.5, lambda: world.pass_time(7200)),
        (0.2, world.crash),
        (0.5, lambda: world.reserve(draw.choice(World.FUNCTIONS), draw.choice([None, None, 0]))),
    ]
    weights = [weight for weight, _ in steps]
    for step in range(STEPS):
        draw.choices(steps, weights)[0][1]()
        if step % 20 == 0:
            world.nothing_is_lost_and_no_limit_is_passed()
        if step % 1000 == 0:
            world.forget_the_dead()
    world.teardown()
    reasons = Counter(world.finals.values())
    assert reasons["acked"] > STEPS / 50
    assert {"RetriesExhausted", "EventAgeExceeded", "ZeroReservedConcurrency"} <= reasons.keys()


finite = st.floats(0, 1e6, allow_nan=False)


@given(
    accepted=finite,
    attempts=st.integers(0, 5),
    refusals=st.integers(0, 10_000),
    age=st.integers(60, 21_600),
    past=finite,
)
def test_an_event_never_sleeps_past_its_end_nor_backwards(
    accepted: float, attempts: int, refusals: int, age: int, past: float
) -> None:
    progress = Progress(accepted=accepted, attempts=attempts, refusals=refusals)
    rules, timing, now = Rules(maximum_age=age), Timing(), accepted + past
    for decide in (after_function_error, after_refusal):
        match decide(progress, rules, timing, now):
            case TryLater(due, _):
                assert now <= due <= accepted + age
                assert due - now <= timing.longest
                assert before_attempt(progress, rules, None, now) is None
            case GiveUp(condition):
                ended = {Condition.EVENT_AGE_EXCEEDED: past >= age, Condition.RETRIES_EXHAUSTED: attempts >= 2}
                assert ended[condition] or now >= accepted + age


@given(seed=st.integers(0, 2**32))
@settings(max_examples=10, deadline=None)
def test_a_backlog_takes_only_what_others_leave(seed: int) -> None:
    """Thousands of steps: the scope with one message is never more than one turn behind."""
    draw = random.Random(seed)
    schedule = Schedule(Limits(per_scope=8, total=10))
    running: list[str] = []
    for step in range(2_000):
        schedule.note("flood", 0.0)
        wanted = draw.random() < 0.2
        if wanted:
            schedule.note("small", 0.0)
        free = 10 - len(running)
        grants = {grant.scope: grant for grant in schedule.grant(float(step))}
        if wanted and free > 0 and "small" not in running:
            assert grants["small"].count >= 1
        for scope, grant in grants.items():
            taken = grant.count if scope == "flood" else 1
            schedule.leased(grant, taken, None)
            running.extend([scope] * taken)
        schedule.validate()
        draw.shuffle(running)
        for _ in range(draw.randrange(len(running) + 1)):
            schedule.finished(running.pop(), refused=draw.random() < 0.1)
        schedule.validate()
