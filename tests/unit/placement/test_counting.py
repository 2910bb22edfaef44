"""Counts and rates by themselves."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lambdad.placement.counting import AccountCount, Charge, FunctionCount, Limits, TokenBucket


def test_a_bucket_gives_what_it_holds_and_then_its_rate() -> None:
    bucket = TokenBucket(rate=2, capacity=3)
    assert [bucket.take(5.0) for _ in range(4)] == [True, True, True, False]
    assert [bucket.take(6.0) for _ in range(3)] == [True, True, False]


def test_a_bucket_without_a_rate_has_no_limit() -> None:
    bucket = TokenBucket(0, 0)
    assert all(bucket.take(0.0) for _ in range(100))


@given(st.lists(st.floats(0, 100)), st.integers(1, 9), st.integers(1, 9))
def test_a_bucket_never_gives_more_than_its_capacity_and_rate_whatever_the_clock_does(
    moments: list[float], rate: int, capacity: int
) -> None:
    bucket = TokenBucket(rate, capacity)
    given_out = sum(bucket.take(moment) for moment in moments)
    span = max(moments, default=0.0) - (moments[0] if moments else 0.0)
    assert given_out <= capacity + max(span, 0.0) * rate + 1e-6


def test_ready_provisioned_environments_are_taken_out_of_the_room_on_demand() -> None:
    account: AccountCount[None] = AccountCount(Limits(concurrency=3))
    function: FunctionCount[None] = FunctionCount(account, "a/r/f", Limits())
    function.add_ready(2)
    assert function.add_on_demand() is Charge.UNRESERVED
    assert function.check_on_demand() == "ConcurrentInvocationLimitExceeded"
    assert function.check_room() is None
    charges = [function.add_provisioned() for _ in range(2)]
    assert function.check_room() == "ConcurrentInvocationLimitExceeded"
    for charge in charges:
        function.remove(charge)
    assert (function.in_flight, function.on_demand, account.unreserved) == (1, 1, 1)


def test_a_reservation_moves_what_is_provisioned_out_of_the_unreserved_room() -> None:
    account: AccountCount[None] = AccountCount(Limits(concurrency=10))
    function: FunctionCount[None] = FunctionCount(account, "a/r/f", Limits())
    function.add_ready(2)
    function.reserve(4, 10)
    assert (account.ready, account.reserved) == (0, 4)
    assert function.add_on_demand() is Charge.RESERVED
    function.add_on_demand()
    assert function.check_on_demand() == "ReservedFunctionConcurrentInvocationLimitExceeded"
    function.reserve(None, 10)
    assert (account.ready, account.reserved) == (2, 0)


def test_a_request_whose_provisioned_environment_ended_counts_on_demand() -> None:
    account: AccountCount[None] = AccountCount(Limits())
    function: FunctionCount[None] = FunctionCount(account, "a/r/f", Limits())
    charge = function.move_on_demand(function.add_provisioned())
    assert (charge, account.on_demand) == (Charge.UNRESERVED, 1)
    function.remove(charge)
    assert (account.in_flight, account.on_demand, account.unreserved) == (0, 0, 0)
