"""SnapStart in the control plane: a version is Pending until its snapshot is made, or says why there is none."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lambdad.model.environment import SnapshotFailure
from lambdad.model.errors import ApiError
from lambdad.testing.control_plane import Plane, with_plane

SNAP_START = {"ApplyOn": "PublishedVersions"}
DEADLINE_S = 30.0


async def settled(plane: Plane) -> dict[str, Any]:
    """Version 1, once it is not Pending any more."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            shown = await plane.call("GetFunctionConfiguration", FunctionName="f", Qualifier="1")
            if shown["State"] != "Pending":
                return shown


@with_plane()
async def test_a_version_cannot_be_invoked_before_its_snapshot_is_made(plane: Plane) -> None:
    await plane.create(SnapStart=SNAP_START)
    plane.preparer.hold()
    await plane.call("PublishVersion", FunctionName="f")
    with pytest.raises(ApiError, match="Lambda is initializing your function") as refusal:
        plane.catalogue.resolve(plane.namespace, "f", "1", 0.0)
    assert (refusal.value.code, refusal.value.status) == ("SnapStartNotReadyException", 409)
    plane.preparer.release()
    await settled(plane)
    spec = plane.catalogue.resolve(plane.namespace, "f", "1", 0.0).spec
    assert spec.initialization_type == "snap-start"
    assert [version.version for version in plane.preparer.captured] == ["1"]
    assert plane.catalogue.resolve(plane.namespace, "f", None, 0.0).spec.initialization_type == "on-demand"


@with_plane()
async def test_an_init_phase_that_fails_fails_the_version(plane: Plane) -> None:
    await plane.create(SnapStart=SNAP_START)
    plane.preparer.snapshot_failure = SnapshotFailure(code="FunctionError.InitTimeout", reason="It took too long.")
    await plane.call("PublishVersion", FunctionName="f")
    shown = await settled(plane)
    assert (shown["State"], shown["StateReasonCode"], shown["StateReason"]) == (
        "Failed",
        "FunctionError.InitTimeout",
        "It took too long.",
    )


@with_plane()
async def test_a_host_without_snapshots_says_so_and_runs_the_version(plane: Plane) -> None:
    await plane.create(SnapStart=SNAP_START)
    plane.preparer.snapshot_failure = SnapshotFailure(code="", reason="it is switched off")
    await plane.call("PublishVersion", FunctionName="f")
    shown = await settled(plane)
    assert (shown["State"], shown["StateReason"]) == ("Active", "SnapStart is not applied: it is switched off.")
    assert shown["SnapStart"] == {"ApplyOn": "PublishedVersions", "OptimizationStatus": "Off"}
    assert plane.catalogue.resolve(plane.namespace, "f", "1", 0.0).executed_version == "1"


@with_plane()
async def test_an_environment_that_is_initialised_ahead_is_an_optimisation_and_says_why(plane: Plane) -> None:
    await plane.create(SnapStart=SNAP_START)
    plane.preparer.snapshot_failure = SnapshotFailure(code="", reason="extensions cannot be forked", ahead=True)
    await plane.call("PublishVersion", FunctionName="f")
    shown = await settled(plane)
    assert shown["SnapStart"] == {"ApplyOn": "PublishedVersions", "OptimizationStatus": "On"}
    assert shown["State"] == "Active"
    assert shown["StateReason"].endswith("ahead, for there is no snapshot: extensions cannot be forked.")
    assert [spec.version for spec in plane.catalogue.started_ahead()] == ["1"]


@with_plane()
async def test_nothing_is_captured_without_being_asked_for(plane: Plane) -> None:
    await plane.create()
    await plane.call("PublishVersion", FunctionName="f")
    await settled(plane)
    assert plane.preparer.captured == []
