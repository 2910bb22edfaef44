"""The control plane that tests use."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from lambdad.testing.control_plane import Plane, new_function, open_plane, with_plane


@with_plane()
async def test_a_plane_answers_waits_and_fails(plane: Plane) -> None:
    await plane.create()
    assert (await plane.update(Timeout=5))["Timeout"] == 5
    assert (await plane.fails("GetFunction", FunctionName="g"))[1] == 404
    with pytest.raises(AssertionError, match="did not fail"):
        await plane.fails("GetFunction", FunctionName="f")


def test_a_test_fails_with_its_own_exception(tmp_path: Path) -> None:
    @with_plane()
    async def failing(plane: Plane) -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        failing(tmp_path)


def test_a_held_preparer_keeps_functions_pending_until_the_end(tmp_path: Path) -> None:
    async def body() -> None:
        async with open_plane(tmp_path) as plane:
            plane.preparer.hold()
            await plane.call("CreateFunction", **new_function(Description=None))
            assert plane.catalogue.is_changing(plane.namespace, "f")

    asyncio.run(body())
