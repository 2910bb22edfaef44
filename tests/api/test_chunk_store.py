"""A node whose images are in a bucket, behind five cache nodes: start, lose caches, start again; no secret gets out."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.api.test_images import Registry, deploy_image, has_static_busybox, push_function

from lambdad.testing import probes
from lambdad.testing.chunk_servers import RedisServer, S3Server, find_redis, run_redis, run_s3
from lambdad.testing.local_node import LocalNode

S3_PROGRAM = shutil.which("moto_server", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
HUSH = "hush-hush-hush"

pytestmark = [
    probes.skip_unless(probes.is_root(), probes.can_mount_loop()),
    pytest.mark.skipif(not has_static_busybox(), reason="needs a static busybox (Debian's busybox-static)"),
    pytest.mark.skipif(find_redis() is None, reason="needs redis-server or valkey-server"),
    pytest.mark.skipif(S3_PROGRAM is None, reason="needs moto_server"),
]


@dataclass(frozen=True, slots=True)
class Site:
    s3: S3Server
    caches: list[RedisServer]
    registry: Registry
    directory: Path

    def start(self) -> LocalNode:
        """A node with empty caches of its own, on the same bucket and cache nodes."""
        arguments = ["--config", str(self.write_config())]
        environment = {**os.environ, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": HUSH}
        return LocalNode.start(self.directory / "data", arguments=arguments, environment=environment)

    def write_config(self) -> Path:
        """The node's configuration, with the passwords of its cache nodes."""
        file = self.directory / "node.toml"
        nodes = ", ".join(f'"redis://:{HUSH}@{server.address}"' for server in self.caches)
        file.write_text(
            f'data_dir = "{self.directory}/data"\nchunk_store = "s3://{self.s3.bucket}/node"\n'
            f'chunk_endpoint = "{self.s3.endpoint}"\ncache_nodes = [{nodes}]\n'
        )
        return file

    def image_gc(self, *arguments: str) -> dict[str, Any]:
        environment = {**os.environ, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": HUSH}
        command = [sys.executable, "-m", "lambdad", "image", "gc", "--json", *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    def forget_disk(self) -> None:
        shutil.rmtree(self.directory / "data" / "worker" / "chunks", ignore_errors=True)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    redis = find_redis()
    assert redis is not None
    assert S3_PROGRAM is not None
    registry = Registry()
    with contextlib.ExitStack() as stack:
        stack.callback(registry.server.server_close)
        stack.callback(registry.server.shutdown)
        s3 = stack.enter_context(run_s3(S3_PROGRAM))
        caches = [stack.enter_context(run_redis(redis, HUSH)) for _ in range(5)]
        yield Site(s3, caches, registry, tmp_path)


def test_an_image_starts_from_a_bucket_with_all_with_four_and_with_three_cache_nodes(site: Site) -> None:
    uri = push_function(site.registry, "bucket")
    node = site.start()
    with contextlib.ExitStack() as ending:
        ending.callback(lambda: node.process.poll() is None and node.kill())
        function = deploy_image(node.client(), uri)
        assert function.invoke({"n": 1}).value["marker"] == "bucket"
        assert not any((site.directory / "data" / "state" / "chunks").iterdir())
        assert HUSH not in site_log(node)
        waste = deploy_image(node.client(), push_function(site.registry, "waste"))
        waste.client.delete_function(FunctionName=waste.name)
        told = site.image_gc("--endpoint", node.endpoint, "--yes")
        assert told["executed"], told  # nothing is due yet: the root is young
        assert told["deleted_objects"] == 0
        assert node.stop() == []
    freed = site.image_gc("--config", str(site.write_config()), "--yes")
    assert freed["copied_chunks"] > 0
    assert freed["deleted_objects"] > freed["copied_chunks"]
    assert site.image_gc("--config", str(site.write_config()))["steps"] == []
    for lost in range(1, 3):
        site.caches[lost].kill()
        site.forget_disk()
        node = site.start()
        with contextlib.ExitStack() as ending:
            ending.callback(lambda node=node: node.process.poll() is None and node.kill())
            client = node.client()
            answer = client.invoke(FunctionName=function.name, Payload=b'{"n": 2}')
            assert "FunctionError" not in answer
            assert b'"marker":"bucket"' in answer["Payload"].read()
            assert node.stop() == []


def test_no_process_shows_the_credentials_of_the_bucket_or_of_a_cache_node_on_its_command_line(site: Site) -> None:
    uri = push_function(site.registry, "hush")
    node = site.start()
    with contextlib.ExitStack() as ending:
        ending.callback(lambda: node.process.poll() is None and node.kill())
        with deploy_image(node.client(), uri) as function:
            function.invoke({})
            for process in node.holdings().processes:
                with contextlib.suppress(OSError):
                    assert HUSH.encode() not in Path(f"/proc/{process.pid}/cmdline").read_bytes()
        written = [path for path in (site.directory / "data").rglob("*") if path.is_file()]
        assert [path for path in written if HUSH.encode() in path.read_bytes()] == []
        assert node.stop() == []
    assert HUSH not in site_log(node)


def site_log(node: LocalNode) -> str:
    return node.log.read_text(errors="replace")
