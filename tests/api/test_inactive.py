"""A version that nobody calls becomes Inactive and comes back, through boto3, on a node with little patience."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lambdad.testing.deploying import deploy_python
from lambdad.testing.local_node import LocalNode
from lambdad.testing.probes import can_make_namespaces, can_mount_loop, is_root, skip_unless
from lambdad.testing.waiting import wait_until

pytestmark = [pytest.mark.kernel, skip_unless(is_root(), can_make_namespaces(), can_mount_loop())]

DEADLINE_S = 60.0


@pytest.fixture
def impatient(tmp_path: Path) -> Iterator[LocalNode]:
    config = tmp_path / "config.toml"
    config.write_text("inactive_after = 1.0\n")
    node = LocalNode.start(tmp_path / "data", arguments=("--config", str(config)))
    yield node
    assert node.stop() == []


def test_an_idle_version_is_inactive_and_the_next_call_brings_it_back(impatient: LocalNode) -> None:
    client = impatient.client()
    source = "def handler(event, context):\n    return 'here'\n"
    with deploy_python(client, source, SnapStart={"ApplyOn": "PublishedVersions"}) as function:
        client.publish_version(FunctionName=function.name)
        seen: dict[str, Any] = {}

        def becomes(state: str) -> None:
            def looks() -> bool:
                seen.update(client.get_function_configuration(FunctionName=function.name, Qualifier="1"))
                return bool(seen["State"] == state)

            wait_until(looks, state, DEADLINE_S)

        becomes("Inactive")
        assert seen["StateReasonCode"] == "Idle"
        assert client.get_function_configuration(FunctionName=function.name)["State"] == "Active"
        with pytest.raises(client.exceptions.SnapStartNotReadyException) as refusal:
            function.invoke(Qualifier="1")
        assert refusal.value.response["ResponseMetadata"]["HTTPStatusCode"] == 409

        def answers() -> bool:
            """On a slow machine it may have fallen asleep again before the second call."""
            try:
                return bool(function.invoke(Qualifier="1").value == "here")
            except client.exceptions.SnapStartNotReadyException:
                return False

        wait_until(answers, "an answer", DEADLINE_S)
        becomes("Inactive")
