"""Who runs which invocation, as a state machine without clock or I/O. `now` is monotonic seconds.

Theory of operation. Environments are grouped in pools by `EnvironmentSpec.key`: only equal specs share. A request takes
the idle environment that was used most recently (the others may then grow old and be ended), or else asks for a new
one and waits in its pool. Whatever becomes free first serves the longest waiting request; a start that comes too late
adds an idle environment. There is never more than one start under way for each waiting request.

Provisioned environments are kept apart, in the reserve of their qualifier: started ahead, replaced when they end, and
ended when they are too many. A request that names the qualifier takes one, or spills over to the pool. Those that are
initialised ahead for anybody (SnapStart without a snapshot) are used when the pool has nothing idle, and are then the
pool's own; others are started in their place.

A request that finds no room (see `counting`) is held for a moment before it is throttled. Each function holds its own;
room that functions share goes to them in turns, so that a flood of one is a queue of that one.
Invariants, see `validate`: an environment is in one place; idle and waiting are never both non-empty in one pool; every
request that was accepted is settled, held or in flight, once.
"""

from __future__ import annotations

from collections.abc import Iterator

from lambdad.model.errors import ApiError, throttled
from lambdad.placement.counting import SCALING_TOO_FAST, Limits
from lambdad.placement.fleet import Fleet
from lambdad.placement.ledger import Account, Ledger
from lambdad.placement.pool import (
    AHEAD,
    RETRY_FIRST_S,
    Ahead,
    Assign,
    Demand,
    Effect,
    Environments,
    Function,
    Pool,
    Reject,
    Reserve,
    Stop,
)
from lambdad.placement.provisioned import Plan

EXPIRED_AT_ONCE = 4
"""Requests of one function that one `tick` throttles: a flood that is refused in one go would keep others waiting."""
ATTEMPTS_MAX = 3
"""How often a request is placed again after its environment vanished before it saw the request."""


