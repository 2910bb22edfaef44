"""Which idle environments end first."""

from __future__ import annotations

from lambdad.worker.eviction import GreedyDual, Idle, expired


def idle(
    name: str, *, uses: int = 1, start_ms: float = 100.0, size: int = 10, since: float = 0.0, clock: float = 0.0
) -> Idle:
    return Idle(id=name, since=since, uses=uses, start_ms=start_ms, size=size, clock=clock, keep=6.0)


def test_only_what_is_idle_for_longer_than_the_keep_alive_expires() -> None:
    assert expired([idle("old", since=0.0), idle("young", since=5.0)], 10.0) == ["old"]


def test_the_seldom_used_cheap_and_large_go_first() -> None:
    rare, cheap, large, worthy = (
        idle("rare"),
        idle("cheap", uses=9, start_ms=1),
        idle("large", uses=9, size=5000),
        idle("w", uses=9),
    )
    victims = GreedyDual().victims([worthy, rare, cheap, large], 5020)
    assert victims == ["large", "cheap", "rare"]


def test_no_more_go_than_are_needed() -> None:
    assert GreedyDual().victims([idle("a"), idle("b", uses=2)], 5) == ["a"]
    assert GreedyDual().victims([idle("a")], 0) == []


def test_old_worth_fades_as_the_clock_inflates() -> None:
    """An environment that was used often, but before many evictions, goes before one that was used just now."""
    greedy = GreedyDual()
    for round_number in range(20):
        greedy.victims([idle(str(round_number), uses=1, clock=greedy.clock)], 1)
    once_popular = idle("popular", uses=5, clock=0.0)
    recent = idle("recent", uses=1, clock=greedy.clock)
    assert greedy.victims([recent, once_popular], 1) == ["popular"]
