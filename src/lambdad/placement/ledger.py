"""The accounts and functions that are counted, and the requests that they hold for a moment. Pure.

A function is known from its first request, reservation or provisioned environment until nothing of it is left.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lambdad.model.arn import Namespace
from lambdad.placement.counting import AccountCount, FunctionCount, Limits
from lambdad.placement.pool import Demand, Function, HeldDemand

Account = AccountCount[HeldDemand]

CROWDED = 4
"""In a full crowd the last one waits so many times the patience longer than one who is alone."""


class Ledger:
    """Counts by account and by function."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._accounts: dict[str, Account] = {}
        self._functions: dict[str, Function] = {}

    def accounts(self) -> Iterator[tuple[str, Account]]:
        """By account and region, as `account/region`."""
        yield from self._accounts.items()

    def functions(self) -> Iterator[Function]:
        """Those that run, have environments, or are reserved or provisioned."""
        yield from self._functions.values()

    def function(self, key: str) -> Function:
        """key: see `function_key`."""
        function = self._functions.get(key)
        if function is None:
            scope = key.rpartition("/")[0]
            account = self._accounts.get(scope)
            if account is None:
                account = self._accounts[scope] = AccountCount(self.limits)
            function = self._functions[key] = FunctionCount(account, key, self.limits)
        return function

    def forget(self, function: Function) -> None:
        """Drop a function of which nothing is known but zeros."""
        if function.is_idle:
            self._functions.pop(function.key, None)

    def reserve(self, reservations: Mapping[tuple[Namespace, str], int]) -> None:
        """What functions have reserved from now on, by namespace and name; all others have nothing reserved."""
        amounts = {function_key(namespace, name): amount for (namespace, name), amount in reservations.items()}
        for key in amounts.keys() - self._functions.keys():
            self.function(key)
        for function in list(self._functions.values()):
            amount = amounts.get(function.key)
            if amount != function.reserved:
                function.reserve(amount, self.limits.request_rate)
                self.forget(function)

    def may_hold(self, function: Function, demand: Demand) -> bool:
        """Whether a request that finds no room may wait for some.

        Those that are too fast wait, too: whoever comes again as soon as it is refused is slowed down by it.
        """
        limits = self.limits
        if demand.is_event or function.reserved == 0:
            return False
        return limits.patience > 0 and len(function.held) < limits.held_max

    def hold(self, function: Function, demand: Demand, reason: str, now: float) -> float:
        """Let a request wait; returns until when.

        Those of one function are not given up all at once, even if they came so: refusing a flood, which then comes
        again, in one go would take the processors from everybody else.
        """
        limits = self.limits
        deadline = now + limits.patience
        if function.held:
            deadline = max(deadline, function.held[-1].deadline + CROWDED * limits.patience / limits.held_max)
        function.held.append(HeldDemand(demand, deadline, reason))
        function.account.crowded[function] = None
        return deadline

    def release(self, function: Function) -> None:
        """The first held request of a function is held no more; other functions are next."""
        function.held.popleft()
        del function.account.crowded[function]
        if function.held:
            function.account.crowded[function] = None

    def count_out(self, function: Function, demand: Demand) -> None:
        """A request that was counted is settled."""
        assert demand.charge is not None
        function.remove(demand.charge)
        demand.charge = None

    def validate(self) -> None:
        """Assert every invariant; for tests, after each step."""
        for function in self._functions.values():
            assert not function.is_idle, function.key
            assert bool(function.held) == (function in function.account.crowded), function.key
        for account in self._accounts.values():
            functions = [function for function in self._functions.values() if function.account is account]
            assert account.in_flight == sum(function.in_flight for function in functions)
            assert account.in_flight <= account.limit
            assert account.reserved == sum(function.reserved or 0 for function in functions)
            assert account.ready == sum(function.ready for function in functions if function.reserved is None)
            assert 0 <= account.on_demand <= account.unreserved <= account.in_flight


def function_key(namespace: Namespace, name: str) -> str:
    """Where the requests of a function are counted: limits are by account and region."""
    return f"{namespace.account}/{namespace.region}/{name}"
