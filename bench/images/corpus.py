"""The corpus in a registry of its own on a loopback port: built once, kept in the user's cache, resumable.

`python -m bench.images.corpus` builds what is missing and lists the images. An image that the registry has under its
tag is not looked at again; the tag holds the hash of its recipe.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from isal import igzip

from bench.images.layers import Layers, cache_directory
from bench.images.recipes import IMAGES, LARGE, chain
from lambdad.testing.local_node import free_port
from lambdad.testing.waiting import wait_until

_PROGRAMS = (
    "mmdebstrap", "unshare", "tar", "docker-registry", "skopeo", "umoci", "mke2fs", "mkfs.erofs", "e2fsck",
    "fsck.erofs", "taskset",
)  # fmt: skip
"""What the corpus and its measurements need besides root and FUSE."""
_OPAQUE = "trusted.overlay.opaque"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_GZIP_LEVEL = 3
_COPY = 1 << 20


@dataclass(frozen=True, slots=True)
class Corpus:
    """Images by name, as references that a registry client understands. layers: their layers as directories."""

    registry: str
    references: dict[str, str]
    layers: Layers


def missing_for_images() -> str:
    """Why images cannot be measured here; empty if they can."""
    if os.geteuid() != 0:
        return "building images and mounting them needs root"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "no /dev/fuse: load the module fuse"
    search = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    missing = [name for name in _PROGRAMS if shutil.which(name, path=search) is None]
    return f"not installed: {' '.join(missing)}" if missing else ""


@contextlib.contextmanager
def open_corpus(images: tuple[str, ...] = IMAGES, say: Callable[[str], None] = print) -> Iterator[Corpus]:
    """Serve these images until the context ends, built first where the cache lacks them. Needs root."""
    directory = cache_directory()
    for part in ("layers", "blobs", "registry"):
        (directory / part).mkdir(parents=True, exist_ok=True)
    layers = Layers(directory / "layers", say)
    with _registry(directory / "registry") as address:
        references = {}
        for name in images:
            tag = layers.key(name)[:12]
            if not _has_image(address, name, tag):
                _push_image(address, name, tag, layers, directory / "blobs", say)
            references[name] = f"{address}/{name}:{tag}"
        yield Corpus(address, references, layers)


@contextlib.contextmanager
def _registry(storage: Path) -> Iterator[str]:
    """Debian's docker-registry on a free port; its address."""
    address = f"127.0.0.1:{free_port()}"
    settings = {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(storage)}},
        "http": {"addr": address},
    }
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as configuration:
        json.dump(settings, configuration)
        configuration.flush()
        command = ["docker-registry", "serve", configuration.name]
        # It logs an error for every blob that it is asked for and has not: that is how one pushes.
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet)
        try:
            wait_until(lambda: process.poll() is not None or _is_up(address), "the registry answers", 30.0)
            if process.poll() is not None:
                raise RuntimeError(f"docker-registry ended with {process.returncode}")
            yield address
        finally:
            process.terminate()
            process.wait(30)


def _is_up(address: str) -> bool:
    try:
        return _request("GET", f"http://{address}/v2/") == 200
    except OSError:
        return False


def _has_image(address: str, name: str, tag: str) -> bool:
    return _request("HEAD", f"http://{address}/v2/{name}/manifests/{tag}", accept=_MANIFEST) == 200


def _push_image(address: str, name: str, tag: str, layers: Layers, blobs: Path, say: Callable[[str], None]) -> None:
    """Layers, configuration, manifest, as any client does."""
    parts = [_pack_layer(layers, layer, blobs, say) for layer in chain(name)]
    say(f"pushing image {name}")
    for part in parts:
        _push_blob(address, name, str(part["digest"]), blobs / str(part["file"]))
    runtime = {"Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"], "WorkingDir": "/var/task"}
    start = {"Entrypoint": ["/usr/bin/python3", "-m", "awslambdaric"], "Cmd": ["app.handler"]}
    configuration = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": runtime | start if name == LARGE else runtime,
            "rootfs": {"type": "layers", "diff_ids": [part["diff_id"] for part in parts]},
        }
    ).encode()
    digest = "sha256:" + hashlib.sha256(configuration).hexdigest()
    with tempfile.NamedTemporaryFile() as file:
        file.write(configuration)
        file.flush()
        _push_blob(address, name, digest, Path(file.name))
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": {"mediaType": _CONFIG, "size": len(configuration), "digest": digest},
        "layers": [{"mediaType": _LAYER, "size": part["size"], "digest": part["digest"]} for part in parts],
    }
    status = _request(
        "PUT", f"http://{address}/v2/{name}/manifests/{tag}", json.dumps(manifest).encode(), content_type=_MANIFEST
    )
    if status != 201:
        raise RuntimeError(f"the registry refused the manifest of {name}: {status}")


