"""Properties of templates as parameters of the API, in the API's types."""

from __future__ import annotations

from typing import Any

import botocore.session
import pytest

from lambdad.stack.errors import StackError
from lambdad.stack.requests import request_of

MODEL = botocore.session.get_session().get_service_model("lambda")


def _request(kind: str, operation: str, **properties: Any) -> dict[str, Any]:
    return request_of(kind, "Name", properties, MODEL.operation_model(operation).input_shape)


def test_numbers_and_truths_may_be_written_as_text() -> None:
    request = _request(
        "AWS::Lambda::Function",
        "CreateFunction",
        MemorySize="512",
        Environment={"Variables": {"PORT": 8080, "DEBUG": True}},
        Tags=[{"Key": "team", "Value": "a"}],
        ReservedConcurrentExecutions=5,
        SnapStart={"ApplyOn": "PublishedVersions", "OptimizationStatus": "On"},
    )
    assert request == {
        "MemorySize": 512,
        "Environment": {"Variables": {"PORT": "8080", "DEBUG": "true"}},
        "Tags": {"team": "a"},
        "SnapStart": {"ApplyOn": "PublishedVersions"},
    }


def test_weights_of_an_alias_become_a_map() -> None:
    weights = {"AdditionalVersionWeights": [{"FunctionVersion": "2", "FunctionWeight": "0.25"}]}
    request = _request("AWS::Lambda::Alias", "CreateAlias", Name="live", FunctionVersion=1, RoutingConfig=weights)
    assert request["RoutingConfig"] == {"AdditionalVersionWeights": {"2": 0.25}}
    assert request["FunctionVersion"] == "1"


def test_permissions_have_the_resources_name() -> None:
    request = _request("AWS::Lambda::Permission", "AddPermission", Action="lambda:InvokeFunction", Principal="*")
    assert request["StatementId"] == "Name"
    arn = "arn:aws:lambda:us-east-1:000000000000:layer:l:3"
    request = _request("AWS::Lambda::LayerVersionPermission", "AddLayerVersionPermission", LayerVersionArn=arn)
    assert (request["LayerName"], request["VersionNumber"]) == (arn.removesuffix(":3"), 3)


@pytest.mark.parametrize(
    ("properties", "reason"),
    [
        ({"Nonsense": 1}, "Name.Nonsense is not known"),
        ({"MemorySize": "large"}, "Name.MemorySize must be a integer"),
        ({"Layers": "arn"}, "Name.Layers must be a list"),
        ({"Environment": ["A"]}, "Name.Environment must be a mapping"),
        ({"Handler": {"a": 1}}, "Name.Handler must be a string"),
    ],
)
def test_what_does_not_fit_is_named(properties: dict[str, Any], reason: str) -> None:
    with pytest.raises(StackError, match=reason):
        _request("AWS::Lambda::Function", "CreateFunction", **properties)
