"""What an extension may call when, without HTTP."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.model.limits import EXTENSIONS_MAX
from lambdad.runtime_api.extension_state import INVOKE, SHUTDOWN, Extensions, Refusal, State

NOBODY = "00000000-0000-0000-0000-000000000000"


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(Refusal) as caught:
        call()
    return caught.value.error_type


def test_an_external_extension_registers_once_and_then_is_ready_event_after_event() -> None:
    extensions = Extensions()
    expected = extensions.expect("log.sh")
    registered = [extensions.is_registered]
    found = extensions.register("log.sh", [INVOKE, SHUTDOWN, INVOKE])
    assert (found, found.events, found.is_external) == (expected, (INVOKE, SHUTDOWN), True)
    assert [*registered, extensions.is_registered, extensions.is_ready] == [False, True, False]
    for _ in range(3):
        extensions.ready(extensions.find(found.identifier))
        ready = [extensions.is_ready]
        extensions.release(found)
        assert [*ready, extensions.is_ready] == [True, False]


def test_registering_twice_is_refused_in_the_words_of_aws() -> None:
    extensions = Extensions()
    extensions.expect("log.sh")
    extensions.register("log.sh", [INVOKE])
    with pytest.raises(Refusal) as caught:
        extensions.register("log.sh", [INVOKE])
    assert caught.value.error_type == "Extension.InvalidExtensionState"
    assert str(caught.value) == (
        "State transition from Registered to Registered failed for extension log.sh. "
        "Error: State transition is not allowed"
    )
    extensions.register("inside", [INVOKE])
    assert refused(lambda: extensions.register("inside", [INVOKE])) == "Extension.InvalidExtensionState"


def test_internal_extensions_may_not_ask_for_shutdown_nor_register_after_the_init_phase() -> None:
    extensions = Extensions()
    assert refused(lambda: extensions.register("inside", [SHUTDOWN])) == "Extension.InvalidEventType"
    assert refused(lambda: extensions.register("inside", ["RESTORE"])) == "Extension.InvalidEventType"
    assert refused(lambda: extensions.register("inside", [{"a": 1}])) == "Extension.InvalidEventType"
    assert refused(lambda: extensions.register("", [])) == "Extension.InvalidExtensionName"
    assert refused(lambda: extensions.register("x" * 1000, [])) == "Extension.InvalidExtensionName"
    assert extensions.all == []
    extensions.close()
    assert refused(lambda: extensions.register("inside", [INVOKE])) == "Extension.RegistrationClosed"


def test_there_are_ten_at_most() -> None:
    extensions = Extensions()
    for number in range(EXTENSIONS_MAX):
        extensions.register(f"e{number}", [INVOKE])
    assert refused(lambda: extensions.register("one-more", [INVOKE])) == "Extension.TooManyExtensions"


def test_an_identifier_must_be_that_of_an_extension_that_has_registered() -> None:
    extensions = Extensions()
    expected = extensions.expect("log.sh")
    assert refused(lambda: extensions.find(None)) == "Extension.MissingExtensionIdentifier"
    assert refused(lambda: extensions.find("log.sh")) == "Extension.InvalidExtensionIdentifier"
    assert refused(lambda: extensions.find(NOBODY)) == "Extension.UnknownExtensionIdentifier"
    assert refused(lambda: extensions.find(expected.identifier)) == "Extension.UnknownExtensionIdentifier"


def test_an_extension_that_waits_already_may_ask_again_only_if_it_lost_its_connection() -> None:
    extensions = Extensions()
    found = extensions.register("inside", [INVOKE])
    extensions.ready(found)
    assert refused(lambda: extensions.ready(found)) == "Extension.InvalidExtensionState"
    extensions.ready(found, lost_connection=True)
    assert found.state is State.READY


def test_of_several_errors_the_first_counts_and_whoever_reported_one_has_left() -> None:
    extensions = Extensions()
    found = extensions.register("inside", [INVOKE])
    assert extensions.init_error(found, "Extension.NoConfig")
    assert not extensions.init_error(found, "Extension.Other")
    assert (found.error_type, found.has_left) == ("Extension.NoConfig", True)
    assert refused(lambda: extensions.ready(found)) == "Extension.InvalidExtensionState"
    assert extensions.subscribers(INVOKE) == []
    other = extensions.register("other", [INVOKE])
    extensions.ready(other)
    assert refused(lambda: extensions.init_error(other, "x")) == "Extension.InvalidExtensionState"
    assert extensions.exit_error(other, "Extension.Broken")
    assert not extensions.exit_error(other, "again")


CALLS = st.lists(
    st.tuples(
        st.sampled_from(["register", "ready", "release", "init_error", "exit_error", "close", "again"]),
        st.sampled_from(["a", "b", "c"]),
    ),
    max_size=40,
)


@given(CALLS)
def test_no_order_of_calls_breaks_the_states(calls: list[tuple[str, str]]) -> None:
    extensions = Extensions()
    extensions.expect("a")
    for call, name in calls:
        found = next((each for each in extensions.all if each.name == name), None)
        try:
            if call == "register":
                extensions.register(name, [INVOKE])
            elif call == "close":
                extensions.close()
            elif found is None or found.state is State.STARTED:
                continue
            elif call in ("ready", "again"):
                extensions.ready(extensions.find(found.identifier), lost_connection=call == "again")
            elif call == "release" and found.state is State.READY:
                extensions.release(found)
            elif call == "init_error":
                extensions.init_error(found, "E")
            elif call == "exit_error":
                extensions.exit_error(found, "E")
        except Refusal:
            pass
    assert len({each.name for each in extensions.all}) == len(extensions.all)
    assert all(not each.has_left for each in extensions.subscribers(INVOKE))
    if extensions.is_ready:
        assert extensions.is_registered
