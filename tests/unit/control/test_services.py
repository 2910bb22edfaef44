"""The guards that many operations share."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lambdad.control.services import check_changeable, check_revision
from lambdad.model.arn import Namespace
from lambdad.model.environment import Code
from lambdad.model.errors import ApiError
from lambdad.model.function import Deployment, FunctionVersion, Logging, Package, Settings, Status

VERSION = FunctionVersion(
    namespace=Namespace("123456789012", "eu-west-1"),
    name="f",
    version="$LATEST",
    deployment=Deployment(
        id="d",
        settings=Settings(role="r", timeout_s=3, memory_mb=128, ephemeral_mb=512, logging=Logging(log_group="g")),
        package=Package(code=Code(sha256="ab" * 32, size=1)),
    ),
    revision_id="r",
    last_modified=0.0,
    state=Status(value="Active"),
)


def test_a_settled_function_can_be_changed_and_a_failed_one_too() -> None:
    check_changeable(VERSION)
    check_changeable(replace(VERSION, state=Status(value="Failed")))
    check_changeable(replace(VERSION, last_update=Status(value="Failed")))


def test_a_function_on_its_way_cannot() -> None:
    with pytest.raises(ApiError, match="currently in the following state: Pending"):
        check_changeable(replace(VERSION, state=Status(value="Pending")))
    with pytest.raises(ApiError, match="An update is in progress for resource: arn:aws:lambda:eu-west-1"):
        check_changeable(replace(VERSION, last_update=Status(value="InProgress")))


def test_no_revision_is_every_revision() -> None:
    check_revision(None, "a", "GetAlias")
    check_revision("a", "a", "GetAlias")
    with pytest.raises(ApiError, match="Call the GetAlias API"):
        check_revision("b", "a", "GetAlias")
