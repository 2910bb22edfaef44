"""Reserved and provisioned concurrency."""

from __future__ import annotations

from lambdad.model.arn import Namespace
from lambdad.model.settings import Provisioning
from lambdad.placement.provisioned import make_plan
from lambdad.testing.control_plane import NAMESPACE, Plane, with_plane

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:f"


class Provisions:
    """A provisioner that is as far as it is told to be."""

    def __init__(self) -> None:
        self.told = Provisioning(allocated=2, available=1, status="IN_PROGRESS")
        self.asked: list[tuple[str, str]] = []

    def progress(self, namespace: Namespace, name: str, qualifier: str) -> Provisioning:
        assert namespace == NAMESPACE
        self.asked.append((name, qualifier))
        return self.told


@with_plane()
async def test_concurrency_is_reserved_shown_and_given_back(plane: Plane) -> None:
    await plane.create()
    assert await plane.call("GetFunctionConcurrency", FunctionName="f") == {}
    put = await plane.call("PutFunctionConcurrency", FunctionName="f", ReservedConcurrentExecutions=0)
    assert put == {"ReservedConcurrentExecutions": 0}
    assert await plane.call("GetFunctionConcurrency", FunctionName="f") == put
    assert plane.catalogue.resolve(plane.namespace, "f", None, 0.0).reserved_concurrency == 0
    await plane.call("DeleteFunctionConcurrency", FunctionName="f")
    assert await plane.call("GetFunctionConcurrency", FunctionName="f") == {}
    assert plane.catalogue.resolve(plane.namespace, "f", None, 0.0).reserved_concurrency is None


@with_plane()
async def test_a_hundred_stay_unreserved(plane: Plane) -> None:
    await plane.create()
    await plane.create("g")
    await plane.call("PutFunctionConcurrency", FunctionName="f", ReservedConcurrentExecutions=800)
    await plane.call("PutFunctionConcurrency", FunctionName="f", ReservedConcurrentExecutions=900)
    assert await plane.fails("PutFunctionConcurrency", FunctionName="g", ReservedConcurrentExecutions=1) == (
        "InvalidParameterValueException",
        400,
        "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution "
        "below its minimum value of [100].",
    )


@with_plane()
async def test_concurrency_belongs_to_the_whole_function(plane: Plane) -> None:
    await plane.create()
    for operation in ("GetFunctionConcurrency", "DeleteFunctionConcurrency", "PutFunctionConcurrency"):
        code, _, text = await plane.fails(operation, FunctionName=f"{ARN}:1", ReservedConcurrentExecutions=1)
        assert (code, text[:53]) == (
            "InvalidParameterValueException",
            "This operation is permitted on Lambda functions only.",
        )
        missing = ("ResourceNotFoundException", 404, f"Function not found: {ARN[:-1]}none")
        assert await plane.fails(operation, FunctionName="none", ReservedConcurrentExecutions=1) == missing


@with_plane()
async def test_without_a_provisioner_the_configuration_fails_and_says_why(plane: Plane) -> None:
    await plane.create(Publish=True)
    put = await plane.call(
        "PutProvisionedConcurrencyConfig", FunctionName="f", Qualifier="1", ProvisionedConcurrentExecutions=2
    )
    assert put == {
        "RequestedProvisionedConcurrentExecutions": 2,
        "AvailableProvisionedConcurrentExecutions": 0,
        "AllocatedProvisionedConcurrentExecutions": 0,
        "Status": "IN_PROGRESS",
        "LastModified": "2023-11-14T22:13:20+0000",
    }
    shown = await plane.call("GetProvisionedConcurrencyConfig", FunctionName="f", Qualifier="1")
    assert shown["Status"] == "FAILED"
    assert "no provisioned environments" in shown["StatusReason"]


PROVISIONS = Provisions()


@with_plane(provisioner=PROVISIONS)
async def test_progress_is_shown_as_it_is(plane: Plane) -> None:
    await plane.create(Publish=True)
    params = {"FunctionName": "f", "Qualifier": "1"}
    await plane.call("PutProvisionedConcurrencyConfig", ProvisionedConcurrentExecutions=2, **params)
    shown = await plane.call("GetProvisionedConcurrencyConfig", **params)
    assert (shown["Status"], shown["AvailableProvisionedConcurrentExecutions"]) == ("IN_PROGRESS", 1)
    assert shown["AllocatedProvisionedConcurrentExecutions"] == 2
    PROVISIONS.told = Provisioning(allocated=1, available=0, status="FAILED", reason="FUNCTION_ERROR_INIT_FAILURE")
    [listed] = (await plane.call("ListProvisionedConcurrencyConfigs", FunctionName="f"))[
        "ProvisionedConcurrencyConfigs"
    ]
    assert (listed["FunctionArn"], listed["Status"]) == (f"{ARN}:1", "FAILED")
    assert listed["StatusReason"] == "FUNCTION_ERROR_INIT_FAILURE"
    assert PROVISIONS.asked == [("f", "1"), ("f", "1")]


