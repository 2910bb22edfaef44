"""How long init phases may take."""

from __future__ import annotations

import pytest

from lambdad.testing.specs import make_spec
from lambdad.worker.init_budget import ahead_budget, init_budget


@pytest.mark.parametrize(("timeout_s", "budget"), [(3, 130.0), (300, 300), (900, 900.0), (5400, 900.0)])
def test_what_nobody_waits_for_has_130_seconds_or_the_functions_timeout(timeout_s: int, budget: float) -> None:
    assert ahead_budget(timeout_s) == budget
    for spec in (
        make_spec(timeout_s=timeout_s, initialization_type="provisioned-concurrency"),
        make_spec(timeout_s=timeout_s, ahead=True),
    ):
        assert init_budget(spec, 10.0) == budget


def test_what_a_caller_waits_for_has_what_the_node_gives() -> None:
    assert init_budget(make_spec(timeout_s=900), 10.0) == 10.0
    assert init_budget(make_spec(timeout_s=900, initialization_type="snap-start"), 25.0) == 25.0
