"""Specs of execution environments."""

from __future__ import annotations

from dataclasses import replace

from lambdad.model.arn import Namespace
from lambdad.testing.specs import make_spec

SPEC = make_spec(namespace=Namespace("123456789012", "eu-west-1"))


def test_whatever_makes_two_functions_different_makes_their_keys_different() -> None:
    others = [
        replace(SPEC, namespace=Namespace("123456789013", "eu-west-1")),
        replace(SPEC, namespace=Namespace("123456789012", "eu-west-2")),
        replace(SPEC, function_name="g"),
        replace(SPEC, version="1"),
        replace(SPEC, revision="b"),
    ]
    assert len({spec.key for spec in [SPEC, *others]}) == 6


def test_the_arn_names_the_version_but_not_latest() -> None:
    assert SPEC.arn == "arn:aws:lambda:eu-west-1:123456789012:function:f"
    assert replace(SPEC, version="3").arn == "arn:aws:lambda:eu-west-1:123456789012:function:f:3"
