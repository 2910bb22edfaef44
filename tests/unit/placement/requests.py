"""Requests as placement sees them, for its tests."""

from __future__ import annotations

from dataclasses import dataclass, field

from lambdad.model.environment import EnvironmentSpec
from lambdad.placement.counting import Charge, Limits
from lambdad.placement.pool import Effect, Start
from lambdad.placement.state import PlacementState
from lambdad.testing.specs import make_spec

SPEC = make_spec()
SCOPE = "000000000000/us-east-1"


@dataclass(slots=True, eq=False)
class Request:
    """Implements `Demand`."""

    spec: EnvironmentSpec = field(default_factory=make_spec)
    qualifier: str | None = None
    is_event: bool = False
    attempts: int = 0
    charge: Charge | None = None


def placement(concurrency: int = 10, **limits: float) -> PlacementState:
    """A state in which nobody waits for room and nothing is too fast, unless it is said otherwise."""
    chosen = {"concurrency": concurrency, "request_rate": 0, "scale_up": 0, "patience": 0.0, **limits}
    return PlacementState(Limits(**chosen))  # type: ignore[arg-type]


def start_of(effects: list[Effect]) -> str:
    """The environment that is to be started, and nothing else is to be done."""
    [start] = effects
    assert isinstance(start, Start)
    return start.environment


def starts_of(effects: list[Effect]) -> list[str]:
    """The environments that are to be started."""
    return [effect.environment for effect in effects if isinstance(effect, Start)]
