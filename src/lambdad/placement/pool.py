"""The environments that are equal to each other, and the requests that wait for one. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

from lambdad.model.environment import EnvironmentSpec
from lambdad.model.errors import ApiError
from lambdad.placement.counting import Charge, FunctionCount

RETRY_FIRST_S = 1.0
RETRY_LAST_S = 60.0
"""After a provisioned environment could not be initialised; the wait doubles each time."""
AHEAD = ""
"""In the place of a qualifier: environments that are initialised ahead, for whoever comes first."""


class Demand(Protocol):
    """A request, as far as placement cares.

    qualifier: as the caller named it; provisioned environments are those of one qualifier. is_event: an asynchronous
    one, which its own queue keeps if there is no room: it does not wait here, and has no rate. charge: placement's.
    """

    spec: EnvironmentSpec
    qualifier: str | None
    is_event: bool
    attempts: int
    charge: Charge | None


@dataclass(frozen=True, slots=True)
class Assign:
    """Send the request to the environment."""

    environment: str
    demand: Demand
    cold: bool
    """Whether the environment was started since the request came."""


@dataclass(frozen=True, slots=True)
class Start:
    environment: str
    spec: EnvironmentSpec


@dataclass(frozen=True, slots=True)
class Stop:
    environment: str


@dataclass(frozen=True, slots=True)
class Reject:
    demand: Demand
    error: ApiError


Effect = Assign | Start | Stop | Reject


@dataclass(frozen=True, slots=True)
class HeldDemand:
    """A request that waits for room. deadline: when it is throttled; reason: AWS's name for why it waits."""

    demand: Demand
    deadline: float
    reason: str


Function = FunctionCount[HeldDemand]


@dataclass(slots=True, eq=False, kw_only=True)
class Environments:
    """Environments of one spec by what they do. idle: most recently used last. fresh: idle, and never used."""

    function: Function
    idle: list[str] = field(default_factory=list)
    busy: dict[str, Demand] = field(default_factory=dict)
    starting: set[str] = field(default_factory=set)
    fresh: set[str] = field(default_factory=set)

    @property
    def size(self) -> int:
        return len(self.idle) + len(self.busy) + len(self.starting)

    def take(self, demand: Demand) -> Assign:
        """Give the idle environment that was used last to a request."""
        return self.give(self.idle.pop(), demand)

    def give(self, environment: str, demand: Demand) -> Assign:
        """Give an environment that is not idle any more, or not yet, to a request."""
        self.busy[environment] = demand
        cold = environment in self.fresh
        if cold:
            self.fresh.discard(environment)
        return Assign(environment, demand, cold)

    def remove_unused(self, environment: str) -> None:
        """It ended while it was idle or starting."""
        if environment in self.idle:
            self.idle.remove(environment)
        self.starting.discard(environment)
        self.fresh.discard(environment)


@dataclass(slots=True, eq=False, kw_only=True)
class Pool(Environments):
    """The environments of one spec that were started on demand.

    waiting: accepted requests without one. reserves: provisioned environments of the same spec by qualifier, if any.
    retired: the spec has been replaced; nobody may start on it any more.
    """

    key: str
    waiting: deque[Demand] = field(default_factory=deque)
    reserves: dict[str, Reserve] = field(default_factory=dict)
    retired: bool = False

    @property
    def is_empty(self) -> bool:
        return not (self.idle or self.busy or self.starting or self.waiting or self.reserves)

    @property
    def is_ahead(self) -> bool:
        """Whether an environment is there that was initialised ahead."""
        ahead = self.reserves.get(AHEAD)
        return ahead is not None and bool(ahead.idle)

    @property
    def needs_start(self) -> bool:
        """Whether one more request would need a start that is not under way."""
        return len(self.starting) <= len(self.waiting)

    @property
    def in_flight(self) -> int:
        """Requests that are counted here, provisioned ones among them."""
        return len(self.waiting) + len(self.busy) + sum(len(reserve.busy) for reserve in self.reserves.values())

    def validate(self, homes: dict[str, Environments]) -> None:
        """Assert every invariant; for tests. Notes in `homes` where each environment is."""
        assert not ((self.idle or self.is_ahead) and self.waiting), self.key
        assert not self.waiting or self.starting or self.busy, self.key
        for home in (self, *self.reserves.values()):
            assert home.function is self.function, self.key
            assert home.fresh <= set(home.idle), self.key
            for environment in (*home.idle, *home.busy, *home.starting):
                assert environment not in homes, environment
                homes[environment] = home


@dataclass(slots=True, eq=False, kw_only=True)
class Reserve(Environments):
    """The provisioned environments of one qualifier on one spec.

    wanted: how many. revision: changes when somebody asks for them anew. problem: why the last start failed, in the
    words for StatusReason; retry_at: when there will be another try, None if none is due. invocations: requests that
    got one of these environments; spilled: those that found them all busy.
    """

    pool: Pool
    spec: EnvironmentSpec
    qualifier: str
    wanted: int = 0
    revision: float = 0.0
    problem: str | None = None
    retry_at: float | None = None
    retry_after: float = RETRY_FIRST_S
    invocations: int = 0
    spilled: int = 0

    @property
    def available(self) -> int:
        """Environments that are initialised."""
        return len(self.idle) + len(self.busy)

    @property
    def ready(self) -> int:
        """Environments that are counted as room of their own."""
        return self.available

    def count_ready(self, change: int) -> None:
        """So many more environments are initialised, or fewer."""
        self.function.add_ready(change)

    def lost_idle(self, now: float) -> None:
        """One that was initialised and idle has ended by itself: it is replaced at once."""

    def failed(self, problem: str | None, now: float) -> None:
        """A start failed. problem: None if nobody's function is to blame."""
        self.problem = problem or self.problem
        if self.retry_at is None:  # the first of those that were under way together
            self.retry_at = now + self.retry_after
            self.retry_after = min(self.retry_after * 2, RETRY_LAST_S)

    def forgive(self) -> None:
        """Try again at once: the circumstances have changed, or an environment has come."""
        self.problem = None
        self.retry_at = None
        self.retry_after = RETRY_FIRST_S


class Ahead(Reserve):
    """Environments that are initialised before anybody calls, and become the pool's own when somebody does.

    They are no room of their own, unlike provisioned ones: whoever gets one is counted as on demand.
    """

    @property
    def ready(self) -> int:
        return 0

    def count_ready(self, change: int) -> None:
        pass

    def lost_idle(self, now: float) -> None:
        """The host needed its memory, most likely: not at once."""
        self.retry_at = now + RETRY_LAST_S

    def give_away(self) -> str:
        """An idle one, which is not kept here any more."""
        environment = self.idle.pop()
        self.fresh.discard(environment)
        return environment
