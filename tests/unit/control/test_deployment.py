"""From Pending to Active or Failed, also across a restart."""

from __future__ import annotations

import asyncio
from pathlib import Path

from lambdad.testing.control_plane import Plane, make_zip, new_function, open_plane, with_plane


@with_plane()
async def test_what_the_function_needs_is_prepared(plane: Plane) -> None:
    layer = await plane.call("PublishLayerVersion", LayerName="l", Content={"ZipFile": make_zip({"a": "b"})})
    await plane.create(Layers=[layer["LayerVersionArn"]])
    ((runtime, codes),) = plane.preparer.prepared
    assert (runtime, [code.size for code in codes]) == ("python3.12", [len(make_zip()), len(make_zip({"a": "b"}))])


@with_plane()
async def test_a_function_that_cannot_be_prepared_fails_with_the_reason(plane: Plane) -> None:
    plane.preparer.reason = "the archive is damaged"
    await plane.create()
    shown = await plane.call("GetFunctionConfiguration", FunctionName="f")
    assert (shown["State"], shown["StateReason"], shown["StateReasonCode"]) == (
        "Failed",
        "the archive is damaged",
        "InvalidConfiguration",
    )
    error = plane.preparer.reason = None
    assert error is None
    await plane.update(Timeout=5)
    shown = await plane.call("GetFunctionConfiguration", FunctionName="f")
    assert (shown["State"], shown["LastUpdateStatus"]) == ("Active", "Successful")


@with_plane()
async def test_without_a_worker_functions_become_active_all_the_same(plane: Plane) -> None:
    plane.preparer.failure = ConnectionError("no worker")
    await plane.create()
    assert (await plane.call("GetFunctionConfiguration", FunctionName="f"))["State"] == "Active"


@with_plane()
async def test_a_function_deleted_while_it_is_prepared_stays_deleted(plane: Plane) -> None:
    plane.preparer.hold()
    await plane.call("CreateFunction", **new_function())
    await plane.call("DeleteFunction", FunctionName="f")
    plane.preparer.release()
    await plane.create("g")
    assert (await plane.fails("GetFunction", FunctionName="f"))[1] == 404


@with_plane()
async def test_a_late_preparation_does_not_settle_a_newer_function_of_the_same_name(plane: Plane) -> None:
    plane.preparer.hold()
    await plane.call("CreateFunction", **new_function())
    await plane.call("DeleteFunction", FunctionName="f")
    second = await plane.call("CreateFunction", **new_function(Description="second"))
    plane.preparer.release()
    await plane.settle()
    shown = await plane.call("GetFunctionConfiguration", FunctionName="f")
    assert (shown["State"], shown["Description"]) == ("Active", "second")
    assert shown["RevisionId"] != second["RevisionId"]


def test_a_restart_drives_on_what_was_pending(tmp_path: Path) -> None:
    async def abandon() -> None:
        async with open_plane(tmp_path) as plane:
            await plane.call("CreateFunction", **new_function())
            plane.preparer.hold()
            await plane.call("CreateFunction", **new_function("held"))
            # What a killed process leaves: the record without anybody who drives it.
            await plane.store.close()

    async def resume() -> None:
        async with open_plane(tmp_path) as plane:
            before = await plane.call("GetFunctionConfiguration", FunctionName="held")
            await plane.control.resume()
            await plane.settle("held")
            after = await plane.call("GetFunctionConfiguration", FunctionName="held")
            assert (before["State"], after["State"]) == ("Pending", "Active")

    asyncio.run(abandon())
    asyncio.run(resume())
