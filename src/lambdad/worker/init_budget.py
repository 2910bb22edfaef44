"""How long an init phase may take. Pure. Source: "Init phase", AWS Lambda Developer Guide."""

from __future__ import annotations

from lambdad.model.environment import EnvironmentSpec
from lambdad.model.limits import INIT_TIMEOUT_AHEAD_MAX_S, INIT_TIMEOUT_AHEAD_S

PROVISIONED = "provisioned-concurrency"


def ahead_budget(timeout_s: float) -> float:
    """Of what is initialised before anybody waits: a snapshot, a provisioned environment. Seconds."""
    return min(max(INIT_TIMEOUT_AHEAD_S, timeout_s), INIT_TIMEOUT_AHEAD_MAX_S)


def init_budget(spec: EnvironmentSpec, on_demand_s: float) -> float:
    """Of an environment. on_demand_s: what the node gives to init phases, and to restores, that somebody waits for."""
    if spec.ahead or spec.initialization_type == PROVISIONED:
        return ahead_budget(spec.timeout_s)
    return on_demand_s
