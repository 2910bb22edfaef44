"""`lambdad rm` deletes what is meant and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

Command = Callable[..., tuple[int, str, str]]


def test_a_function_is_deleted_when_it_is_meant(fake: Any, lambdad: Command) -> None:
    fake.functions = {name: {"FunctionName": name} for name in ("a", "b")}
    assert lambdad("rm", "a")[0] == 2
    assert "a" in fake.functions
    assert lambdad("rm", "a", "--yes") == (0, "deleted a\n", "")
    assert json.loads(lambdad("rm", "b", "--yes", "--qualifier", "3", "--json")[1]) == {"deleted": "b:3"}
    assert fake.parameters("DeleteFunction") == {"FunctionName": "b", "Qualifier": "3"}
