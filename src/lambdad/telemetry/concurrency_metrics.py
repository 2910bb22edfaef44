"""What runs now and what may: AWS's concurrency metrics under Prometheus' names.

Read when they are asked for and kept nowhere: the source is whoever counts. Of too many functions those with the most
in flight are shown. Source: "Types of metrics for Lambda functions", AWS Lambda Developer Guide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

FUNCTIONS_MAX = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountUse:
    """One account in one region. unreserved: in flight, of functions without a reservation; claimed: in flight, or
    kept from others by reservations and provisioned environments.
    """

    account: str
    region: str
    limit: int
    in_flight: int
    unreserved: int
    claimed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionUse:
    """reserved: None without a reservation. held: requests that wait for room."""

    function: str
    in_flight: int
    held: int
    reserved: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisionedUse:
    """The provisioned environments of one version or alias. busy: of those that are ready.

    invocations, spilled: since they were configured.
    """

    function: str
    qualifier: str
    wanted: int
    ready: int
    busy: int
    invocations: int
    spilled: int


@dataclass(frozen=True, slots=True)
class ConcurrencyUse:
    """What counts at one moment."""

    accounts: tuple[AccountUse, ...] = ()
    functions: tuple[FunctionUse, ...] = ()
    provisioned: tuple[ProvisionedUse, ...] = ()


class ConcurrencyMetrics(Collector):
    """Registered once for each registry. read: the use of now."""

    def __init__(self, registry: CollectorRegistry, read: Callable[[], ConcurrencyUse]) -> None:
        self._read = read
        registry.register(self)

    def describe(self) -> Iterator[Metric]:
        """Nothing: what is collected depends on who is there."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        use = self._read()
        yield from _accounts(use)
        yield from _functions(use)
        yield from _provisioned(use)


def _accounts(use: ConcurrencyUse) -> Iterator[Metric]:
    labels = ("account", "region")
    limit = GaugeMetricFamily("lambdad_account_concurrency_limit", "Concurrent executions allowed.", labels=labels)
    total = GaugeMetricFamily("lambdad_account_concurrent_executions", "Invocations in flight.", labels=labels)
    unreserved = GaugeMetricFamily(
        "lambdad_unreserved_concurrent_executions",
        "Invocations in flight of functions without a reservation.",
        labels=labels,
    )
    claimed = GaugeMetricFamily(
        "lambdad_claimed_account_concurrency",
        "Concurrency that is in flight, reserved or provisioned: not there for on-demand invocations.",
        labels=labels,
    )
    for one in use.accounts:
        key = (one.account, one.region)
        limit.add_metric(key, one.limit)
        total.add_metric(key, one.in_flight)
        unreserved.add_metric(key, one.unreserved)
        claimed.add_metric(key, one.claimed)
    yield from (limit, total, unreserved, claimed)


def _functions(use: ConcurrencyUse) -> Iterator[Metric]:
    labels = ("function",)
    running = GaugeMetricFamily("lambdad_function_concurrent_executions", "Invocations in flight.", labels=labels)
    held = GaugeMetricFamily("lambdad_function_held_requests", "Requests that wait for room.", labels=labels)
    reserved = GaugeMetricFamily("lambdad_function_reserved_concurrency", "Reserved concurrency.", labels=labels)
    totals: dict[str, tuple[int, int, int | None]] = {}
    for one in use.functions:  # a name may stand for functions of several accounts
        in_flight, waiting, amount = totals.get(one.function, (0, 0, None))
        if one.reserved is not None:
            amount = one.reserved + (amount or 0)
        totals[one.function] = (in_flight + one.in_flight, waiting + one.held, amount)
    for name, (in_flight, waiting, amount) in sorted(totals.items(), key=lambda item: -item[1][0])[:FUNCTIONS_MAX]:
        running.add_metric((name,), in_flight)
        held.add_metric((name,), waiting)
        if amount is not None:
            reserved.add_metric((name,), amount)
    yield from (running, held, reserved)


def _provisioned(use: ConcurrencyUse) -> Iterator[Metric]:
    labels = ("function", "qualifier")
    wanted = GaugeMetricFamily("lambdad_provisioned_concurrency", "Provisioned environments wanted.", labels=labels)
    ready = GaugeMetricFamily("lambdad_provisioned_concurrency_ready", "Provisioned environments there.", labels=labels)
    busy = GaugeMetricFamily(
        "lambdad_provisioned_concurrent_executions", "Invocations in flight in provisioned environments.", labels=labels
    )
    share = GaugeMetricFamily(
        "lambdad_provisioned_concurrency_utilization", "Share of provisioned environments in use.", labels=labels
    )
    invocations = CounterMetricFamily(
        "lambdad_provisioned_concurrency_invocations", "Invocations in provisioned environments.", labels=labels
    )
    spilled = CounterMetricFamily(
        "lambdad_provisioned_concurrency_spillover_invocations",
        "Invocations that found every provisioned environment busy.",
        labels=labels,
    )
    totals: dict[tuple[str, str], list[int]] = {}
    for one in use.provisioned:  # an alias may stand for two versions
        values = totals.setdefault((one.function, one.qualifier), [0] * 5)
        counts = (one.wanted, one.ready, one.busy, one.invocations, one.spilled)
        for index, value in enumerate(counts):
            values[index] += value
    for key, values in list(totals.items())[:FUNCTIONS_MAX]:
        wanted.add_metric(key, values[0])
        ready.add_metric(key, values[1])
        busy.add_metric(key, values[2])
        share.add_metric(key, values[2] / values[0] if values[0] else 0.0)
        invocations.add_metric(key, values[3])
        spilled.add_metric(key, values[4])
    yield from (wanted, ready, busy, share, invocations, spilled)
