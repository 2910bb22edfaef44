"""What placement looks like from outside."""

from __future__ import annotations

from tests.unit.placement.requests import Request, placement, starts_of

from lambdad.placement.provisioned import Plan, Provision
from lambdad.placement.view import count_environments, describe_provisioning, read_use
from lambdad.telemetry.concurrency_metrics import AccountUse, FunctionUse, ProvisionedUse
from lambdad.testing.specs import HERE, make_spec


def test_use_is_read_of_accounts_functions_and_provisioned_environments() -> None:
    state = placement(10)
    live = Provision(spec=make_spec(), qualifier="live", count=2, revision=0.0)
    for name in starts_of(state.configure(Plan(reservations={(HERE, "g"): 3}, provisions=(live,)), 0.0)):
        state.started(name, 0.0)
    state.submit(Request(qualifier="live"), 0.0)
    state.submit(Request(), 0.0)
    use = read_use(state)
    assert use.accounts == (
        AccountUse(account="000000000000", region="us-east-1", limit=10, in_flight=2, unreserved=2, claimed=6),
    )
    assert set(use.functions) == {
        FunctionUse(function="f", in_flight=2, held=0, reserved=None),
        FunctionUse(function="g", in_flight=0, held=0, reserved=3),
    }
    assert use.provisioned == (
        ProvisionedUse(function="f", qualifier="live", wanted=2, ready=2, busy=1, invocations=1, spilled=0),
    )
    assert count_environments(state) == {"idle": 1, "busy": 1, "starting": 1, "waiting": 1}


def test_a_configuration_that_has_nothing_to_run_on_yet_is_in_progress() -> None:
    assert describe_provisioning(placement(), HERE, "f", "live").status == "IN_PROGRESS"