@with_plane()
async def test_what_is_configured_is_what_placement_is_told(plane: Plane) -> None:
    await plane.create(Publish=True)
    await plane.update(Timeout=9)
    await plane.call("PublishVersion", FunctionName="f")
    routing = {"AdditionalVersionWeights": {"2": 0.25}}
    await plane.call("CreateAlias", FunctionName="f", Name="live", FunctionVersion="1", RoutingConfig=routing)
    params = {"FunctionName": "f", "Qualifier": "live"}
    await plane.call("PutProvisionedConcurrencyConfig", ProvisionedConcurrentExecutions=4, **params)
    made = make_plan(plane.catalogue).provisions
    assert [(one.qualifier, one.spec.version, one.count) for one in made] == [("live", "1", 3), ("live", "2", 1)]
    await plane.call("DeleteProvisionedConcurrencyConfig", **params)
    assert make_plan(plane.catalogue).provisions == ()
    assert await plane.fails("GetProvisionedConcurrencyConfig", **params) == (
        "ProvisionedConcurrencyConfigNotFoundException",
        404,
        "No Provisioned Concurrency Config found for this function",
    )


@with_plane()
async def test_what_cannot_be_provisioned(plane: Plane) -> None:
    await plane.create(Publish=True)
    params = {"FunctionName": "f", "ProvisionedConcurrentExecutions": 2}
    operation = "PutProvisionedConcurrencyConfig"
    assert (await plane.fails(operation, Qualifier="$LATEST", **params))[2] == (
        "Provisioned Concurrency Configs cannot be applied to unpublished function versions."
    )
    await plane.call("CreateAlias", FunctionName="f", Name="latest", FunctionVersion="$LATEST")
    assert (await plane.fails(operation, Qualifier="latest", **params))[2] == (
        "Provisioned Concurrency Configs cannot be applied to unpublished function versions."
    )
    assert (await plane.fails(operation, Qualifier="9", **params))[1] == 404
    assert (await plane.fails(operation, Qualifier="", **params))[1] == 400
    assert (await plane.fails(operation, Qualifier="1", FunctionName="f", ProvisionedConcurrentExecutions=901))[2] == (
        "Specified ConcurrentExecutions for function is greater than account's unreserved concurrency [900]."
    )


@with_plane()
async def test_a_version_is_provisioned_by_its_number_or_by_an_alias(plane: Plane) -> None:
    await plane.create(Publish=True)
    await plane.update(Timeout=9)
    await plane.call("PublishVersion", FunctionName="f")
    await plane.call("CreateAlias", FunctionName="f", Name="one", FunctionVersion="1")
    await plane.call("CreateAlias", FunctionName="f", Name="two", FunctionVersion="2")
    params = {"FunctionName": "f", "ProvisionedConcurrentExecutions": 2}
    await plane.call("PutProvisionedConcurrencyConfig", Qualifier="1", **params)
    assert await plane.fails("PutProvisionedConcurrencyConfig", Qualifier="one", **params) == (
        "ResourceConflictException",
        409,
        "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version",
    )
    await plane.call("PutProvisionedConcurrencyConfig", Qualifier="two", **params)
    assert await plane.fails("PutProvisionedConcurrencyConfig", Qualifier="2", **params) == (
        "ResourceConflictException",
        409,
        "Version is pointed by a Provisioned Concurrency alias",
    )


@with_plane()
async def test_provisioned_fits_into_reserved(plane: Plane) -> None:
    await plane.create(Publish=True)
    params = {"FunctionName": "f", "Qualifier": "1"}
    await plane.call("PutProvisionedConcurrencyConfig", ProvisionedConcurrentExecutions=2, **params)
    assert await plane.fails("PutFunctionConcurrency", FunctionName="f", ReservedConcurrentExecutions=1) == (
        "InvalidParameterValueException",
        400,
        " ReservedConcurrentExecutions  1 should not be lower than function's total provisioned concurrency [2].",
    )
    await plane.call("PutFunctionConcurrency", FunctionName="f", ReservedConcurrentExecutions=2)
    error = await plane.fails("PutProvisionedConcurrencyConfig", ProvisionedConcurrentExecutions=3, **params)
    assert error[:2] == ("InvalidParameterValueException", 400)
