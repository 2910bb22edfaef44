"""A FUSE file served in this process, for tests of the server without supervisor and agent."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

from lambdad.block.fuse import FuseFile
from lambdad.block.fuse_mount import mount_file, unmount
from lambdad.block.interface import BlockSource


@contextlib.asynccontextmanager
async def fuse_file(source: BlockSource, path: Path) -> AsyncIterator[Path]:
    """`path` shows `source` until the end. Read it from another thread, or this one waits for itself."""
    mount = mount_file(str(path))
    try:
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(FuseFile(mount.descriptor, source).run())
            try:
                yield path
            finally:
                unmount(str(path))
                await serving
    finally:
        unmount(str(path))
        os.close(mount.descriptor)
