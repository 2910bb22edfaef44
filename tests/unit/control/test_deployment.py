"""From Pending to Active or Failed, also across a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from lambdad.model.environment import Image
from lambdad.model.errors import invalid_parameter
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
    plane.preparer.reason = None
    await plane.update(Timeout=5)
    shown = await plane.call("GetFunctionConfiguration", FunctionName="f")
    assert (shown["State"], shown["LastUpdateStatus"]) == ("Active", "Successful")


IMAGE = {"PackageType": "Image", "Code": {"ImageUri": "registry/f:1"}, "Runtime": None, "Handler": None}


class Builder:
    """Builds what it is told to."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.built: list[str] = []

    async def build(self, uri: str, owner: str, architecture: str, progress: Callable[[str], None]) -> Image:
        self.built.append(uri)
        if self.failure is not None:
            raise self.failure
        return Image(uri=uri, resolved_uri=f"{uri}@sha256:{'ab' * 32}", manifest_sha256="12" * 32)


GOOD, BAD = Builder(), Builder()


@with_plane(images=GOOD)
async def test_an_image_is_built_in_the_background_and_once(plane: Plane) -> None:
    await plane.create(**IMAGE)
    assert (await plane.call("PublishVersion", FunctionName="f"))["CodeSha256"] == "ab" * 32
    assert (await plane.call("PublishVersion", FunctionName="f"))["Version"] == "1"
    await plane.update(Timeout=5)
    assert GOOD.built == ["registry/f:1"]
    assert plane.preparer.prepared == []


@with_plane(images=GOOD)
async def test_an_image_published_at_creation_is_not_published_again(plane: Plane) -> None:
    await plane.create(**IMAGE, Publish=True)
    assert (await plane.call("PublishVersion", FunctionName="f"))["Version"] == "1"


@with_plane(images=BAD)
async def test_an_image_that_cannot_be_built_fails_its_function(plane: Plane) -> None:
    for BAD.failure, code in (
        (invalid_parameter("no such tag"), "InvalidImage"),
        (OSError("no space"), "InternalError"),
    ):
        await plane.create(**IMAGE)
        shown = await plane.call("GetFunctionConfiguration", FunctionName="f")
        assert (shown["State"], shown["StateReasonCode"]) == ("Failed", code)
        assert str(BAD.failure.args[0]) in shown["StateReason"]
        await plane.call("DeleteFunction", FunctionName="f")


@with_plane(patience_s=60.0)
async def test_with_patience_an_answer_says_pending_and_the_function_is_active(plane: Plane) -> None:
    created = await plane.call("CreateFunction", **new_function())
    assert created["State"] == "Pending"
    assert plane.catalogue.resolve(plane.namespace, "f", None, 0.0).executed_version == "$LATEST"
    updated = await plane.call("UpdateFunctionConfiguration", FunctionName="f", Timeout=7)
    assert updated["LastUpdateStatus"] == "InProgress"
    assert plane.catalogue.resolve(plane.namespace, "f", None, 0.0).spec.timeout_s == 7


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
