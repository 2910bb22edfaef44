"""AWS's concurrency metrics as Prometheus sees them."""

from __future__ import annotations

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from lambdad.telemetry.concurrency_metrics import (
    FUNCTIONS_MAX,
    AccountUse,
    ConcurrencyMetrics,
    ConcurrencyUse,
    FunctionUse,
    ProvisionedUse,
)


def render(use: ConcurrencyUse) -> list[str]:
    registry = CollectorRegistry()
    ConcurrencyMetrics(registry, lambda: use)
    return [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]


def function(name: str, in_flight: int, reserved: int | None = None) -> FunctionUse:
    return FunctionUse(function=name, in_flight=in_flight, held=1, reserved=reserved)


def provisioned(busy: int) -> ProvisionedUse:
    return ProvisionedUse(function="f", qualifier="live", wanted=4, ready=4, busy=busy, invocations=7, spilled=2)


def test_accounts_have_a_limit_and_what_is_used_of_it() -> None:
    account = AccountUse(account="1", region="r", limit=1000, in_flight=5, unreserved=3, claimed=103)
    lines = render(ConcurrencyUse(accounts=(account,)))
    assert 'lambdad_account_concurrent_executions{account="1",region="r"} 5.0' in lines
    assert 'lambdad_unreserved_concurrent_executions{account="1",region="r"} 3.0' in lines
    assert 'lambdad_claimed_account_concurrency{account="1",region="r"} 103.0' in lines


def test_a_name_of_two_accounts_is_one_series() -> None:
    lines = render(ConcurrencyUse(functions=(function("f", 2), function("f", 3, reserved=5))))
    assert 'lambdad_function_concurrent_executions{function="f"} 5.0' in lines
    assert 'lambdad_function_reserved_concurrency{function="f"} 5.0' in lines


def test_an_alias_of_two_versions_is_one_series_and_its_share_in_use() -> None:
    lines = render(ConcurrencyUse(provisioned=(provisioned(1), provisioned(3))))
    assert 'lambdad_provisioned_concurrency_utilization{function="f",qualifier="live"} 0.5' in lines
    assert 'lambdad_provisioned_concurrency_spillover_invocations_total{function="f",qualifier="live"} 4.0' in lines


def test_nobody_can_make_the_page_grow_without_end() -> None:
    use = ConcurrencyUse(functions=tuple(function(f"f{number}", number) for number in range(FUNCTIONS_MAX * 2)))
    lines = render(use)
    assert len([line for line in lines if line.startswith("lambdad_function_concurrent_executions{")]) == FUNCTIONS_MAX
    assert f'lambdad_function_concurrent_executions{{function="f{FUNCTIONS_MAX * 2 - 1}"}} 999.0' in lines
