"""Answers against the service model."""

from __future__ import annotations

from typing import Any

import pytest

from lambdad.testing.shapes import check_answer


@pytest.mark.parametrize(
    ("operation", "answer"),
    [
        ("GetFunctionConfiguration", {"FunctionName": "f", "Layers": [{"Arn": "a", "CodeSize": 1}]}),
        ("GetFunctionConfiguration", {"Environment": {"Variables": {"A": "b"}}}),
        ("CreateAlias", {"RoutingConfig": {"AdditionalVersionWeights": {"1": 0.5}}}),
        ("GetFunctionEventInvokeConfig", {"LastModified": 1.5}),
        ("DeleteAlias", {}),
    ],
)
def test_what_the_model_has_is_right(operation: str, answer: dict[str, Any]) -> None:
    check_answer(operation, answer)


@pytest.mark.parametrize(
    ("operation", "answer", "text"),
    [
        ("GetFunctionConfiguration", {"Name": "f"}, r"GetFunctionConfiguration\.Name is not in the model"),
        ("GetFunctionConfiguration", {"Layers": [{"Size": 1}]}, r"Layers\[0\]\.Size is not in the model"),
        ("GetFunctionConfiguration", {"Timeout": "3"}, "Timeout is not a integer"),
        ("GetFunctionConfiguration", {"Timeout": True}, "Timeout is not a integer"),
        ("GetFunctionConfiguration", {"State": "Ready"}, "State is 'Ready', not one of"),
        ("GetFunctionConfiguration", {"Layers": ()}, "Layers is not a list"),
        ("GetFunctionConfiguration", {"Environment": []}, "Environment is not a structure"),
        ("CreateAlias", {"RoutingConfig": {"AdditionalVersionWeights": {"1": "x"}}}, "is not a double"),
        ("DeleteAlias", {"Name": "x"}, "answers nothing"),
    ],
)
def test_what_it_has_not_is_wrong_and_named(operation: str, answer: dict[str, Any], text: str) -> None:
    with pytest.raises(AssertionError, match=text):
        check_answer(operation, answer)
