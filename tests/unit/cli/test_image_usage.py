"""Sums over chunks."""

from __future__ import annotations

from lambdad.chunks.interface import ChunkName
from lambdad.cli.image_usage import Amount, Usage, compare, together, usage, usage_of_parts

A, B, C = (ChunkName(bytes([number]) * 32) for number in range(3))


def test_a_chunk_of_two_images_is_shared_by_both_and_counted_once_together() -> None:
    images = {"x": {A: 10, B: 5}, "y": {B: 5, C: 7}, "z": {}}
    found = usage(images)
    assert (found["x"].unique, found["x"].shared, found["x"].total) == (Amount(1, 10), Amount(1, 5), Amount(2, 15))
    assert found["y"].unique == Amount(1, 7)
    assert found["z"].total == Amount(0, 0)
    assert together(images) == Amount(3, 22)


def test_a_difference_has_three_parts() -> None:
    found = compare({A: 10, B: 5}, {B: 5, C: 7})
    assert (found.both, found.only_first, found.only_second) == (Amount(1, 5), Amount(1, 10), Amount(1, 7))


def test_parts_are_unique_or_shared_as_their_chunks_are_among_images() -> None:
    images = {"x": {A: 10, B: 5}, "y": {B: 5}}
    found = usage_of_parts(images, {"x": [("p", A, 4), ("q", A, 6), ("q", B, 2), ("q", B, 3)]})
    assert found["x"]["p"] == Usage(Amount(1, 4), Amount(1, 4), Amount(0, 0))
    assert found["x"]["q"] == Usage(Amount(2, 11), Amount(1, 6), Amount(1, 5))
    assert "y" not in found
