"""What names stand for: parameters, pseudo parameters, what was made, what is taken as there."""

from __future__ import annotations

import pytest

from lambdad.stack.errors import StackError
from lambdad.stack.target import Made, Names, Target

TARGET = Target(client=None, stack="shop", region="eu-west-1", account="123456789012", role="arn:role")


def _names() -> Names:
    names = Names(TARGET, {"Stage": "dev"}, {"Role": "AWS::IAM::Role", "Queue": "AWS::SQS::Queue"})
    attributes = {"Arn": "arn:function"}
    names.made["F"] = Made(
        name="F", kind="AWS::Lambda::Function", ref="shop-F", attributes=attributes, change="created"
    )
    return names


def test_a_ref_is_a_parameter_a_resource_or_something_of_the_stack() -> None:
    names = _names()
    told = [names.ref(name) for name in ("Stage", "F", "Queue", "AWS::Region", "AWS::AccountId", "AWS::StackName")]
    assert told == ["dev", "shop-F", "shop-Queue", "eu-west-1", "123456789012", "shop"]
    with pytest.raises(StackError, match="Ref Nothing: the template has no such"):
        names.ref("Nothing")


def test_an_attribute_is_of_what_was_made_or_is_taken_as_there() -> None:
    names = _names()
    assert names.attribute("F", "Arn") == "arn:function"
    assert names.attribute("Role", "Arn") == "arn:role"
    assert names.attribute("Queue", "Arn") == "arn:aws:sqs:eu-west-1:123456789012:shop-Queue"
    with pytest.raises(StackError, match="has no attribute Color"):
        names.attribute("F", "Color")
    with pytest.raises(StackError, match="no such resource"):
        names.attribute("Nothing", "Arn")
