"""`kill -9` of what stands behind functions from images, in rounds: nothing is lost, left over, hung or half-used.

`LAMBDAD_KILL_ROUNDS` sets the number of rounds; each kills the block agent, its supervisor, the worker or a builder
while functions run from images. The choices are random and repeatable: `LAMBDAD_KILL_SEED`.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.api.test_images import Registry, deploy_image, has_static_busybox, push_function

from lambdad.testing import probes
from lambdad.testing.deploying import Deployed
from lambdad.testing.leftovers import descendants
from lambdad.testing.local_node import LocalNode
from lambdad.testing.waiting import wait_until

ROUNDS = int(os.environ.get("LAMBDAD_KILL_ROUNDS", "4"))
SEED = int(os.environ.get("LAMBDAD_KILL_SEED", "11"))
VICTIMS = ("lambdad.block.agent", "lambdad.block.supervisor", "lambdad.node.worker", "lambdad.node.image_build")
PATIENCE_S = 60.0

pytestmark = [
    probes.skip_unless(probes.is_root(), probes.can_mount_loop()),
    pytest.mark.skipif(not has_static_busybox(), reason="needs a static busybox (Debian's busybox-static)"),
]


class Scene:
    """A node with one function from an image, and what it takes to hurt it."""

    def __init__(self, node: LocalNode, registry: Registry) -> None:
        self.node = node
        self.registry = registry
        self.client = node.client()
        self.marker = "steady"
        self.function: Deployed = deploy_image(self.client, push_function(registry, self.marker))
        self.chance = random.Random(SEED)  # the moments of a test
        self.wrong: list[Any] = []
        self.answers = 0

    def invoke(self) -> bool:
        """Whether the function answered; what it answers must be its own."""
        try:
            answer = self.client.invoke(FunctionName=self.function.name, Payload=b'{"n":1}')
        except ClientError:
            return False
        payload = answer["Payload"].read()
        if "FunctionError" in answer:
            return False
        if f'"marker":"{self.marker}"'.encode() not in payload:
            self.wrong.append(payload)
        self.answers += 1
        return True

    def find(self, module: str) -> int | None:
        """A process of the node that runs the module."""
        for pid in descendants(self.node.process.pid):
            with contextlib.suppress(OSError):
                if module.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                    return pid
        return None

    def kill(self, module: str) -> None:
        found: list[int] = []

        def is_there() -> bool:
            pid = self.find(module)
            if pid is not None:
                found.append(pid)
            return pid is not None

        wait_until(is_there, module, PATIENCE_S)
        with contextlib.suppress(ProcessLookupError):
            os.kill(found[0], signal.SIGKILL)

    @contextlib.contextmanager
    def traffic(self) -> Iterator[None]:
        """Invokes go on meanwhile, and end in time afterwards. Some answers come first, a random number of them."""
        over = threading.Event()

        def call() -> None:
            while not over.is_set():
                self.invoke()

        callers = [threading.Thread(target=call, daemon=True) for _ in range(2)]
        first = self.answers + self.chance.randrange(12)
        for caller in callers:
            caller.start()
        try:
            wait_until(lambda: self.answers >= first, "answers before the kill", PATIENCE_S)
            yield
        finally:
            over.set()
            for caller in callers:
                caller.join(PATIENCE_S)
        assert not any(caller.is_alive() for caller in callers), "an invoke hangs"

    def recovers(self) -> None:
        wait_until(self.invoke, "an answer after the kill", PATIENCE_S)
        assert self.wrong == []

    def kill_a_build(self, number: int) -> None:
        """The builder dies in the middle: the update fails and says so, or was done already, nothing between."""
        marker = f"next{number}"
        uri = push_function(self.registry, marker)
        before = self.marker
        with contextlib.suppress(ClientError):
            self.client.update_function_code(FunctionName=self.function.name, ImageUri=uri)
        self.kill(VICTIMS[3])

        def status() -> str:
            told = self.client.get_function_configuration(FunctionName=self.function.name)
            return str(told.get("LastUpdateStatus"))

        wait_until(lambda: status() != "InProgress", "the end of the update", PATIENCE_S)
        self.marker = marker if status() == "Successful" else before
        self.recovers()

    def leftovers(self) -> list[str]:
        """Temporary files of builds, and directories of images that no mount needs."""
        data = self.node.data_dir
        left = [str(path) for path in (data / "state" / "spool").rglob("*")]
        left += [str(path) for path in (data / "state" / "chunks").rglob(".*")]
        return left + [str(path) for path in (data / "worker" / "images").glob("g*") if not (path / "images").is_dir()]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    registry = Registry()
    node = LocalNode.start(tmp_path / "data")
    try:
        yield Scene(node, registry)
    finally:
        if node.process.poll() is None:
            node.kill()
        registry.server.shutdown()
        registry.server.server_close()


def test_functions_from_images_survive_the_death_of_whoever_serves_them(scene: Scene) -> None:
    for number in range(ROUNDS):
        victim = VICTIMS[number % len(VICTIMS)] if number < len(VICTIMS) else scene.chance.choice(VICTIMS)
        if victim == VICTIMS[3]:
            scene.kill_a_build(number)
        else:
            scene.recovers()  # so that there is something to kill
            with scene.traffic():
                scene.kill(victim)
            scene.recovers()
    wait_until(lambda: scene.leftovers() == [], f"no leftovers: {scene.leftovers()}", PATIENCE_S)
    assert scene.node.stop() == []
    assert not (scene.node.data_dir / "worker" / "images").exists() or not any(
        (scene.node.data_dir / "worker" / "images").iterdir()
    )
