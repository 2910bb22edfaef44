"""Environments that are initialised ahead: how many, for whom, and what becomes of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.placement.requests import Request, placement, start_of, starts_of

from lambdad.model.arn import Namespace
from lambdad.model.environment import EnvironmentSpec
from lambdad.model.errors import service_error
from lambdad.model.settings import ProvisionedConcurrency, Provisioning
from lambdad.placement.pool import AHEAD, Assign, Stop
from lambdad.placement.provisioned import (
    AHEAD_MAX,
    INIT_FAILED,
    INITIALIZATION_TYPE,
    Plan,
    Provision,
    make_plan,
    share_out,
)
from lambdad.placement.state import PlacementState
from lambdad.placement.view import count_environments, describe_provisioning
from lambdad.testing.specs import HERE, make_spec

ONE, TWO = make_spec(version="1"), make_spec(version="2")
ERROR = service_error("no room")


def plan(*counts: tuple[EnvironmentSpec, int], qualifier: str = "live", revision: float = 0.0, **reserved: int) -> Plan:
    """Provisioned for one alias; reserved by function name."""
    return Plan(
        reservations={(HERE, name): amount for name, amount in reserved.items()},
        provisions=tuple(
            Provision(spec=spec, qualifier=qualifier, count=count, revision=revision) for spec, count in counts
        ),
    )


def ready(count: int = 2, concurrency: int = 10, **reserved: int) -> tuple[PlacementState, list[str]]:
    """A state with provisioned environments that are all there."""
    state = placement(concurrency)
    names = starts_of(state.configure(plan((ONE, count), **reserved), 0.0))
    for name in names:
        assert state.started(name, 0.0) == []
    return state, names


def live(spec: EnvironmentSpec = ONE) -> Request:
    return Request(spec, qualifier="live")


def progress(state: PlacementState, qualifier: str = "live") -> Provisioning:
    state.validate()
    return describe_provisioning(state, HERE, "f", qualifier)


def test_environments_are_started_ahead_and_counted_as_they_come() -> None:
    state = placement()
    names = starts_of(state.configure(plan((ONE, 2)), 0.0))
    assert progress(state) == Provisioning(allocated=2, available=0, status="IN_PROGRESS")
    state.started(names[0], 0.0)
    assert progress(state) == Provisioning(allocated=2, available=1, status="IN_PROGRESS")
    state.started(names[1], 0.0)
    assert progress(state) == Provisioning(allocated=2, available=2, status="READY")
    assert state.configure(plan((ONE, 2)), 0.0) == []


def test_a_request_that_names_the_qualifier_takes_one_and_the_next_spill_over() -> None:
    state, names = ready(1)
    request = live()
    assert state.submit(request, 0.0) == [Assign(names[0], request, cold=True)]
    spilled = start_of(state.submit(live(), 0.0))
    assert spilled not in names
    [reserve] = state.reserves()
    assert (reserve.invocations, reserve.spilled) == (1, 1)
    state.settled(names[0], 0.0)
    again = live()
    assert state.submit(again, 0.0) == [Assign(names[0], again, cold=False)]


def test_whoever_names_the_version_itself_is_served_on_demand() -> None:
    state, names = ready(1)
    assert start_of(state.submit(Request(ONE, qualifier="1"), 0.0)) not in names
    assert start_of(state.submit(Request(ONE), 0.0)) not in names


def test_provisioned_environments_are_there_when_the_account_is_full() -> None:
    state, _ = ready(2, concurrency=3)
    start_of(state.submit(Request(ONE), 0.0))
    with pytest.raises(Exception, match="Rate Exceeded"):
        state.submit(Request(ONE), 0.0)
    for _ in range(2):
        assert isinstance(state.submit(live(), 0.0)[0], Assign)
    with pytest.raises(Exception, match="Rate Exceeded"):
        state.submit(live(), 0.0)


def test_a_reservation_that_is_all_provisioned_spills_nothing() -> None:
    state, _ = ready(1, f=1)
    state.submit(live(), 0.0)
    with pytest.raises(Exception, match="Rate Exceeded"):
        state.submit(live(), 0.0)


def test_one_that_dies_is_replaced() -> None:
    state, names = ready(1)
    replacement = start_of(state.gone(names[0], 5.0))
    assert progress(state).status == "IN_PROGRESS"
    state.started(replacement, 5.0)
    assert progress(state).status == "READY"


def test_a_request_whose_provisioned_environment_vanishes_is_served_on_demand_and_the_environment_replaced() -> None:
    state, names = ready(1)
    request = live()
    state.submit(request, 0.0)
    effects = state.vanished(names[0], 0.0)
    state.validate()
    starts = starts_of(effects)
    assert len(starts) == 2
    for name in starts:
        state.started(name, 0.0)
    state.validate()
    assert count_environments(state)["busy"] == 1
    assert progress(state).status == "READY"


def test_fewer_or_none_ends_what_is_too_much_idle_ones_now_and_busy_ones_when_they_are_free() -> None:
    state, names = ready(3)
    request = live()
    [assign] = state.submit(request, 0.0)
    assert isinstance(assign, Assign)
    stopped = state.configure(plan((ONE, 2)), 0.0)
    assert len(stopped) == 1
    assert progress(state).status == "READY"
    stopped += state.configure(plan(), 0.0)
    assert len(stopped) == 2
    assert state.settled(assign.environment, 0.0) == [Stop(assign.environment)]
    assert sorted(effect.environment for effect in stopped if isinstance(effect, Stop)) == sorted(
        set(names) - {assign.environment}
    )
    assert state.spec_keys() == []
    state.validate()


def test_an_alias_that_moves_takes_its_environments_along() -> None:
    state, names = ready(2)
    effects = state.configure(plan((TWO, 2)), 0.0)
    assert {effect.environment for effect in effects if isinstance(effect, Stop)} == set(names)
    fresh = starts_of(effects)
    assert progress(state) == Provisioning(allocated=2, available=0, status="IN_PROGRESS")
    start_of(state.submit(live(TWO), 0.0))
    for name in fresh:
        state.started(name, 0.0)
    assert progress(state).status == "READY"
    assert state.submit(live(TWO), 0.0)[0] is not None


def test_a_failed_init_is_the_status_and_is_tried_again_later_and_later() -> None:
    state = placement()
    names = starts_of(state.configure(plan((ONE, 2)), 0.0))
    for name in names:
        assert state.start_failed(name, ERROR, INIT_FAILED, 0.0) == []
    assert progress(state) == Provisioning(allocated=0, available=0, status="FAILED", reason=INIT_FAILED)
    assert state.alarm == 1.0
    assert state.tick(0.5) == []
    names = starts_of(state.tick(1.0))
    assert len(names) == 2
    for name in names:
        state.start_failed(name, ERROR, INIT_FAILED, 1.0)
    assert state.alarm == 3.0
    names = starts_of(state.tick(3.0))
    for name in names:
        state.started(name, 3.0)
    assert progress(state).status == "READY"


def test_asking_anew_tries_again_at_once() -> None:
    state = placement()
    state.start_failed(starts_of(state.configure(plan((ONE, 1)), 0.0))[0], ERROR, INIT_FAILED, 0.0)
    assert state.configure(plan((ONE, 1)), 0.1) == []
    assert len(starts_of(state.configure(plan((ONE, 1), revision=1.0), 0.1))) == 1
    assert progress(state).status == "IN_PROGRESS"


def test_a_worker_that_comes_back_gets_them_again() -> None:
    state, _ = ready(2)
    state.submit(live(), 0.0)
    state.worker_lost(ERROR, 1.0)
    assert progress(state) == Provisioning(allocated=0, available=0, status="IN_PROGRESS")
    assert len(starts_of(state.worker_ready(1.1))) == 2
    assert state.worker_ready(1.2) == []


def test_a_worker_that_stays_away_is_nobodys_failure() -> None:
    state = placement()
    [name] = starts_of(state.configure(plan((ONE, 1)), 0.0))
    state.start_failed(name, ERROR, None, 0.0)
    assert progress(state).status == "IN_PROGRESS"


class Configuration:
    """What a catalogue would say."""

    def reservations(self) -> Mapping[tuple[Namespace, str], int]:
        return {(HERE, "f"): 7}

    def provisioned(self) -> Iterator[tuple[str, ProvisionedConcurrency, tuple[tuple[EnvironmentSpec, float], ...]]]:
        yield "live", ProvisionedConcurrency(requested=10, last_modified=5.0), ((ONE, 0.9), (TWO, 0.1))
        yield "3", ProvisionedConcurrency(requested=4, last_modified=5.0), ()

    def started_ahead(self) -> Iterator[EnvironmentSpec]:
        yield from (make_spec(version=str(number)) for number in range(1000, 0, -1))


def test_a_plan_shares_an_aliass_environments_between_its_versions() -> None:
    made = make_plan(Configuration())
    assert made.reservations == {(HERE, "f"): 7}
    provisioned = [one for one in made.provisions if one.qualifier != AHEAD]
    assert [(one.spec.version, one.qualifier, one.count, one.revision) for one in provisioned] == [
        ("1", "live", 9, 5.0),
        ("2", "live", 1, 5.0),
    ]
    assert {one.spec.initialization_type for one in provisioned} == {INITIALIZATION_TYPE}


def test_a_plan_initialises_one_environment_ahead_of_the_latest_versions() -> None:
    ahead = [one for one in make_plan(Configuration()).provisions if one.qualifier == AHEAD]
    assert [one.spec.version for one in ahead] == [str(number) for number in range(1000, 1000 - AHEAD_MAX, -1)]
    assert {(one.count, one.spec.ahead, one.spec.initialization_type) for one in ahead} == {(1, True, "on-demand")}


@given(st.integers(0, 5000), st.floats(0, 1))
def test_shares_lose_nobody(count: int, weight: float) -> None:
    parts = share_out(count, [1 - weight, weight])
    assert sum(parts) == count
    assert all(abs(part - count * share) <= 1 for part, share in zip(parts, [1 - weight, weight], strict=True))
