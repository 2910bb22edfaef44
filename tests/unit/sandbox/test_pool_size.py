"""How many cells are kept ready."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lambdad.sandbox.pool_size import LARGEST, WINDOW_S, PoolSize


def test_a_pool_that_nobody_uses_has_its_least_size() -> None:
    assert PoolSize(2).wanted(0.0) == 2


def test_a_pool_grows_with_the_rate_and_with_the_time_that_a_cell_takes() -> None:
    size = PoolSize(2)
    size.made(0.05)
    for step in range(1000):
        size.taken(step * 0.01)
    hundred_a_second = size.wanted(10.0)
    assert 5 <= hundred_a_second <= 10, "100/s x 50 ms, doubled for bursts, averaged over the window"
    size.made(1.0)
    assert size.wanted(10.0) == LARGEST


def test_a_burst_is_forgotten() -> None:
    size = PoolSize(2)
    size.made(0.5)
    for _ in range(100):
        size.taken(0.0)
    assert size.wanted(0.0) == 10
    assert size.wanted(5 * WINDOW_S) == 2


def test_no_cells_ahead_means_none() -> None:
    size = PoolSize(0)
    size.made(1.0)
    for _ in range(100):
        size.taken(0.0)
    assert size.wanted(0.0) == 0


@given(st.integers(1, 5), st.lists(st.tuples(st.floats(0, 1000), st.floats(0, 100)), max_size=50))
def test_whatever_happens_the_size_has_bounds(least: int, events: list[tuple[float, float]]) -> None:
    size = PoolSize(least)
    for now, seconds in events:
        size.taken(now)
        size.made(seconds)
        assert least <= size.wanted(now) <= max(least, LARGEST)