class PlacementState:
    """Pools, counts and queues."""

    def __init__(self, limits: Limits) -> None:
        self.ledger = Ledger(limits)
        self.fleet = Fleet(self.ledger)

    @property
    def alarm(self) -> float | None:
        """When `tick` has something to do, None if only another event can change that."""
        return self.fleet.alarm

    # -- requests

    def submit(self, demand: Demand, now: float) -> list[Effect]:
        """A request has come. Raises `ApiError` if it must be throttled at once."""
        pool = self.fleet.pool(demand.spec)
        function = pool.function
        if function.held:
            reason = function.held[-1].reason
        else:
            outcome = self._admit(pool, demand, now)
            if not isinstance(outcome, str):
                return outcome
            reason = outcome
        if not self.ledger.may_hold(function, demand):
            self.fleet.tidy(pool)
            raise throttled(reason)
        self.fleet.wake_at(self.ledger.hold(function, demand, reason, now))
        return []

    def settled(self, environment: str, now: float) -> list[Effect]:
        """The environment has answered its request and is free."""
        home = self.fleet.home(environment)
        if home is None:
            return []
        demand = home.busy.pop(environment, None)
        if demand is None:
            return []
        self.ledger.count_out(home.function, demand)
        effects = self._free(home, environment, now)
        if home.function.account.crowded:
            effects += self._serve_held(home.function.account, now)
        return effects

    # -- environments

    def started(self, environment: str, now: float) -> list[Effect]:
        home = self.fleet.home(environment)
        if home is None:
            return []
        home.starting.discard(environment)
        home.fresh.add(environment)
        if isinstance(home, Reserve):
            home.count_ready(1)
            if home.available + 1 >= home.wanted:
                home.forgive()
        effects = self._free(home, environment, now)
        if home.function.account.crowded:
            effects += self._serve_held(home.function.account, now)
        return effects

    def start_failed(self, environment: str, error: ApiError, problem: str | None, now: float) -> list[Effect]:
        """The host could not start it: one waiting request fails with it.

        problem: why, for the status of provisioned environments; None if the function has no part in it.
        """
        home = self.fleet.forget(environment)
        if home is None:
            return []
        home.starting.discard(environment)
        if isinstance(home, Reserve):
            home.failed(problem, now)
            return self.fleet.reconcile(home, now)
        assert isinstance(home, Pool)
        effects: list[Effect] = []
        if home.waiting and len(home.starting) < len(home.waiting):
            demand = home.waiting.popleft()
            self.ledger.count_out(home.function, demand)
            effects.append(Reject(demand, error))
        self.fleet.tidy(home)
        return effects + self._serve_held(home.function.account, now)

    def gone(self, environment: str, now: float) -> list[Effect]:
        """An environment that nobody used has ended; one that is in use is told by its answer."""
        home = self.fleet.home(environment)
        if home is None or environment in home.busy:
            return []
        self.fleet.forget(environment)
        was_ready = environment in home.idle
        home.remove_unused(environment)
        if isinstance(home, Reserve):
            if was_ready:
                home.count_ready(-1)
                home.lost_idle(now)
            return self.fleet.reconcile(home, now)
        assert isinstance(home, Pool)
        effects = self._start_for_waiting(home)
        self.fleet.tidy(home)
        return effects

    def vanished(self, environment: str, now: float) -> list[Effect]:
        """An environment ended before it saw the request that was sent to it: place the request again."""
        home = self.fleet.forget(environment)
        if home is None:
            return []
        demand = home.busy.pop(environment, None)
        assert demand is not None, environment
        effects: list[Effect] = []
        if isinstance(home, Reserve):
            pool = home.pool
            assert demand.charge is not None
            home.count_ready(-1)
            demand.charge = home.function.move_on_demand(demand.charge)
            effects += self.fleet.reconcile(home, now)
        else:
            assert isinstance(home, Pool)
            pool = home
        demand.attempts += 1
        if demand.attempts < ATTEMPTS_MAX:
            return effects + self._place(self.fleet.pool(demand.spec), demand, now)
        self.ledger.count_out(home.function, demand)
        self.fleet.tidy(pool)
        effects.append(Reject(demand, _lost()))
        return effects + self._serve_held(home.function.account, now)

    def retire(self, key: str) -> list[Effect]:
        """Nobody may start on this spec any more: end what is idle now, and the rest when it is free."""
        pool = self.fleet.find(key)
        if pool is None:
            return []
        effects: list[Effect] = []
        for environment in pool.idle:
            self.fleet.forget(environment)
            effects.append(Stop(environment))
        pool.fresh.difference_update(pool.idle)
        pool.idle.clear()
        pool.retired = True
        self.fleet.tidy(pool)
        return effects

    def worker_lost(self, error: ApiError, now: float) -> list[Effect]:
        """All environments are gone. What was running has been answered by whoever saw the loss; what waits fails.

        Provisioned ones are started again when `worker_ready` is told, or a little later.
        """
        effects: list[Effect] = []
        for pool in list(self.fleet.pools()):
            for home in (pool, *pool.reserves.values()):
                for demand in home.busy.values():
                    self.ledger.count_out(home.function, demand)
            for demand in pool.waiting:
                self.ledger.count_out(pool.function, demand)
                effects.append(Reject(demand, error))
            pool.waiting.clear()
            _empty(pool)
            for reserve in pool.reserves.values():
                reserve.count_ready(-reserve.available)
                _empty(reserve)
                reserve.retry_at = now + RETRY_FIRST_S
                self.fleet.wake_at(reserve.retry_at)
            self.fleet.tidy(pool)
        self.fleet.forget_all()
        for _, account in self.ledger.accounts():
            effects += self._serve_held(account, now)
        return effects

    def worker_ready(self, now: float) -> list[Effect]:
        """A worker is there, for the first time or again: provisioned environments are started on it."""
        effects: list[Effect] = []
        for reserve in self.fleet.reserves():
            reserve.forgive()
            effects += self.fleet.reconcile(reserve, now)
        return effects

    # -- configuration and time

    def configure(self, plan: Plan, now: float) -> list[Effect]:
        """What is reserved and provisioned from now on; replaces what was told before."""
        self.ledger.reserve(plan.reservations)
        wanted = {(provision.spec.key, provision.qualifier): provision for provision in plan.provisions}
        for reserve in self.fleet.reserves():
            if (reserve.pool.key, reserve.qualifier) not in wanted:
                reserve.wanted = 0
        for provision in wanted.values():
            self.fleet.want(provision)
        effects: list[Effect] = []
        for reserve in self.fleet.reserves():
            effects += self.fleet.reconcile(reserve, now)
        for _, account in self.ledger.accounts():
            effects += self._serve_held(account, now)
        return effects

    def tick(self, now: float) -> list[Effect]:
        """Throttle what was held for long enough, and try again to start provisioned environments."""
        self.fleet.alarm = None
        effects: list[Effect] = []
        for _, account in self.ledger.accounts():
            for function in list(account.crowded):
                effects += self._expire(function, now)
        for reserve in self.fleet.reserves():
            effects += self.fleet.reconcile(reserve, now)
        return effects

    def spec_keys(self) -> list[str]:
        """The specs that have environments or requests."""
        return [pool.key for pool in self.fleet.pools()]

    def pools(self) -> Iterator[Pool]:
        return self.fleet.pools()

    def reserves(self) -> list[Reserve]:
        """Provisioned environments."""
        return [reserve for reserve in self.fleet.reserves() if not isinstance(reserve, Ahead)]

    # -- inside: requests

    def _admit(self, pool: Pool, demand: Demand, now: float) -> list[Effect] | str:
        """Count a request and place it; or AWS's reason why not, and nothing has changed."""
        function = pool.function
        reserve = None
        if pool.reserves and demand.qualifier:
            reserve = pool.reserves.get(demand.qualifier)
            if reserve is not None and reserve.idle and function.check_room() is None:
                return self._admit_provisioned(reserve, demand, now)
        reason = function.check_on_demand()
        if reason is not None:
            return reason
        needs_start = not pool.idle and not pool.is_ahead and pool.needs_start
        if not demand.is_event:
            reason = function.check_rate(now)
            if reason is not None:
                return reason
        if needs_start and not function.scaling.take(now):
            return SCALING_TOO_FAST
        if reserve is not None:
            reserve.spilled += 1
        demand.charge = function.add_on_demand()
        return self._place(pool, demand, now)

    def _admit_provisioned(self, reserve: Reserve, demand: Demand, now: float) -> list[Effect] | str:
        function = reserve.function
        if not demand.is_event:
            reason = function.check_rate(now)
            if reason is not None:
                return reason
        demand.charge = function.add_provisioned()
        reserve.invocations += 1
        return [reserve.take(demand)]

    def _place(self, pool: Pool, demand: Demand, now: float) -> list[Effect]:
        """A request that is counted gets what is idle, or what was initialised ahead, or waits."""
        if pool.idle:
            return [pool.take(demand)]
        ahead = pool.reserves.get(AHEAD)
        if isinstance(ahead, Ahead) and ahead.idle:
            return [self._give_ahead(ahead, demand), *self.fleet.reconcile(ahead, now)]
        pool.waiting.append(demand)
        return self._start_for_waiting(pool)

    def _serve_held(self, account: Account, now: float) -> list[Effect]:
        """Room may have come: give it to the functions that wait for it, in turns."""
        effects: list[Effect] = []
        served = True
        while served and account.crowded:
            served = False
            for function in list(account.crowded):
                held = function.held[0]
                pool = self.fleet.pool(held.demand.spec)
                outcome = self._admit(pool, held.demand, now)
                if isinstance(outcome, str):
                    self.fleet.tidy(pool)
                    continue
                effects += outcome
                served = True
                self.ledger.release(function)
        return effects

    def _expire(self, function: Function, now: float) -> list[Effect]:
        effects: list[Effect] = []
        for _ in range(EXPIRED_AT_ONCE):
            if not function.held or function.held[0].deadline > now:
                break
            held = function.held[0]
            pool = self.fleet.pool(held.demand.spec)
            outcome = self._admit(pool, held.demand, now)
            if isinstance(outcome, str):
                self.fleet.tidy(pool)
                effects.append(Reject(held.demand, throttled(outcome)))
            else:
                effects += outcome
            self.ledger.release(function)
        if function.held:
            self.fleet.wake_at(function.held[0].deadline)
        self.ledger.forget(function)
        return effects

    # -- inside: environments

    def _give_ahead(self, ahead: Ahead, demand: Demand) -> Assign:
        """What was initialised ahead is an ordinary environment from now on."""
        environment = ahead.give_away()
        self.fleet.move(environment, ahead.pool)
        return ahead.pool.give(environment, demand)

    def _free(self, home: Environments, environment: str, now: float) -> list[Effect]:
        """An environment is neither busy nor starting any more."""
        if isinstance(home, Reserve):
            home.idle.append(environment)
            if isinstance(home, Ahead) and home.pool.waiting:
                given = self._give_ahead(home, home.pool.waiting.popleft())
                return [given, *self.fleet.reconcile(home, now)]
            return self.fleet.trim(home)
        assert isinstance(home, Pool)
        if home.waiting:
            return [home.give(environment, home.waiting.popleft())]
        if home.retired:
            self.fleet.forget(environment)
            home.fresh.discard(environment)
            self.fleet.tidy(home)
            return [Stop(environment)]
        home.idle.append(environment)
        return []

    def _start_for_waiting(self, pool: Pool) -> list[Effect]:
        effects: list[Effect] = []
        while len(pool.starting) < len(pool.waiting):
            effects.append(self.fleet.start(pool, pool.waiting[0].spec))
        return effects

    def validate(self) -> None:
        """Assert every invariant; for tests, after each step."""
        self.fleet.validate()
        self.ledger.validate()


def _empty(home: Environments) -> None:
    home.idle.clear()
    home.busy.clear()
    home.starting.clear()
    home.fresh.clear()


def _lost() -> ApiError:
    return ApiError(
        "ServiceException", 500, "The execution environment was lost before it took the request. Try again."
    )
