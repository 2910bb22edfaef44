"""Checking and collecting a store of one's own."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lambdad.cli.errors import CliError
from lambdad.cli.image_check import plan_local_collection, stored_bytes
from lambdad.cli.image_store import ImageStore

Command = Callable[..., tuple[int, str, str]]


def test_an_image_whose_manifest_is_lost_stops_the_collection(lambdad: Command, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_bytes(b"x" * 5000)
    store = ImageStore(tmp_path / "store")
    assert lambdad("image", "pull", f"dir:{tmp_path}/tree", "--store", str(store.directory))[0] == 0
    assert asyncio.run(plan_local_collection(store, 10**9)).steps == ()
    assert stored_bytes(store) > 0
    shutil.rmtree(store.chunks / "roots")
    with pytest.raises(CliError, match=r"1 wanted manifests are in no root.*pull them again"):
        asyncio.run(plan_local_collection(store, 10**9))
