"""Versions that nobody calls become Inactive, in virtual time, and come back when somebody does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.store.records import SPACE, make_function, make_version

from lambdad.control.idleness import IDLE, Idleness, is_idle
from lambdad.model.environment import Image, SnapshotFailure
from lambdad.model.errors import ApiError
from lambdad.model.function import FunctionVersion, Status
from lambdad.store.catalogue import Catalogue
from lambdad.store.changes import FunctionChanged, VersionChanged
from lambdad.testing.control_plane import Plane, with_plane

DAY = 86_400.0
AFTER = 14 * DAY
SNAP_START = {"ApplyOn": "PublishedVersions"}
DEADLINE_S = 30.0


class World:
    """A plane with an `Idleness`. reclaimed: keys of what was taken back."""

    def __init__(self, plane: Plane, tasks: asyncio.TaskGroup) -> None:
        self.plane = plane
        self.reclaimed: list[str] = []
        self._ids = iter(range(1000))
        self.idleness = Idleness(
            plane.store,
            plane.control.deployments,
            lambda work: void(tasks.create_task(work)),
            lambda: f"id-{next(self._ids)}",
            after=AFTER,
            reclaim=self.reclaimed.append,
        )
        plane.catalogue.on_inactive = lambda version: self.idleness.wake(version, plane.now)

    async def version(self, qualifier: str = "1") -> dict[str, Any]:
        return await self.plane.call("GetFunctionConfiguration", FunctionName="f", Qualifier=qualifier)

    async def wait_for(self, state: str) -> dict[str, Any]:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                shown = await self.version()
                if shown["State"] == state:
                    return shown

    def invoke(self) -> None:
        """As a frontend does it."""
        self.idleness.called(self.plane.catalogue.resolve(self.plane.namespace, "f", "1", 0.0).spec)

    async def pass_days(self, days: float) -> int:
        self.plane.now += days * DAY
        return await self.idleness.sweep(self.plane.now)


def void(task: object) -> None:
    del task


@asynccontextmanager
async def published(plane: Plane) -> AsyncIterator[World]:
    """A version with SnapStart that is Active."""
    async with asyncio.TaskGroup() as tasks:
        world = World(plane, tasks)
        await plane.create(SnapStart=SNAP_START)
        await plane.call("PublishVersion", FunctionName="f")
        await world.wait_for("Active")
        assert await world.idleness.sweep(plane.now) == 0
        yield world


@with_plane()
async def test_who_is_not_called_for_two_weeks_is_inactive_and_gives_back_what_was_made_for_it(plane: Plane) -> None:
    async with published(plane) as world:
        assert await world.pass_days(13.9) == 0
        before = await world.version()
        assert await world.pass_days(0.2) == 1
        shown = await world.version()
        assert (shown["State"], shown["StateReasonCode"], shown["StateReason"]) == ("Inactive", "Idle", IDLE.reason)
        assert shown["RevisionId"] != before["RevisionId"]
        [key] = world.reclaimed
        assert not plane.catalogue.runs(key)
        assert (await world.version("$LATEST"))["State"] == "Active", "it holds nothing"
        assert await world.pass_days(1) == 0


@with_plane()
async def test_a_call_is_not_forgotten_when_it_cannot_be_written_down(plane: Plane) -> None:
    async with published(plane) as world:
        plane.now += 13.9 * DAY
        world.invoke()
        full = mock.patch.object(plane.store, "write", side_effect=OSError("the disk is full"))
        with full, pytest.raises(OSError, match="full"):
            await world.pass_days(0)
        assert await world.pass_days(0.2) == 0


@with_plane()
async def test_a_call_puts_it_off_and_is_remembered_by_the_next_process(plane: Plane) -> None:
    async with published(plane) as world, asyncio.TaskGroup() as tasks:
        plane.now += 13 * DAY
        world.invoke()
        assert await world.pass_days(1.5) == 0
        again = World(plane, tasks)
        plane.now += 13.9 * DAY
        assert await again.idleness.sweep(plane.now) == 0
        plane.now += 0.2 * DAY
        assert await again.idleness.sweep(plane.now) == 1


@with_plane()
async def test_an_old_version_that_is_seen_for_the_first_time_has_its_weeks_still(plane: Plane) -> None:
    """Of the time before this was written down nobody knows who called it."""
    async with asyncio.TaskGroup() as tasks:
        world = World(plane, tasks)
        await plane.create(SnapStart=SNAP_START)
        await plane.call("PublishVersion", FunctionName="f")
        await world.wait_for("Active")
        assert await world.pass_days(100) == 0
        assert await world.pass_days(13.9) == 0
        assert await world.pass_days(0.2) == 1


@with_plane()
async def test_the_first_call_is_refused_and_brings_it_back(plane: Plane) -> None:
    async with published(plane) as world:
        await world.pass_days(15)
        plane.preparer.hold()
        with pytest.raises(ApiError) as refusal:
            world.invoke()
        assert (refusal.value.code, refusal.value.status) == ("SnapStartNotReadyException", 409)
        assert (await world.wait_for("Pending"))["StateReasonCode"] == "Restoring"
        with pytest.raises(ApiError, match="Lambda is initializing your function"):
            world.invoke()
        plane.preparer.release()
        await world.wait_for("Active")
        world.invoke()
        assert len(plane.preparer.captured) == 2
        assert await world.pass_days(1) == 0


@with_plane()
async def test_what_cannot_be_brought_back_is_inactive_again_with_the_reason(plane: Plane) -> None:
    async with published(plane) as world:
        await world.pass_days(15)
        plane.preparer.snapshot_failure = SnapshotFailure(code="FunctionError.InitTimeout", reason="It took too long.")
        with pytest.raises(ApiError):
            world.invoke()
        async with asyncio.timeout(DEADLINE_S):
            while (shown := await world.version())["StateReasonCode"] != "FunctionError.InitTimeout":
                pass
        assert (shown["State"], shown["StateReason"]) == ("Inactive", "It took too long.")


@with_plane()
async def test_a_version_that_comes_back_with_a_snapshot_is_not_started_ahead_any_more(plane: Plane) -> None:
    plane.preparer.snapshot_failure = SnapshotFailure(code="", reason="it is switched off", ahead=True)
    async with published(plane) as world:
        assert [spec.version for spec in plane.catalogue.started_ahead()] == ["1"]
        await world.pass_days(15)
        plane.preparer.snapshot_failure = None
        with pytest.raises(ApiError):
            world.invoke()
        shown = await world.wait_for("Active")
        assert ("StateReason" in shown, shown["SnapStart"]["OptimizationStatus"]) == (False, "On")
        assert list(plane.catalogue.started_ahead()) == []


@with_plane()
async def test_provisioned_environments_are_held_on_purpose(plane: Plane) -> None:
    async with published(plane) as world:
        await plane.call(
            "PutProvisionedConcurrencyConfig", FunctionName="f", Qualifier="1", ProvisionedConcurrentExecutions=1
        )
        assert await world.pass_days(100) == 0


@with_plane()
async def test_a_process_that_ends_while_a_version_comes_back_drives_it_on(plane: Plane) -> None:
    async with published(plane) as world:
        await world.pass_days(15)
        plane.preparer.hold()
        with pytest.raises(ApiError):
            world.invoke()
        await world.wait_for("Pending")
        plane.preparer.release()
        await plane.control.resume()
        await world.wait_for("Active")


def an_image(version: FunctionVersion) -> FunctionVersion:
    image = Image(uri="r/f:1", resolved_uri="r/f@sha256:00", manifest_sha256="00")
    deployment = replace(version.deployment, package=replace(version.package, code=None, image=image))
    return replace(version, deployment=deployment, serving=deployment, state=Status(value="Active"), last_update=None)


def test_an_image_is_refused_in_awss_words_while_it_is_made_ready_again() -> None:
    catalogue = Catalogue()
    woken: list[str] = []
    catalogue.on_inactive = lambda version: woken.append(version.version)
    version = an_image(make_version("1"))
    catalogue.apply([FunctionChanged(make_function()), VersionChanged(replace(version, state=IDLE))])
    assert [spec.version for spec in catalogue.specs()] == ["1"], "its chunks are not collected"
    with pytest.raises(ApiError, match="It will be ready to invoke shortly") as refusal:
        catalogue.resolve(SPACE, "f", "1", 0.0)
    assert (refusal.value.code, refusal.value.status, woken) == ("CodeArtifactUserPendingException", 409, ["1"])


@given(st.floats(0, 1e9), st.floats(0, 1e9), st.floats(0, 1e9), st.floats(1, 1e8))
def test_nobody_is_idle_who_was_made_or_called_in_the_time(made: float, used: float, now: float, after: float) -> None:
    version = replace(an_image(make_version("1")), last_modified=made)
    assert is_idle(version, used, now, after) is (now - max(made, used) >= after)
    assert not is_idle(replace(version, state=IDLE), used, now, after)
    assert not is_idle(make_version("1"), used, now, after), "a zip alone holds nothing"
