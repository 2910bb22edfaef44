"""What is made, in which order, and what is not."""

from __future__ import annotations

from typing import Any

import pytest

from lambdad.stack.errors import StackError
from lambdad.stack.intrinsics import Scope
from lambdad.stack.plan import decide_conditions, make_plan


class Stage:
    """`Ref Stage` is prod."""

    def ref(self, name: str) -> Any:
        return "prod"

    def attribute(self, name: str, attribute: str) -> Any:
        raise AssertionError("no attributes in conditions")


def _template(**resources: Any) -> dict[str, Any]:
    return {"Resources": resources}


FUNCTION = {"Type": "AWS::Lambda::Function"}


def test_what_is_referred_to_comes_first() -> None:
    plan = make_plan(
        _template(
            Url={"Type": "AWS::Lambda::Url", "Properties": {"TargetFunctionArn": {"Ref": "Alias"}}},
            Alias={"Type": "AWS::Lambda::Alias", "Properties": {"FunctionName": {"Fn::GetAtt": "F.Arn"}}},
            Last={**FUNCTION, "DependsOn": "Url"},
            F=FUNCTION,
        ),
        {},
    )
    assert [resource.name for resource in plan.order] == ["F", "Alias", "Url", "Last"]


def test_roles_are_assumed_and_the_rest_is_named() -> None:
    plan = make_plan(_template(F=FUNCTION, R={"Type": "AWS::IAM::Role"}, Api={"Type": "AWS::ApiGateway::RestApi"}), {})
    assert [resource.name for resource in plan.assumed] == ["R"]
    assert [(resource.name, resource.kind) for resource in plan.unsupported] == [("Api", "AWS::ApiGateway::RestApi")]


def test_a_resource_whose_condition_is_false_is_not_there() -> None:
    template = _template(F={**FUNCTION, "Condition": "No"}, G={**FUNCTION, "Condition": "Yes"})
    assert [resource.name for resource in make_plan(template, {"No": False, "Yes": True}).order] == ["G"]
    with pytest.raises(StackError, match="the condition No of F is not in the template"):
        make_plan(template, {})


def test_a_circle_is_refused() -> None:
    first = {**FUNCTION, "Properties": {"Environment": {"Ref": "B"}}}
    second = {**FUNCTION, "Properties": {"Environment": {"Ref": "A"}}}
    with pytest.raises(StackError, match="refer to each other"):
        make_plan(_template(A=first, B=second), {})


def test_conditions_may_refer_to_each_other_in_any_order() -> None:
    declared = {
        "Both": {"Fn::And": [{"Condition": "IsProd"}, {"Condition": "NotTest"}]},
        "NotTest": {"Fn::Not": [{"Fn::Equals": [{"Ref": "Stage"}, "test"]}]},
        "IsProd": {"Fn::Equals": [{"Ref": "Stage"}, "prod"]},
    }
    assert decide_conditions(declared, Scope(Stage())) == {"Both": True, "NotTest": True, "IsProd": True}
    with pytest.raises(StackError, match="refer to each other"):
        decide_conditions({"A": {"Fn::Not": [{"Condition": "A"}]}}, Scope(Stage()))
