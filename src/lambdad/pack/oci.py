"""A base as an OCI image layout: one layer, written the same every time. Standard library only."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import stat
import tarfile
from pathlib import Path
from typing import Any

from lambdad.pack.base import SANDBOX_USER, Base
from lambdad.pack.errors import PackError
from lambdad.pack.target import LIBRARY_PATH

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_ARCHITECTURES = {"x86_64": "amd64", "arm64": "arm64"}


def write_oci(base: Base, directory: Path) -> str:
    """Write the layout into `directory`, which must not exist; the manifest's digest."""
    if directory.exists():
        raise PackError(f"{directory} already exists: remove it, or write elsewhere")
    blobs = directory / "blobs/sha256"
    blobs.mkdir(parents=True)
    layer, diff_id = _write_layer(base.rootfs, blobs)
    config = {
        "architecture": _ARCHITECTURES[base.arch.lambda_name],
        "os": "linux",
        "config": {
            "Env": [
                "LANG=en_US.UTF-8",
                "TZ=:/etc/localtime",
                "PATH=/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
                f"LD_LIBRARY_PATH=/var/lang/lib:{LIBRARY_PATH}",
                "LAMBDA_TASK_ROOT=/var/task",
                "LAMBDA_RUNTIME_DIR=/var/runtime",
            ],
            "User": SANDBOX_USER,
            "WorkingDir": "/var/task",
            "Labels": {"dev.lambdad.base.digest": base.digest},
        },
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": {"mediaType": _CONFIG, **_put_json(blobs, config)},
        "layers": [{"mediaType": _LAYER, **layer}],
    }
    described = {"mediaType": _MANIFEST, **_put_json(blobs, manifest)}
    described["annotations"] = {"org.opencontainers.image.ref.name": base.name}
    (directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [described]}))
    return str(described["digest"])


def _put_json(blobs: Path, value: Any) -> dict[str, Any]:
    data = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    digest = hashlib.sha256(data).hexdigest()
    (blobs / digest).write_bytes(data)
    return {"digest": f"sha256:{digest}", "size": len(data)}


def _write_layer(rootfs: Path, blobs: Path) -> tuple[dict[str, Any], str]:
    partial = blobs / "partial"
    tarball = blobs / "partial.tar"
    try:
        with tarfile.open(tarball, "w", format=tarfile.PAX_FORMAT) as tar:
            _add(tar, rootfs, rootfs)
        with tarball.open("rb") as source:
            diff_id = hashlib.file_digest(source, "sha256").hexdigest()
            source.seek(0)
            with partial.open("wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as target:
                while block := source.read(1024 * 1024):
                    target.write(block)
    finally:
        tarball.unlink(missing_ok=True)
    with partial.open("rb") as packed:
        digest = hashlib.file_digest(packed, "sha256").hexdigest()
    size = partial.stat().st_size
    partial.rename(blobs / digest)
    return {"digest": f"sha256:{digest}", "size": size}, f"sha256:{diff_id}"


def _add(tar: tarfile.TarFile, root: Path, here: Path) -> None:
    for name in sorted(os.listdir(here)):  # noqa: PTH208 - names only
        path = here / name
        if stat.S_ISSOCK(path.lstat().st_mode):
            continue
        info = tar.gettarinfo(path, arcname=str(path.relative_to(root)))
        info.mtime = 0
        info.uname = info.gname = ""
        if info.isreg():
            with path.open("rb") as stream:
                tar.addfile(info, stream)
        else:
            tar.addfile(info)
        if stat.S_ISDIR(path.lstat().st_mode):
            _add(tar, root, path)
