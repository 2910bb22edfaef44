"""Percentiles, promises and the files that carry them."""

from __future__ import annotations

import json

import pytest
from bench.figures import AtLeast, AtMost, Measurement, Row, from_json, percentile, to_json
from hypothesis import given
from hypothesis import strategies as st

VALUES = st.lists(st.floats(0, 1e6), min_size=1, max_size=50)


@pytest.mark.parametrize(("percent", "expected"), [(0, 1), (50, 5), (90, 9), (99, 10), (100, 10)])
def test_a_percentile_is_a_value_by_nearest_rank(percent: float, expected: int) -> None:
    assert percentile([10, 9, 8, 7, 6, 5, 4, 3, 2, 1], percent) == expected


def test_no_values_have_no_percentile() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)


@given(VALUES, st.floats(0, 100))
def test_at_least_the_given_share_of_the_values_does_not_exceed_a_percentile(
    values: list[float], percent: float
) -> None:
    found = percentile(values, percent)
    assert found in values
    assert sum(value <= found for value in values) >= percent / 100 * len(values) - 1e-9


def test_a_promise_is_kept_up_to_its_limit_and_not_beyond() -> None:
    assert [Row("p50", value, "ms", AtMost(3.0)).verdict for value in (2.9, 3.0, 3.1)] == ["pass", "pass", "**miss**"]
    assert [Row("rate", value, "x", AtLeast(0.5)).verdict for value in (0.4, 0.5, 0.6)] == ["**miss**", "pass", "pass"]


def test_a_row_without_a_promise_has_no_verdict() -> None:
    assert Row("p50", 1.0, "ms").verdict == ""


def test_a_measurement_survives_its_file() -> None:
    measurement = Measurement(
        name="warm",
        rows=(Row("p50", 0.4, "ms", AtMost(0.5)), Row("rate", 0.6, "x", AtLeast(0.5)), Row("p90", 1.0, "ms")),
        samples={"lambdad": [0.4, 0.5]},
        notes=("A note.",),
    )
    assert from_json(json.loads(json.dumps(to_json(measurement)))) == measurement
