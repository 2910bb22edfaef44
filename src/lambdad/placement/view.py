"""What placement looks like from outside: totals, and how far provisioned environments are. Pure."""

from __future__ import annotations

from lambdad.model.arn import Namespace
from lambdad.model.settings import Provisioning
from lambdad.placement.ledger import function_key
from lambdad.placement.state import PlacementState
from lambdad.telemetry.concurrency_metrics import AccountUse, ConcurrencyUse, FunctionUse, ProvisionedUse


def count_environments(state: PlacementState) -> dict[str, int]:
    """Environments by state, and requests that wait for one or for room."""
    totals = {"idle": 0, "busy": 0, "starting": 0, "waiting": 0}
    for pool in state.pools():
        totals["waiting"] += len(pool.waiting)
        for home in (pool, *pool.reserves.values()):
            totals["idle"] += len(home.idle)
            totals["busy"] += len(home.busy)
            totals["starting"] += len(home.starting)
    totals["waiting"] += sum(len(function.held) for function in state.ledger.functions())
    return totals


def describe_provisioning(state: PlacementState, namespace: Namespace, name: str, qualifier: str) -> Provisioning:
    """How far the provisioned environments of a qualifier are."""
    key = function_key(namespace, name)
    reserves = [
        reserve
        for reserve in state.reserves()
        if reserve.function.key == key and reserve.qualifier == qualifier and reserve.wanted
    ]
    wanted = sum(reserve.wanted for reserve in reserves)
    available = sum(min(reserve.available, reserve.wanted) for reserve in reserves)
    allocated = sum(min(reserve.size, reserve.wanted) for reserve in reserves)
    problem = next((reserve.problem for reserve in reserves if reserve.problem is not None), None)
    if reserves and available == wanted:
        return Provisioning(allocated=allocated, available=available, status="READY")
    status = "IN_PROGRESS" if problem is None else "FAILED"
    return Provisioning(allocated=allocated, available=available, status=status, reason=problem)


def read_use(state: PlacementState) -> ConcurrencyUse:
    """What counts now, for metrics."""
    accounts = []
    for scope, account in state.ledger.accounts():
        owner, _, region = scope.partition("/")
        reserved_in_flight = account.in_flight - account.unreserved
        claimed = max(account.reserved, reserved_in_flight) + account.on_demand + account.ready
        accounts.append(
            AccountUse(
                account=owner,
                region=region,
                limit=account.limit,
                in_flight=account.in_flight,
                unreserved=account.unreserved,
                claimed=claimed,
            )
        )
    functions = tuple(
        FunctionUse(
            function=function.name, in_flight=function.in_flight, held=len(function.held), reserved=function.reserved
        )
        for function in state.ledger.functions()
    )
    provisioned = tuple(
        ProvisionedUse(
            function=reserve.function.name,
            qualifier=reserve.qualifier,
            wanted=reserve.wanted,
            ready=reserve.available,
            busy=len(reserve.busy),
            invocations=reserve.invocations,
            spilled=reserve.spilled,
        )
        for reserve in state.reserves()
    )
    return ConcurrencyUse(tuple(accounts), functions, provisioned)
