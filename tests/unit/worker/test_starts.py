"""Who is started now, and who waits for its turn."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from lambdad.worker.starts import SLOW_S, StartGate


def test_there_are_so_many_places_and_the_rest_waits() -> None:
    gate = StartGate(2)
    assert gate.ask("f", "a", 0.0) == ["a"]
    assert gate.ask("f", "b", 0.0) == ["b"]
    assert gate.ask("f", "c", 0.0) == []
    assert (gate.running, gate.waiting) == (2, 1)
    assert gate.leave("a", 0.1) == ["c"]


def test_a_function_with_nothing_under_way_does_not_wait_behind_a_flood() -> None:
    gate = StartGate(2)
    for number in range(100):
        gate.ask("flood", f"a{number}", 0.0)
    assert gate.ask("quiet", "b", 0.0) == ["b"]
    assert gate.leave("a0", 0.1) == [], "one more than the places are still under way"


def test_functions_get_places_in_turns() -> None:
    gate = StartGate(1)
    gate.ask("x", "x0", 0.0)
    gate.ask("y", "y0", 0.0)
    for number in range(1, 3):
        assert gate.ask("x", f"x{number}", 0.0) == []
        assert gate.ask("y", f"y{number}", 0.0) == []
    assert gate.leave("x0", 0.0) == ["x1"]
    assert gate.leave("y0", 0.0) == ["y1"]
    assert gate.leave("x1", 0.0) == ["x2"]
    assert gate.leave("y1", 0.0) == ["y2"]


def test_whoever_takes_long_gives_up_its_place() -> None:
    gate = StartGate(1)
    gate.ask("f", "slow", 0.0)
    gate.ask("f", "next", 0.0)
    assert gate.tick(SLOW_S / 2) == []
    assert gate.tick(SLOW_S) == ["next"]
    assert gate.leave("slow", 9.0) == []


def test_whoever_is_not_wanted_any_more_does_not_wait_any_more() -> None:
    gate = StartGate(1)
    gate.ask("f", "a", 0.0)
    gate.ask("f", "b", 0.0)
    assert gate.leave("b", 0.0) == []
    assert gate.leave("a", 0.0) == []
    assert (gate.running, gate.waiting) == (0, 0)


class GateMachine(RuleBasedStateMachine):
    """Any order of events: places hold, nobody is started twice, nobody is forgotten."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = StartGate(3)
        self.now = 0.0
        self.serial = 0
        self.waiting: set[str] = set()
        self.started: set[str] = set()

    def take(self, granted: list[str]) -> None:
        for name in granted:
            self.waiting.remove(name)
            self.started.add(name)

    @rule(function=st.sampled_from("fgh"))
    def ask(self, function: str) -> None:
        self.serial += 1
        name = f"{function}{self.serial}"
        self.waiting.add(name)
        self.take(self.gate.ask(function, name, self.now))

    @rule(number=st.integers(0, 99))
    def leave(self, number: int) -> None:
        names = sorted(self.waiting | self.started)
        if names:
            name = names[number % len(names)]
            self.waiting.discard(name)
            self.started.discard(name)
            self.take(self.gate.leave(name, self.now))

    @rule(seconds=st.floats(0, 1))
    def tick(self, seconds: float) -> None:
        self.now += seconds
        self.take(self.gate.tick(self.now))

    @invariant()
    def holds(self) -> None:
        self.gate.validate()
        assert self.gate.waiting == len(self.waiting)


GateMachine.TestCase.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)
TestGate = GateMachine.TestCase
