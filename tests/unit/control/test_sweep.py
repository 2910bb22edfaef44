"""Packages that nobody refers to."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from lambdad.control.sweep import GRACE_S, Sweep, referenced
from lambdad.model.environment import Image
from lambdad.testing.control_plane import Plane, make_zip, with_plane

MANIFEST = "12" * 32


class OneImage:
    async def build(self, uri: str, owner: str, architecture: str, progress: Callable[[str], None]) -> Image:
        return Image(uri=uri, resolved_uri=f"{uri}@sha256:{'ab' * 32}", manifest_sha256=MANIFEST)


def age(plane: Plane) -> None:
    """Make every package older than the grace."""
    for sha, _ in plane.blobs.list():
        path = plane.blobs.path(sha)
        assert path is not None
        os.utime(path, (1.0, 1.0))


async def sweep(plane: Plane, now: float = GRACE_S + 100.0) -> int:
    with ThreadPoolExecutor(1) as executor:
        return await Sweep(plane.store, plane.blobs, executor).run(now)


@with_plane()
async def test_what_is_referred_to_stays_and_the_rest_goes(plane: Plane) -> None:
    packages = {name: make_zip({name: name}) for name in ("first", "second", "layer", "used layer", "gone")}
    await plane.create(Code={"ZipFile": packages["first"]}, Publish=True)
    await plane.create("gone", Code={"ZipFile": packages["gone"]})
    await plane.call("PublishLayerVersion", LayerName="a", Content={"ZipFile": packages["layer"]})
    used = await plane.call("PublishLayerVersion", LayerName="b", Content={"ZipFile": packages["used layer"]})
    await plane.update(Layers=[used["LayerVersionArn"]])
    await plane.call("DeleteLayerVersion", LayerName="b", VersionNumber=1)
    await plane.call("UpdateFunctionCode", FunctionName="f", ZipFile=packages["second"])
    await plane.settle()
    await plane.call("DeleteFunction", FunctionName="gone")
    age(plane)
    assert await sweep(plane) == 1
    left = {plane.blobs.get(sha) for sha, _ in plane.blobs.list()}
    assert left == set(packages.values()) - {packages["gone"]}


@with_plane()
async def test_what_is_new_stays_though_nobody_refers_to_it_yet(plane: Plane) -> None:
    sha = plane.blobs.put(b"on its way")
    assert await sweep(plane, now=0.0) == 0
    age(plane)
    plane.blobs.put(b"on its way")
    assert await sweep(plane) == 0
    assert plane.blobs.has(sha)


@with_plane()
async def test_the_code_that_still_serves_stays_while_the_new_is_on_its_way(plane: Plane) -> None:
    await plane.create()
    plane.preparer.hold()
    await plane.call("UpdateFunctionCode", FunctionName="f", ZipFile=make_zip({"new": "x"}))
    age(plane)
    assert await sweep(plane) == 0


@with_plane(images=OneImage())
async def test_the_manifest_of_an_image_is_referred_to(plane: Plane) -> None:
    await plane.create(PackageType="Image", Code={"ImageUri": "r/f:1"}, Runtime=None, Handler=None)
    assert await plane.store.read(referenced) == {MANIFEST}
