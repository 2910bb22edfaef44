"""How far a function may run ahead of its reader."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lambdad.worker.stream import WINDOW, StreamWindow


class Flow:
    def __init__(self) -> None:
        self.held = False
        self.changes = 0

    def pause(self) -> None:
        assert not self.held
        self.held = True
        self.changes += 1

    def resume(self) -> None:
        assert self.held
        self.held = False
        self.changes += 1


def test_the_function_is_held_back_at_the_window_and_let_go_at_half_of_it() -> None:
    flow = Flow()
    window = StreamWindow(flow)
    window.sent(WINDOW - 1)
    assert not flow.held
    window.sent(1)
    assert flow.held
    window.credited(WINDOW // 2 - 1)
    assert flow.held
    window.credited(1)
    assert not flow.held


def test_credit_beyond_what_is_in_flight_is_not_saved_up() -> None:
    window = StreamWindow(Flow())
    window.sent(10)
    window.credited(1 << 40)
    assert window.in_flight == 0


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 300_000)), max_size=200))
def test_what_is_in_flight_stays_below_the_window_and_one_piece(steps: list[tuple[bool, int]]) -> None:
    flow = Flow()
    window = StreamWindow(flow)
    for sends, size in steps:
        if not sends:
            window.credited(size)
        elif not flow.held:
            window.sent(size)
        assert 0 <= window.in_flight < WINDOW + 300_000
        assert flow.held or window.in_flight < WINDOW
    window.credited(window.in_flight)
    assert not flow.held
