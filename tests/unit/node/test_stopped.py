"""Working on the data directory of a node that does not run."""

from __future__ import annotations

import asyncio
import fcntl
import os
from pathlib import Path

import pytest

from lambdad.chunks.codec import Salt
from lambdad.chunks.objects import DirectoryObjects
from lambdad.chunks.origin import Origin, OriginStore
from lambdad.chunks.roots import active_root, load_roots
from lambdad.chunks.upload import UploadPlan, iterate_in_thread, publish_manifest, upload_image
from lambdad.model.clock import SystemClock
from lambdad.node.config import Config
from lambdad.node.paths import Paths
from lambdad.node.stopped import NotStopped, held, stopped_collection
from lambdad.telemetry.log import silent

LOG = silent()


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A node that has run here once."""
    paths = Paths(tmp_path / "data")
    paths.run.mkdir(parents=True)
    (paths.run / "lock").touch()
    paths.make_state()
    return Config(data_dir=paths.root)


async def upload_waste(config: Config) -> None:
    origin = Origin(DirectoryObjects(Paths(config.data_dir).chunks), SystemClock())
    root = await active_root(origin.objects, 5.0)
    plan = UploadPlan(salt=Salt(root.id), key=bytes(32), key_name="k", context="c", chunk_size=4096)
    uploaded = await upload_image(iterate_in_thread([b"waste" * 5000]), OriginStore(origin, root.id), plan)
    await publish_manifest(origin, root.id, uploaded)


def test_what_no_function_needs_is_collected(config: Config) -> None:
    async def run() -> None:
        await upload_waste(config)
        async with stopped_collection(config, LOG) as collection:
            steps = await collection.plan_at_once()
            assert len(steps) == 4
            counts = await collection.execute(steps)
        assert counts.deleted_objects > 1
        objects = DirectoryObjects(Paths(config.data_dir).chunks)
        (root,) = await load_roots(objects)
        assert [path async for path in objects.list(root.id)] == []

    asyncio.run(run())


def test_a_node_that_runs_keeps_others_away_and_is_kept_away_itself(config: Config) -> None:
    path = config.data_dir / "run" / "lock"
    with path.open("w") as node:
        fcntl.flock(node, fcntl.LOCK_EX)
        with pytest.raises(NotStopped, match=r"a node runs on .*--endpoint"), held(config):
            pass
    with held(config), path.open("w") as node, pytest.raises(BlockingIOError):
        fcntl.flock(node, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_directory_that_is_none_of_a_node_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(NotStopped, match="no data directory"), held(Config(data_dir=tmp_path)):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_the_directory_of_another_user_is_refused(config: Config) -> None:
    os.chown(config.data_dir, 12345, 12345)
    with pytest.raises(NotStopped, match="belongs to user 12345"), held(config):
        pass
