"""Functions from container images: from a registry to an answer, block by block."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import tarfile
import threading
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import WaiterError

from lambdad.testing import probes
from lambdad.testing.deploying import ROLE, Deployed

BOOTSTRAP = """#!/bin/sh
API="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation"
while true; do
  EVENT=$(wget -q -S -O - "$API/next" 2> /tmp/headers)
  ID=$(grep -i lambda-runtime-aws-request-id /tmp/headers | tr -d '\\r' | sed 's/.*: *//')
  BODY="{\\"event\\":$EVENT,\\"marker\\":\\"$(cat /marker)\\",\\"argument\\":\\"$1\\""
  BODY="$BODY,\\"colour\\":\\"$COLOUR\\",\\"here\\":\\"$PWD\\"}"
  wget -q -O /dev/null --post-data="$BODY" "$API/$ID/response"
done
"""

BUSYBOX = Path(shutil.which("busybox") or "/bin/busybox")


def has_static_busybox() -> bool:
    return BUSYBOX.exists() and b"/ld-linux" not in BUSYBOX.read_bytes()[:4096]


pytestmark = [
    probes.skip_unless(probes.is_root(), probes.can_mount_loop()),
    pytest.mark.skipif(not has_static_busybox(), reason="needs a static busybox (Debian's busybox-static)"),
]


class Registry:
    """A registry with what a test puts in it."""

    def __init__(self) -> None:
        self.content: dict[str, tuple[str, bytes]] = {}
        registry = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                kind, body = registry.content.get(self.path, ("text/plain", b"no such thing"))
                self.send_response(200 if self.path in registry.content else 404)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            do_HEAD = do_GET

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.name = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def push(self, repository: str, tag: str, layers: list[bytes], config: dict[str, Any]) -> str:
        """An image of gzip-compressed layers; its digest."""
        described = []
        for layer in layers:
            packed = gzip.compress(layer, mtime=0)
            digest = self._blob(repository, packed)
            kind = "application/vnd.oci.image.layer.v1.tar+gzip"
            described.append({"mediaType": kind, "digest": digest, "size": len(packed)})
        diff_ids = [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers]
        document = json.dumps(
            {
                "architecture": "amd64",
                "os": "linux",
                "config": config,
                "rootfs": {"type": "layers", "diff_ids": diff_ids},
            }
        ).encode()
        kind = "application/vnd.oci.image.config.v1+json"
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": {"mediaType": kind, "digest": self._blob(repository, document), "size": len(document)},
                "layers": described,
            }
        ).encode()
        digest = f"sha256:{hashlib.sha256(manifest).hexdigest()}"
        for pointer in (tag, digest):
            place = f"/v2/{repository}/manifests/{pointer}"
            self.content[place] = ("application/vnd.oci.image.manifest.v1+json", manifest)
        return digest

    def _blob(self, repository: str, data: bytes) -> str:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self.content[f"/v2/{repository}/blobs/{digest}"] = ("application/octet-stream", data)
        return digest


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    started = Registry()
    yield started
    started.server.shutdown()
    started.server.server_close()


def layer(files: dict[str, tuple[int, bytes]], links: dict[str, str] | None = None) -> bytes:
    """A tar. files: mode and content by path."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, (mode, content) in files.items():
            info = tarfile.TarInfo(name)
            info.mode, info.size = mode, len(content)
            archive.addfile(info, io.BytesIO(content))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
    return buffer.getvalue()


def base_layer() -> bytes:
    tools = ("sh", "wget", "grep", "tr", "sed", "cat")
    return layer({"bin/busybox": (0o755, BUSYBOX.read_bytes())}, {f"bin/{tool}": "busybox" for tool in tools})


def push_function(registry: Registry, marker: str, links: dict[str, str] | None = None, **config: Any) -> str:
    """An image whose function tells its marker; the image's URI. links: may make the marker one, to another file."""
    files = {"entry": (0o755, BOOTSTRAP.encode()), "marker": (0o644, marker.encode())}
    top = layer({name: file for name, file in files.items() if name not in (links or {})}, links)
    settings = {"Entrypoint": ["/entry"], "Cmd": ["from-image"], "Env": ["PATH=/bin", "COLOUR=blue"], **config}
    registry.push("function", marker, [base_layer(), top], settings)
    return f"{registry.name}/function:{marker}"