def _push_blob(address: str, name: str, digest: str, path: Path) -> None:
    base = f"http://{address}/v2/{name}/blobs"
    if _request("HEAD", f"{base}/{digest}") == 200:
        return
    request = urllib.request.Request(f"{base}/uploads/", method="POST", data=b"")
    with urllib.request.urlopen(request, timeout=60) as answer:
        place = answer.headers["Location"]
    joint = "&" if "?" in place else "?"
    with path.open("rb") as file:
        status = _request("PUT", f"{place}{joint}digest={digest}", file, size=path.stat().st_size)
    if status != 201:
        raise RuntimeError(f"the registry refused {digest}: {status}")


def _request(
    method: str,
    url: str,
    body: bytes | IO[bytes] | None = None,
    *,
    size: int | None = None,
    content_type: str = "application/octet-stream",
    accept: str = "*/*",
) -> int:
    """The status of the answer. Raises OSError if there is none."""
    headers = {"Content-Type": content_type, "Accept": accept}
    if size is not None:
        headers["Content-Length"] = str(size)
    request = urllib.request.Request(url, method=method, data=body, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=300) as answer:
            answer.read()
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def _pack_layer(layers: Layers, name: str, blobs: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """A layer as a gzip'd tar in the cache: file, digest, diff_id, size."""
    record = blobs / f"{name}-{layers.key(name)[:12]}.json"
    if record.exists():
        found: dict[str, Any] = json.loads(record.read_text())
        return found
    source = layers.path(name)
    say(f"packing layer {name}")
    target = record.with_suffix(".tar.gz")
    with target.open("wb") as raw:
        hashed = _Hashed(raw)
        with igzip.IGzipFile("", "wb", _GZIP_LEVEL, hashed, mtime=0) as compressed:  # type: ignore[no-untyped-call]
            plain = _Hashed(compressed)
            with tarfile.open(fileobj=plain, mode="w|", format=tarfile.PAX_FORMAT) as tar:  # type: ignore[call-overload]
                write_layer(source, tar)
    described = {
        "file": target.name, "digest": hashed.digest, "diff_id": plain.digest, "size": target.stat().st_size,
    }  # fmt: skip
    record.write_text(json.dumps(described))
    return described


class _Hashed:
    """A stream to write to that knows the hash of what went through."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._hash = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        self._inner.write(data)
        return len(data)

    def flush(self) -> None:
        self._inner.flush()

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"


def write_layer(source: Path, tar: tarfile.TarFile) -> None:
    """The upper directory of an overlay as an OCI layer: the kernel's marks become whiteouts."""
    seen: dict[tuple[int, int], str] = {}
    for path, name in _walk(source):
        status = path.lstat()
        if stat.S_ISCHR(status.st_mode):
            if status.st_rdev == 0:
                folder, _, base = name.rpartition("/")
                tar.addfile(_mark(f"{folder}/.wh.{base}" if folder else f".wh.{base}"))
            continue
        info = tar.gettarinfo(str(path), arcname=name)
        info.uname = info.gname = ""
        info.mtime = status.st_mtime_ns / 1e9 if status.st_mtime_ns % 1_000_000_000 else int(status.st_mtime)
        info.pax_headers = _extended(path)
        if info.isreg() or info.islnk():
            first = seen.setdefault((status.st_dev, status.st_ino), name)
            if first != name:
                info.type, info.linkname, info.size = tarfile.LNKTYPE, first, 0
                tar.addfile(info)
                continue
            info.type, info.size, info.linkname = tarfile.REGTYPE, status.st_size, ""
            with path.open("rb") as file:
                tar.addfile(info, file)
            continue
        tar.addfile(info)
        if info.isdir() and _is_opaque(path):
            tar.addfile(_mark(f"{name}/.wh..wh..opq"))


def _walk(source: Path) -> Iterator[tuple[Path, str]]:
    for folder, directories, files in os.walk(source):
        directories.sort()
        here = Path(folder)
        links = [name for name in directories if (here / name).is_symlink()]
        if here != source:
            yield here, str(here.relative_to(source))
        for name in sorted([*files, *links]):
            yield here / name, str((here / name).relative_to(source))


def _mark(name: str) -> tarfile.TarInfo:
    return tarfile.TarInfo(name)


def _extended(path: Path) -> dict[str, str]:
    names = [name for name in os.listxattr(path, follow_symlinks=False) if name.startswith(("security.", "user."))]
    return {
        f"SCHILY.xattr.{name}": os.getxattr(path, name, follow_symlinks=False).decode("utf-8", "surrogateescape")
        for name in names
    }


def _is_opaque(path: Path) -> bool:
    try:
        return os.getxattr(path, _OPAQUE) == b"y"
    except OSError:
        return False


def main() -> int:
    missing = missing_for_images()
    if missing:
        print(missing, file=sys.stderr)
        return 1
    with open_corpus() as corpus:
        for name in corpus.references:
            print(name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
