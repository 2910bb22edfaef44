"""What network functions of a node have, as its configuration says: seen from inside of functions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.api.test_images import Registry, deploy_image, has_static_busybox, push_function

from lambdad.testing import probes
from lambdad.testing.deploying import deploy_python
from lambdad.testing.local_node import LocalNode

LOOKS_AROUND = """
import os, urllib.error, urllib.request

def handler(event, context):
    try:
        with urllib.request.urlopen(event["url"], timeout=20) as answer:
            heard = answer.status
    except urllib.error.URLError as error:
        heard = type(error.reason).__name__
    with open("/etc/resolv.conf") as file:
        names = file.read()
    return {"heard": heard, "names": names, "api": os.environ["AWS_LAMBDA_RUNTIME_API"]}
"""

has_router = [
    probes.skip_unless(
        probes.is_root(), probes.can_make_namespaces(), probes.can_mount_loop(), probes.can_route_and_filter()
    )
]


@pytest.fixture(scope="module")
def connected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalNode]:
    """A node whose functions have the internet."""
    started = LocalNode.start(tmp_path_factory.mktemp("connected") / "data", arguments=["--egress", "internet"])
    yield started
    assert started.stop() == []


def _health(node: LocalNode) -> dict[str, str]:
    return {"url": f"{node.endpoint}/_lambdad/health"}


class TestInternet:
    pytestmark = has_router

    def test_a_function_has_a_name_server_and_does_not_reach_the_node(self, connected: LocalNode) -> None:
        with deploy_python(connected.client(), LOOKS_AROUND) as function:
            told = function.invoke(_health(connected)).value
            assert told["heard"] == "ConnectionRefusedError"
            assert told["names"] == "nameserver 169.254.0.1\n"

    @pytest.mark.skipif(not has_static_busybox(), reason="needs a static busybox (Debian's busybox-static)")
    def test_an_image_gets_the_nodes_name_server_over_its_own(self, connected: LocalNode) -> None:
        registry = Registry()
        try:
            # /marker shows what the function sees: here it is a link to the file in question
            uri = push_function(registry, "names", links={"marker": "/etc/resolv.conf"})
            with deploy_image(connected.client(), uri) as function:
                assert function.invoke({}).value["marker"] == "nameserver 169.254.0.1"
        finally:
            registry.server.shutdown()
            registry.server.server_close()


@probes.skip_unless(probes.can_make_user_namespaces())
def test_with_the_hosts_network_a_function_reaches_the_node_itself(tmp_path: Path) -> None:
    node = LocalNode.start(tmp_path / "data", arguments=["--egress", "host"])
    with node, deploy_python(node.client(), LOOKS_AROUND) as function:
        told = function.invoke(_health(node)).value
        assert told["heard"] == 200
        assert told["api"] != "127.0.0.1:9001"
        assert told["names"] == Path("/etc/resolv.conf").read_text()
        assert "egress: host" in node.output_tail()


def test_without_a_word_functions_have_no_network(node: LocalNode) -> None:
    with deploy_python(node.client(), LOOKS_AROUND) as function:
        told = function.invoke(_health(node)).value
        assert (told["heard"], told["names"], told["api"]) == ("ConnectionRefusedError", "", "127.0.0.1:9001")