def deploy_image(client: Any, uri: str, **configuration: Any) -> Deployed:
    name = f"t-{uuid.uuid4().hex[:12]}"
    client.create_function(
        FunctionName=name, PackageType="Image", Code={"ImageUri": uri}, Role=ROLE, Timeout=30, **configuration
    )
    client.get_waiter("function_active_v2").wait(FunctionName=name)
    return Deployed(client, name)


def test_a_function_runs_from_its_image_and_its_digest_is_pinned(lambda_client: Any, registry: Registry) -> None:
    uri = push_function(registry, "one", WorkingDir="/bin")
    with deploy_image(lambda_client, uri) as function:
        told = function.invoke({"a": 1})
        expected = {"event": {"a": 1}, "marker": "one", "argument": "from-image", "colour": "blue", "here": "/bin"}
        assert told.value == expected
        assert "sandbox" in told.timings
        assert function.invoke({"a": 2}).value["event"] == {"a": 2}
        code = lambda_client.get_function(FunctionName=function.name)["Code"]
        assert code["ImageUri"] == uri
        assert code["ResolvedImageUri"].startswith(f"{registry.name}/function@sha256:")


def test_the_image_config_of_the_function_overrides_the_images(lambda_client: Any, registry: Registry) -> None:
    uri = push_function(registry, "two")
    override = {"Command": ["from-function"], "WorkingDirectory": "/tmp"}
    with deploy_image(lambda_client, uri, ImageConfig=override) as function:
        told = function.invoke({}).value
        assert (told["argument"], told["here"]) == ("from-function", "/tmp")


def test_another_image_replaces_the_code(lambda_client: Any, registry: Registry) -> None:
    with deploy_image(lambda_client, push_function(registry, "three")) as function:
        assert function.invoke({}).value["marker"] == "three"
        lambda_client.update_function_code(FunctionName=function.name, ImageUri=push_function(registry, "four"))
        function.wait()
        assert function.invoke({}).value["marker"] == "four"


def test_an_image_that_is_not_there_fails_the_function_with_a_reason(lambda_client: Any, registry: Registry) -> None:
    name = f"t-{uuid.uuid4().hex[:12]}"
    lambda_client.create_function(
        FunctionName=name, PackageType="Image", Code={"ImageUri": f"{registry.name}/nothing:here"}, Role=ROLE
    )
    with pytest.raises(WaiterError):
        lambda_client.get_waiter("function_active_v2").wait(FunctionName=name)
    told = lambda_client.get_function_configuration(FunctionName=name)
    assert (told["State"], told["StateReasonCode"]) == ("Failed", "InvalidImage")
    assert "nothing" in told["StateReason"]
    lambda_client.delete_function(FunctionName=name)


@pytest.mark.parametrize(("damage", "code"), [("another digest", "InvalidImage"), ("cut off", "InternalError")])
def test_a_registry_that_lies_fails_the_update_with_a_reason_and_the_old_image_goes_on(
    lambda_client: Any, registry: Registry, damage: str, code: str
) -> None:
    with deploy_image(lambda_client, push_function(registry, "good")) as function:
        known = set(registry.content)
        uri = push_function(registry, "bad" + damage.replace(" ", ""))
        layers = {path for path, (kind, _) in registry.content.items() if kind == "application/octet-stream"} - known
        for path in layers:
            kind, content = registry.content[path]
            if not content.startswith(b"\x1f\x8b"):
                continue  # the image's configuration
            lies = {"another digest": content[:-1] + bytes([content[-1] ^ 1]), "cut off": content[:-9]}
            registry.content[path] = (kind, lies[damage])
        lambda_client.update_function_code(FunctionName=function.name, ImageUri=uri)
        with pytest.raises(WaiterError):
            lambda_client.get_waiter("function_updated_v2").wait(FunctionName=function.name)
        told = lambda_client.get_function_configuration(FunctionName=function.name)
        assert (told["LastUpdateStatus"], told["LastUpdateStatusReasonCode"]) == ("Failed", code)
        assert "sha256:" in told["LastUpdateStatusReason"]
        assert told["State"] == "Active"
        assert function.invoke({}).value["marker"] == "good"


def test_an_image_without_a_program_is_an_invalid_entrypoint(lambda_client: Any, registry: Registry) -> None:
    uri = push_function(registry, "five", Entrypoint=["/no/such/program"])
    with deploy_image(lambda_client, uri) as function:
        outcome = function.invoke({})
        assert (outcome.error, outcome.value["errorType"]) == ("Unhandled", "Runtime.InvalidEntrypoint")
