"""What clients may write where a name is expected."""

from __future__ import annotations

import pytest

from lambdad.control import names
from lambdad.control.interface import Call
from lambdad.model.arn import Namespace
from lambdad.model.errors import ApiError

CALL = Call(namespace=Namespace("123456789012", "eu-west-1"), request_id="r", base_url="http://h", now=0.0)
ARN = "arn:aws:lambda:eu-west-1:123456789012:function:f"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("f", ("f", None)),
        ("f:1", ("f", "1")),
        ("f:$LATEST", ("f", "$LATEST")),
        ("function:f", ("f", None)),
        ("123456789012:function:f", ("f", None)),
        (ARN, ("f", None)),
        (f"{ARN}:live", ("f", "live")),
    ],
)
def test_names_come_in_all_of_awss_forms(text: str, expected: tuple[str, str | None]) -> None:
    assert names.qualified(CALL, {"FunctionName": text}) == expected


def test_a_qualifier_may_be_said_twice_if_it_is_the_same() -> None:
    assert names.qualified(CALL, {"FunctionName": f"{ARN}:1", "Qualifier": "1"}) == ("f", "1")


@pytest.mark.parametrize("text", ["", "a b", "a:b:c", "arn:aws:s3:::f"])
def test_what_is_no_name_fails_awss_pattern(text: str) -> None:
    with pytest.raises(ApiError) as caught:
        names.qualified(CALL, {"FunctionName": text})
    assert (caught.value.code, caught.value.status) == ("ValidationException", 400)


def test_operations_on_whole_functions_take_no_qualifier() -> None:
    for qualifier in ("1", "live", "$LATEST"):
        with pytest.raises(ApiError, match="This operation is permitted on Lambda functions only"):
            names.unqualified(CALL, {"FunctionName": f"f:{qualifier}"})
    assert names.latest(CALL, {"FunctionName": "f:$LATEST"}) == "f"
    with pytest.raises(ApiError, match="This operation is permitted on Lambda functions only"):
        names.latest(CALL, {"FunctionName": "f:1"})


def test_a_layer_is_named_or_given_by_an_arn_of_ones_own() -> None:
    arn = "arn:aws:lambda:eu-west-1:123456789012:layer:l"
    assert [names.layer_name(CALL, text) for text in ("l", arn)] == ["l", "l"]
    with pytest.raises(ApiError, match="not authorized"):
        names.layer_name(CALL, arn.replace("eu-west-1", "us-east-1"))
    with pytest.raises(ApiError, match="'layerName' failed to satisfy constraint"):
        names.layer_name(CALL, "arn:aws:s3:::x")
