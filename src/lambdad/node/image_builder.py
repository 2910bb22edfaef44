"""Images of functions, from a URI to something that a worker can mount: the API process's side.

Each image is built by a child process (`image_build`) that pulls, flattens, cuts and encrypts it into the node's
chunk store (`chunk_tiers`). One key for each function seals its manifests.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from lambdad.block.messages import Configure, encode_message
from lambdad.chunks.keys import KeyRing
from lambdad.model.environment import Image
from lambdad.model.errors import ApiError
from lambdad.node.image_build import BuildOrder
from lambdad.node.paths import Paths

BUILDS_AT_ONCE = 2
LINE_MAX = 1024 * 1024


class ChildImageBuilder:
    """Implements `control.interface.ImageBuilder`: one child process for each build."""

    def __init__(self, paths: Paths, store: Configure, docker_config: str) -> None:
        self._paths = paths
        self._store = encode_message(store).decode()
        self._docker_config = docker_config
        self._ring = KeyRing(paths.keys)
        self._slots = asyncio.Semaphore(BUILDS_AT_ONCE)

    async def build(self, uri: str, owner: str, architecture: str, progress: Callable[[str], None]) -> Image:
        """Make the image startable. owner: ARN of the function, the name of its key. Raises ApiError."""
        self._paths.spool.mkdir(exist_ok=True)
        key = await asyncio.to_thread(self._key, owner)
        order = BuildOrder(
            uri=uri,
            architecture=architecture,
            store=self._store,
            spool=str(self._paths.spool),
            key=key.hex(),
            key_name=owner,
            docker_config=self._docker_config,
        )
        async with self._slots:
            answer = await _run_child(order, progress)
        if "error" in answer:
            raise ApiError(answer["error"]["code"], 400, answer["error"]["message"])
        built = answer["built"]
        return Image(
            uri=uri,
            resolved_uri=built["resolved_uri"],
            manifest_sha256=built["manifest_sha256"],
            entry_point=tuple(built["entry_point"]),
            command=tuple(built["command"]),
            working_directory=built["working_directory"],
            environment=built["environment"],
            user=built["user"],
        )

    def _key(self, owner: str) -> bytes:
        self._ring.open()
        return self._ring.get_or_create(owner)


async def _run_child(order: BuildOrder, progress: Callable[[str], None]) -> dict[str, Any]:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "lambdad.node.image_build",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=LINE_MAX,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        child.stdin.write(json.dumps(asdict(order)).encode())
        child.stdin.close()
        async for line in child.stdout:
            message: dict[str, Any] = json.loads(line)
            if "progress" not in message:
                return message
            progress(message["progress"])
        status = await child.wait()
        text = f"The builder of the image ended with status {status}; the log of lambdad tells more."
        return {"error": {"code": "InternalError", "message": text}}
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
