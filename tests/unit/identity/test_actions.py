"""Permissions and resources of operations."""

from __future__ import annotations

from typing import Any

import pytest

from lambdad.identity.actions import action_of, context_of, resource_of
from lambdad.model.arn import Namespace

HERE = Namespace("111111111111", "eu-west-1")
ARN = "arn:aws:lambda:eu-west-1:111111111111"
FUNCTION = f"{ARN}:function:f"


@pytest.mark.parametrize(
    ("operation", "params", "action", "resource"),
    [
        ("Invoke", {"FunctionName": "f"}, "lambda:InvokeFunction", FUNCTION),
        (
            "InvokeWithResponseStream",
            {"FunctionName": "f", "Qualifier": "live"},
            "lambda:InvokeFunction",
            f"{FUNCTION}:live",
        ),
        ("GetFunction", {"FunctionName": f"{FUNCTION}:2"}, "lambda:GetFunction", f"{FUNCTION}:2"),
        ("GetFunction", {"FunctionName": "f", "Qualifier": "$LATEST"}, "lambda:GetFunction", FUNCTION),
        ("GetLayerVersion", {"LayerName": "l", "VersionNumber": 3}, "lambda:GetLayerVersion", f"{ARN}:layer:l:3"),
        ("GetLayerVersionByArn", {"Arn": "arn:x"}, "lambda:GetLayerVersion", "arn:x"),
        ("ListFunctions", {}, "lambda:ListFunctions", "*"),
        ("CreateEventSourceMapping", {"FunctionName": "f"}, "lambda:CreateEventSourceMapping", "*"),
        ("DeleteEventSourceMapping", {"UUID": "u"}, "lambda:DeleteEventSourceMapping", f"{ARN}:event-source-mapping:u"),
        ("TagResource", {"Resource": FUNCTION}, "lambda:TagResource", FUNCTION),
    ],
)
def test_an_operation_needs_one_permission_on_one_thing(
    operation: str, params: dict[str, Any], action: str, resource: str
) -> None:
    assert action_of(operation) == action
    assert resource_of(operation, params, HERE) == resource


def test_parameters_are_condition_keys() -> None:
    params = {"FunctionName": "f", "Layers": ["a", "b"], "Tags": {"Team": "x"}, "AuthType": "NONE", "Principal": "*"}
    assert context_of("CreateEventSourceMapping", params, HERE) == {
        "lambda:functionarn": FUNCTION,
        "lambda:layer": ["a", "b"],
        "lambda:principal": "*",
        "lambda:functionurlauthtype": "NONE",
        "aws:tagkeys": ["Team"],
        "aws:requesttag/team": "x",
    }
