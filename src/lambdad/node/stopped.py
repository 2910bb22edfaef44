"""A node that does not run, held still while something works on its data directory."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import AsyncIterator, Iterator

from lambdad.block.read_path import open_objects
from lambdad.chunks.gc import GcPolicy
from lambdad.model.clock import SystemClock
from lambdad.node.chunk_tiers import store_of
from lambdad.node.config import Config
from lambdad.node.image_gc import ImageCollection, node_name
from lambdad.node.paths import Paths
from lambdad.store.catalogue import Catalogue
from lambdad.store.metadata import SqliteStore
from lambdad.telemetry.log import Logger


class NotStopped(Exception):
    """The data directory cannot be worked on now; the text says why and what to do."""


@contextlib.contextmanager
def held(config: Config) -> Iterator[None]:
    """Inside, no `lambdad up` can use the data directory. Raises `NotStopped`."""
    directory = config.data_dir
    try:
        owner = directory.stat().st_uid
        lock = os.open(directory / "run" / "lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise NotStopped(f"{directory} is no data directory of a node that can be used: {error.strerror}") from None
    try:
        if owner != os.geteuid():
            raise NotStopped(f"{directory} belongs to user {owner}: be that user, or the node cannot read what is left")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NotStopped(f"a node runs on {directory}: ask it with --endpoint URL, or stop it") from None
        yield
    finally:
        os.close(lock)


@contextlib.asynccontextmanager
async def stopped_collection(config: Config, log: Logger) -> AsyncIterator[ImageCollection]:
    """The collector of a node that does not run and is held meanwhile. Raises `NotStopped`, `ConfigError`."""
    with held(config):
        paths = Paths(config.data_dir)
        store = SqliteStore(paths.database)
        await store.open()
        try:
            catalogue = Catalogue(egress=config.egress)
            await catalogue.open(store)
            objects = open_objects(store_of(config))
            try:
                name = node_name(paths.state / "name")
                yield ImageCollection(objects, name, catalogue.specs, SystemClock(), log, GcPolicy())
            finally:
                await objects.close()
        finally:
            await store.close()
