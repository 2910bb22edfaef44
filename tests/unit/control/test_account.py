"""GetAccountSettings."""

from __future__ import annotations

from lambdad.testing.control_plane import Plane, make_zip, with_plane


@with_plane()
async def test_an_account_shows_its_limits_and_what_it_uses(plane: Plane) -> None:
    size = len(make_zip())
    await plane.create("a", Publish=True)
    await plane.create("b")
    await plane.call("PublishLayerVersion", LayerName="l", Content={"ZipFile": make_zip()})
    await plane.call("PutFunctionConcurrency", FunctionName="a", ReservedConcurrentExecutions=300)
    assert await plane.call("GetAccountSettings") == {
        "AccountLimit": {
            "TotalCodeSize": 322122547200,
            "CodeSizeUnzipped": 262144000,
            "CodeSizeZipped": 52428800,
            "ConcurrentExecutions": 1000,
            "UnreservedConcurrentExecutions": 700,
        },
        "AccountUsage": {"TotalCodeSize": 4 * size, "FunctionCount": 2},
    }
