"""A node whose functions from zips run on a base: they run, and nothing of the host is there to be seen.

The hostile function looks for every file that tells this host from the base.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lambdad.node.zip_root import ZipRoot
from lambdad.pack.base import Base
from lambdad.runtimes.catalogue import discover
from lambdad.testing.deploying import deploy_bootstrap, deploy_python, zip_of
from lambdad.testing.local_node import LocalNode

pytestmark = [pytest.mark.kernel, pytest.mark.slow]

LOOK = """
import os, sys
def handler(event, context):
    seen = {}
    for path in event["paths"]:
        try:
            os.stat(path)
            seen[path] = "there"
        except OSError:
            pass  # not there, or below a directory of the base that is closed
    libraries = [line.split()[-1] for line in open("/proc/self/maps") if "/" in line]
    same = {path: os.stat(path).st_ino for path in event["compared"]}
    tried = {}
    for path in event["written"]:
        try:
            open(path, "w").close()
            tried[path] = "written"
        except OSError as error:
            tried[path] = error.strerror
    up = sorted(os.listdir("/proc/self/root/../.."))
    return {
        "seen": seen, "root": sorted(os.listdir("/")), "up": up, "libraries": libraries, "same": same, "tried": tried,
        "executable": sys.executable, "devices": sorted(os.listdir("/dev")),
    }
"""
BOOTSTRAP = """#!/bin/sh
set -e
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation"
while :; do
  curl -s -D /tmp/headers -o /tmp/event "$api/next"
  id=$(grep -i '^lambda-runtime-aws-request-id' /tmp/headers | tr -d '\\r' | cut -d' ' -f2)
  curl -s -o /dev/null -d "\\"$(id -un) $(/opt/bin/tool) $(ls -x /var/task)\\"" "$api/$id/response"
done
"""


@pytest.fixture(scope="module")
def node(debian_base: Base, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalNode]:
    directory = tmp_path_factory.mktemp("node") / "data"
    with LocalNode.start(directory, arguments=["--base", str(debian_base.directory)]) as running:
        yield running


def of_the_host(base: Base) -> list[str]:
    """Paths of this host, top levels and what is in them, that the base does not have."""
    found = []
    for top in ("/", "/usr/bin", "/usr/lib", "/etc", "/usr/share", "/usr/local/bin", "/opt", "/home", "/srv", "/root"):
        names = os.listdir(top) if os.path.isdir(top) else []
        found += [os.path.join(top, name) for name in names]
    here = [path for path in found if not os.path.lexists(f"{base.rootfs}{path}")]
    return sorted(set(here) - {"/.", "/proc"})[:2000]


def test_a_python_function_on_a_base_sees_nothing_of_the_host(node: LocalNode, debian_base: Base, tmp_path) -> None:
    runtime = discover(tmp_path / "runtimes").get("python3.11")
    why = ZipRoot(debian_base.directory).why_not(runtime)
    if why is not None:
        pytest.skip(why)
    secret = Path("/etc/lambdad-test-secret")
    paths = of_the_host(debian_base)
    assert len(paths) > 20, "the host is to be told from the base"
    compared = ["/usr/bin/env", "/etc/passwd", "/lib64/libc.so.6"]
    written = ["/usr/bin/env", "/etc/passwd", "/x", "/var/lang/x", "/opt/x", "/dev/x"]
    with deploy_python(node.client(), LOOK, MemorySize=512, Timeout=60) as function:
        outcome = function.invoke({"paths": [*paths, str(secret)], "compared": compared, "written": written})
    assert outcome.error is None, outcome.value
    told: dict[str, Any] = outcome.value
    prefix = Path(runtime.prefix)  # type: ignore[union-attr]
    allowed = {str(parent) for parent in (prefix, *prefix.parents)}
    assert {path for path in told["seen"] if path not in allowed} == set()
    assert told["root"] == told["up"] == sorted({*os.listdir(debian_base.rootfs)})
    assert told["same"] == {path: (debian_base.rootfs / path.lstrip("/")).stat().st_ino for path in compared}
    assert set(told["tried"].values()) <= {"Read-only file system", "Permission denied"}
    assert told["executable"].startswith("/var/lang/bin/")
    assert "sda" not in told["devices"] and "mem" not in told["devices"]


def test_a_bootstrap_with_a_layer_runs_on_a_base_as_lambdas_user(node: LocalNode) -> None:
    client = node.client()
    layer = client.publish_layer_version(LayerName="tool", Content={"ZipFile": _layer()})["LayerVersionArn"]
    with deploy_bootstrap(client, BOOTSTRAP, Layers=[layer]) as function:
        outcome = function.invoke({})
    assert (outcome.error, json.loads(outcome.body)) == (None, "sbx_user1051 from the layer bootstrap")


def _layer() -> bytes:
    return zip_of({"bin/tool": "#!/bin/sh\necho from the layer\n"}, {"bin/tool": 0o755})


def test_a_version_with_snapstart_on_a_base_answers_though_it_cannot_be_forked(node: LocalNode) -> None:
    """On a base Python is booted, and what is booted can be no snapshot."""
    client = node.client()
    source = "def handler(event, context):\n    return 'here'\n"
    with deploy_python(client, source, SnapStart={"ApplyOn": "PublishedVersions"}, Timeout=60) as function:
        version = client.publish_version(FunctionName=function.name)["Version"]
        client.get_waiter("published_version_active").wait(
            FunctionName=function.name, Qualifier=version, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )
        answer = client.invoke(FunctionName=function.name, Qualifier=version)
    assert (answer.get("FunctionError"), json.loads(answer["Payload"].read())) == (None, "here")
