"""Batches by number, size and age, and never more than fits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lambdad.telemetry.delivery_buffer import DeliveryBuffer


def test_a_batch_is_due_when_it_is_old_or_full() -> None:
    buffer = DeliveryBuffer(3, 100, 1.0)
    assert buffer.due(0.0) is None
    assert buffer.add(b"a", 0.0)
    assert buffer.due(0.25) == 0.75
    assert not buffer.add(b"b", 0.5)
    assert buffer.due(0.5) == 0.5
    assert buffer.add(b"c", 0.5)
    assert buffer.due(0.5) == 0.0
    assert buffer.take() == ([b"a", b"b", b"c"], (0, 0))
    assert buffer.due(9.0) is None


def test_large_records_fill_a_batch_by_their_size() -> None:
    buffer = DeliveryBuffer(10, 100, 1.0)
    for _ in range(3):
        buffer.add(b"x" * 60, 0.0)
    assert buffer.due(0.0) == 0.0
    assert [len(record) for record in buffer.take()[0]] == [60, 60]
    assert (buffer.due(0.0), len(buffer), buffer.size) == (1.0, 1, 60)


def test_what_does_not_fit_is_counted_and_told_once() -> None:
    buffer = DeliveryBuffer(2, 100, 1.0)
    for _ in range(7):
        buffer.add(b"xy", 0.0)
    assert buffer.take() == ([b"xy", b"xy"], (3, 6))
    assert buffer.take() == ([b"xy", b"xy"], (0, 0))
    buffer.drop(1, 5)
    assert buffer.due(0.0) == 0.0
    assert buffer.take() == ([], (1, 5))


@given(st.lists(st.one_of(st.binary(max_size=50), st.just(None)), max_size=200))
def test_nothing_is_lost_uncounted_and_nothing_grows(steps: list[bytes | None]) -> None:
    buffer = DeliveryBuffer(3, 100, 1.0)
    taken: list[bytes] = []
    dropped = 0
    for step in steps:
        if step is None:
            batch, (records, _) = buffer.take()
            taken += batch
            dropped += records
        else:
            buffer.add(step, 0.0)
        assert len(buffer) <= 6
        assert buffer.size <= 200
    while buffer.due(0.0) is not None:
        batch, (records, _) = buffer.take()
        taken += batch
        dropped += records
    assert len(taken) + dropped == sum(step is not None for step in steps)
    assert buffer.size == 0
