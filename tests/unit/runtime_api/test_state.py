"""The table of what a runtime may call, and when."""

from __future__ import annotations

import pytest

from lambdad.runtime_api.state import TRANSITIONS, Call, IllegalTransition, RuntimeState, State, UnknownRequest


def in_state(state: State) -> RuntimeState:
    runtime = RuntimeState()
    runtime.state = state
    runtime.request_id = None if state in (State.STARTED, State.FAILED) else "r1"
    return runtime


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("call", Call)
def test_every_call_in_every_state_is_taken_or_refused_by_the_table(state: State, call: Call) -> None:
    runtime = in_state(state)
    following = TRANSITIONS.get((state, call))
    if following is not None:
        runtime.call(call, "r1")
        assert runtime.state is following
        return
    with pytest.raises((IllegalTransition, UnknownRequest)):
        runtime.call(call, "r1")
    assert runtime.state is state


def test_an_answer_to_another_invocation_is_unknown() -> None:
    runtime = in_state(State.RUNNING)
    with pytest.raises(UnknownRequest):
        runtime.call(Call.RESPONSE, "r2")
    assert runtime.state is State.RUNNING


def test_a_second_answer_is_an_illegal_transition_with_the_words_of_the_emulator() -> None:
    runtime = in_state(State.RUNNING)
    runtime.call(Call.RESPONSE, "r1")
    with pytest.raises(IllegalTransition, match="State transition from ResponseSent to InvocationErrorResponse failed"):
        runtime.call(Call.ERROR, "r1")
