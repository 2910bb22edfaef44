"""The one ordinary `EnvironmentSpec` of tests, with what a test cares for said in its own words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lambdad.model.arn import Namespace
from lambdad.model.environment import EnvironmentSpec
from lambdad.model.target import Target

HERE = Namespace("000000000000", "us-east-1")

_ORDINARY = EnvironmentSpec(
    namespace=HERE,
    function_name="f",
    version="$LATEST",
    revision="a",
    runtime="python3.11",
    handler="app.handler",
    memory_mb=128,
    timeout_s=3,
    ephemeral_mb=512,
    architecture="x86_64",
    environment={},
    code=None,
)


def make_spec(**members: Any) -> EnvironmentSpec:
    """A Python function `f` of 128 MB. members: fields of `EnvironmentSpec` that shall be different."""
    return replace(_ORDINARY, **members)


def make_target(**members: Any) -> Target:
    """What a call of that function without a qualifier runs. members: fields of `Target` that shall be different."""
    ordinary = Target(spec=_ORDINARY, executed_version="$LATEST", invoked_arn="arn:f", qualifier=None)
    return replace(ordinary, **members)
