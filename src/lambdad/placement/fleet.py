"""The environments that there are, pool by pool, and those that must be there ahead of any request. Pure.

Every environment is in one place: the pool of its spec, or a reserve of it. Which request gets which one is decided in
`state`; here environments are named, started, moved and given up.
"""

from __future__ import annotations

from collections.abc import Iterator

from lambdad.model.environment import EnvironmentSpec
from lambdad.placement.ledger import Ledger, function_key
from lambdad.placement.pool import AHEAD, Ahead, Effect, Environments, Pool, Reserve, Start, Stop
from lambdad.placement.provisioned import Provision


class Fleet:
    """alarm: when something here has to be tried again, or in `state`; None if only an event can change that."""

    def __init__(self, ledger: Ledger) -> None:
        self.alarm: float | None = None
        self._ledger = ledger
        self._pools: dict[str, Pool] = {}
        self._homes: dict[str, Environments] = {}
        self._serial = 0

    # -- where environments are

    def home(self, environment: str) -> Environments | None:
        return self._homes.get(environment)

    def forget(self, environment: str) -> Environments | None:
        """It has ended, or is being stopped. Returns where it was."""
        return self._homes.pop(environment, None)

    def forget_all(self) -> None:
        self._homes.clear()

    def move(self, environment: str, home: Environments) -> None:
        self._homes[environment] = home

    def start(self, home: Environments, spec: EnvironmentSpec) -> Start:
        """One more environment, under a name that none ever had."""
        self._serial += 1
        environment = f"e{self._serial:x}"
        home.starting.add(environment)
        self._homes[environment] = home
        return Start(environment, spec)

    # -- pools

    def pools(self) -> Iterator[Pool]:
        yield from self._pools.values()

    def find(self, key: str) -> Pool | None:
        """The pool of a spec's key, if there is one."""
        return self._pools.get(key)

    def pool(self, spec: EnvironmentSpec) -> Pool:
        """The pool of a spec, made if need be; `tidy` it when it may hold nothing any more."""
        key = spec.key
        pool = self._pools.get(key)
        if pool is None:
            function = self._ledger.function(function_key(spec.namespace, spec.function_name))
            pool = self._pools[key] = Pool(key=key, function=function)
            function.pools += 1
        return pool

    def tidy(self, pool: Pool) -> None:
        """Forget a pool that holds nothing."""
        if pool.is_empty and self._pools.get(pool.key) is pool:
            del self._pools[pool.key]
            pool.function.pools -= 1
            self._ledger.forget(pool.function)

    # -- what must be there ahead

    def reserves(self) -> list[Reserve]:
        return [reserve for pool in self._pools.values() for reserve in pool.reserves.values()]

    def want(self, provision: Provision) -> None:
        """So many environments of a spec are wanted for a qualifier from now on; `reconcile` follows."""
        pool = self.pool(provision.spec)
        reserve = pool.reserves.get(provision.qualifier)
        if reserve is None:
            kind = Ahead if provision.qualifier == AHEAD else Reserve
            reserve = kind(function=pool.function, pool=pool, spec=provision.spec, qualifier=provision.qualifier)
            pool.reserves[provision.qualifier] = reserve
        if (reserve.wanted, reserve.revision) != (provision.count, provision.revision):
            reserve.forgive()
        reserve.wanted, reserve.revision = provision.count, provision.revision

    def reconcile(self, reserve: Reserve, now: float) -> list[Effect]:
        """Start what is missing, unless it has just failed, and end what is too much."""
        effects = self.trim(reserve)
        if reserve.retry_at is not None:
            if now < reserve.retry_at:
                self.wake_at(reserve.retry_at)
                return effects
            reserve.retry_at = None
        while reserve.size < reserve.wanted:
            effects.append(self.start(reserve, reserve.spec))
        return effects

    def trim(self, reserve: Reserve) -> list[Effect]:
        effects: list[Effect] = []
        while reserve.idle and reserve.size > reserve.wanted:
            environment = reserve.idle.pop(0)
            reserve.fresh.discard(environment)
            reserve.count_ready(-1)
            del self._homes[environment]
            effects.append(Stop(environment))
        if not reserve.wanted and not reserve.size:
            reserve.pool.reserves.pop(reserve.qualifier, None)
            self.tidy(reserve.pool)
        return effects

    def wake_at(self, when: float) -> None:
        if self.alarm is None or when < self.alarm:
            self.alarm = when

    def validate(self) -> None:
        """Assert every invariant; for tests, after each step."""
        homes: dict[str, Environments] = {}
        in_flight: dict[str, int] = {}
        ready: dict[str, int] = {}
        for pool in self._pools.values():
            pool.validate(homes)
            key = pool.function.key
            assert pool.function is self._ledger.function(key)
            in_flight[key] = in_flight.get(key, 0) + pool.in_flight
            ready[key] = ready.get(key, 0) + sum(reserve.ready for reserve in pool.reserves.values())
        assert homes == self._homes
        for function in self._ledger.functions():
            assert function.in_flight == in_flight.get(function.key, 0), function.key
            assert function.ready == ready.get(function.key, 0), function.key
