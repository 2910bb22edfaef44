"""Provisioned concurrency: from what is configured to which environments must be there. Pure.

A configuration hangs on a version or an alias. An alias that sends a share of its requests to a second version gets
that share of its environments there. What cannot run yet (a version that is being published) gets none so far, and
is looked at again with the next change.

Versions with SnapStart of which there is no snapshot have one environment that is initialised ahead, and another one as
soon as somebody has taken it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Protocol

from lambdad.model.arn import Namespace
from lambdad.model.environment import EnvironmentSpec
from lambdad.model.settings import ProvisionedConcurrency
from lambdad.placement.pool import AHEAD

INITIALIZATION_TYPE = "provisioned-concurrency"
AHEAD_MAX = 64
"""Versions that have an environment initialised ahead: as many as there may be snapshots. The latest come first."""
INIT_FAILED = "FUNCTION_ERROR_INIT_FAILURE"
"""AWS's StatusReason for a function whose init phase fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provision:
    """So many environments of a spec for a qualifier. revision: changes when they are asked for anew."""

    spec: EnvironmentSpec
    qualifier: str
    count: int
    revision: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is configured, in all accounts. reservations: by namespace and function name."""

    reservations: Mapping[tuple[Namespace, str], int]
    provisions: tuple[Provision, ...] = ()


class Configuration(Protocol):
    """What the catalogue knows of concurrency."""

    def reservations(self) -> Mapping[tuple[Namespace, str], int]: ...

    def provisioned(self) -> Iterable[tuple[str, ProvisionedConcurrency, tuple[tuple[EnvironmentSpec, float], ...]]]:
        """Qualifier, record, and the specs that the qualifier stands for with their shares."""
        ...

    def started_ahead(self) -> Iterable[EnvironmentSpec]:
        """What has SnapStart and no snapshot, the latest first."""
        ...


def make_plan(configuration: Configuration) -> Plan:
    provisions: list[Provision] = []
    for qualifier, record, versions in configuration.provisioned():
        counts = share_out(record.requested, [share for _, share in versions])
        provisions.extend(
            Provision(
                spec=replace(spec, initialization_type=INITIALIZATION_TYPE),
                qualifier=qualifier,
                count=count,
                revision=record.last_modified,
            )
            for (spec, _), count in zip(versions, counts, strict=True)
            if count
        )
    provisions.extend(
        Provision(spec=replace(spec, ahead=True), qualifier=AHEAD, count=1, revision=0.0)
        for spec in islice(configuration.started_ahead(), AHEAD_MAX)
    )
    return Plan(reservations=configuration.reservations(), provisions=tuple(provisions))


def share_out(count: int, shares: list[float]) -> list[int]:
    """Whole numbers that sum up to `count` (if the shares sum up to 1), as near to the shares as can be."""
    parts = [int(count * share) for share in shares]
    left = round(count * sum(shares)) - sum(parts)
    by_rest = sorted(range(len(shares)), key=lambda index: parts[index] - count * shares[index])
    for index in by_rest[:left]:
        parts[index] += 1
    return parts
