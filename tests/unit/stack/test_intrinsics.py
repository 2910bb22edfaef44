"""CloudFormation's functions, one by one and nested; and that nonsense is refused in words."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.stack.errors import StackError
from lambdad.stack.intrinsics import Scope, references


class Table:
    """Names with values; `Function.Arn` is an attribute."""

    values: ClassVar[dict[str, Any]] = {"Stage": "dev", "Function": "my-function", "List": ["a", "b"]}

    def ref(self, name: str) -> Any:
        if name not in self.values:
            raise StackError(f"no {name}")
        return self.values[name]

    def attribute(self, name: str, attribute: str) -> Any:
        return f"{self.ref(name)}/{attribute}"


SCOPE = Scope(
    Table(), {"Sizes": {"dev": {"Memory": 128}}, "Map": {"a": {"b": ["x"]}}}, {"IsDev": True, "IsProd": False}
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain", "plain"),
        ({"Ref": "Stage"}, "dev"),
        ({"Fn::GetAtt": ["Function", "Arn"]}, "my-function/Arn"),
        ({"Fn::GetAtt": "Function.Arn"}, "my-function/Arn"),
        ({"Fn::Sub": "${Stage}-${Function.Arn}-${!Literal}"}, "dev-my-function/Arn-${Literal}"),
        ({"Fn::Sub": ["${Own}-${Stage}", {"Own": {"Ref": "Function"}}]}, "my-function-dev"),
        ({"Fn::Join": ["-", ["a", {"Ref": "Stage"}, 3]]}, "a-dev-3"),
        ({"Fn::Split": [",", "a,b"]}, ["a", "b"]),
        ({"Fn::Select": ["1", {"Ref": "List"}]}, "b"),
        ({"Fn::If": ["IsDev", "yes", {"Fn::Nonsense": 1}]}, "yes"),
        ({"Fn::FindInMap": ["Sizes", {"Ref": "Stage"}, "Memory"]}, 128),
        ({"Fn::Base64": "text"}, "dGV4dA=="),
        ({"Fn::Length": {"Ref": "List"}}, 2),
        ({"Fn::ToJsonString": {"a": {"Ref": "Stage"}}}, '{"a":"dev"}'),
        ({"Fn::Equals": [{"Ref": "Stage"}, "dev"]}, True),
        ({"Fn::And": [{"Condition": "IsDev"}, {"Fn::Not": [{"Condition": "IsProd"}]}]}, True),
        ({"Fn::Or": [{"Condition": "IsProd"}, {"Condition": "IsProd"}]}, False),
        ({"Environment": {"A": {"Ref": "Stage"}}}, {"Environment": {"A": "dev"}}),
    ],
)
def test_a_function_gives_its_value(value: Any, expected: Any) -> None:
    assert SCOPE.resolve(value) == expected


def test_no_value_is_as_if_it_were_not_written() -> None:
    nothing = {"Fn::If": ["IsProd", 512, {"Ref": "AWS::NoValue"}]}
    assert SCOPE.resolve({"Memory": nothing, "List": [1, nothing, 2]}) == {"List": [1, 2]}
    assert SCOPE.resolve(nothing) is None


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"Ref": "Missing"}, "no Missing"),
        ({"Ref": ["Stage"]}, "Ref takes a text"),
        ({"Fn::ImportValue": "other"}, "Fn::ImportValue is not supported"),
        ({"Fn::Join": ["-"]}, "Fn::Join takes a list of 2"),
        ({"Fn::Select": [7, ["a"]]}, "has no element 7 of 1"),
        ({"Fn::FindInMap": ["Sizes", "none", "Memory"]}, "finds nothing at Sizes / none / Memory"),
        ({"Fn::If": ["Unknown", 1, 2]}, "the condition Unknown is not in the template"),
        ({"Fn::Not": ["text"]}, "takes conditions"),
        ({"Fn::GetAtt": "Function"}, "needs a resource and an attribute"),
        ({"Fn::Sub": "${List}"}, "a text is expected"),
    ],
)
def test_what_cannot_be_computed_says_why(value: Any, reason: str) -> None:
    with pytest.raises(StackError, match=reason):
        SCOPE.resolve(value)


def test_endless_nesting_is_refused() -> None:
    value: Any = "end"
    for _ in range(200):
        value = {"Fn::Join": ["", [value]]}
    with pytest.raises(StackError, match="nested more than"):
        SCOPE.resolve(value)


def test_references_are_found_wherever_they_are() -> None:
    value = {
        "A": {"Ref": "One"},
        "B": [{"Fn::GetAtt": "Two.Arn"}, {"Fn::GetAtt": ["Three", "Arn"]}],
        "C": {"Fn::Sub": ["${Four}-${Five.Arn}-${!Six}", {"X": {"Ref": "Seven"}}]},
        "D": {"Fn::If": ["Condition", {"Ref": "Eight"}, "text"]},
    }
    assert set(references(value)) == {"One", "Two", "Three", "Four", "Five", "Seven", "Eight"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(["Ref", "Fn::Sub", "Fn::If", "Fn::Join", "Fn::GetAtt", "Fn::Select", "Condition"])
            | st.text(),
            inner,
        )
    ),
)


@given(JSON)
def test_any_template_is_computed_or_refused(value: Any) -> None:
    set(references(value))
    try:
        SCOPE.resolve(value)
    except StackError as error:
        assert str(error)
