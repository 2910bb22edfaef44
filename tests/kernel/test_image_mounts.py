"""The kernel as the judge: an image, mounted, is what a reference unpack of the same layers is.

The reference is GNU tar for single layers and `umoci` for images with whiteouts.
"""

from __future__ import annotations

import io
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lambdad.image.build import BuildOptions, build_image
from lambdad.image.credentials import Keychain
from lambdad.image.reference import parse_reference
from lambdad.image.registry import RegistryOptions, RegistrySource
from lambdad.image.sources import ArchiveSource, ImageSource, OciLayoutSource
from lambdad.testing.image_blobs import make_image, write_layout
from lambdad.testing.image_build import AMD64, build_file, check_image, mounted, scan
from lambdad.testing.image_tar import LayerBuilder

OPTIONS = [BuildOptions(format="erofs"), BuildOptions(format="erofs", block_size=4096), BuildOptions(format="ext4")]
IDS = ["erofs", "erofs-4k", "ext4"]
DEADLINE_S = 60


def why_no_mounts() -> str:
    """What is missing for loop mounts of both formats; empty if nothing."""
    if os.geteuid() != 0:
        return "loop mounts need root"
    missing = [tool for tool in ("losetup", "mount", "mke2fs", "umoci", "tar") if shutil.which(tool) is None]
    if missing:
        return f"not installed: {' '.join(missing)}"
    kinds = Path("/proc/filesystems").read_text()
    absent = [kind for kind in ("erofs", "ext4") if f"\t{kind}\n" not in kinds]
    if absent:
        return f"the kernel has no {' '.join(absent)}"
    found = subprocess.run(["losetup", "-f"], capture_output=True, check=False)
    return "" if found.returncode == 0 else "no loop devices"


pytestmark = [pytest.mark.kernel, pytest.mark.skipif(bool(why_no_mounts()), reason=why_no_mounts())]


def run(*command: str | Path) -> None:
    subprocess.run([str(part) for part in command], check=True, capture_output=True, timeout=DEADLINE_S)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A directory with everything that a root file system can have, but devices."""
    root = tmp_path / "tree"
    (root / "usr" / "lib").mkdir(parents=True)
    for number in range(200):
        (root / "usr" / "lib" / f"f{number}").write_bytes(os.urandom(number * 97))
    (root / "big").write_bytes(os.urandom(3_000_000))
    (root / "n").mkdir()
    (root / "n" / ("x" * 255)).write_bytes(b"longest name")
    deep = root / "/".join(["d" * 20] * 60)
    deep.mkdir(parents=True)
    (deep / "f").write_bytes(b"deep")
    (root / "short").symlink_to("usr/lib")
    (root / "target").symlink_to("t" * 3500)
    os.link(root / "big", root / "n" / "twin")
    os.mkfifo(root / "pipe")
    with open(root / "holes", "wb") as file:
        for at in (0, 1_000_000, 7_777_777, 90_000_000):
            file.seek(at)
            file.write(b"data" * 1000)
        file.truncate(120_000_000)
    (root / "many").mkdir()
    for number in range(5000):
        (root / "many" / f"entry-{number:05}").touch()
    os.setxattr(root / "usr", "user.note", b"directory")
    os.setxattr(root / "big", "user.large", b"v" * 700)
    capability = bytes.fromhex("0100000200040000000000000000000000000000")
    os.setxattr(root / "usr" / "lib" / "f7", "security.capability", capability)
    for number, path in enumerate(sorted(root.rglob("*"))):
        os.chown(path, number % 70_000, 100_000 + number, follow_symlinks=False)
        if not path.is_symlink():
            path.chmod((0o4755, 0o2750, 0o1777, 0o644)[number % 4])
        os.utime(path, ns=(0, 1_500_000_000_000_000_000 + number * 1_000_000_007), follow_symlinks=False)
    os.setxattr(root / "usr" / "lib" / "f7", "security.capability", capability)
    os.utime(root, ns=(0, 4_000_000_000_123_456_789))  # after 2038
    return root


@pytest.mark.parametrize("options", OPTIONS, ids=IDS)
def test_a_mounted_image_equals_the_tree_it_was_made_of(options: BuildOptions, tree: Path, tmp_path: Path) -> None:
    run("tar", "-C", tree, "--format=posix", "-S", "--xattrs", "--xattrs-include=*", "-cf", tmp_path / "layer", ".")
    image = tmp_path / "image"
    build_file([(tmp_path / "layer").read_bytes()], image, options)
    assert check_image(image, options) == ""
    expected = scan(tree)
    with mounted(image, tmp_path / "mnt", options.format) as mount:
        found = scan(mount)
    assert found.keys() == expected.keys()
    for path, file in expected.items():
        assert found[path] == file, path
    assert len(expected) > 5000


@pytest.mark.parametrize("options", OPTIONS, ids=IDS)
def test_a_layered_image_equals_what_umoci_unpacks(options: BuildOptions, tmp_path: Path) -> None:
    layers = [
        LayerBuilder()
        .directory("etc", mode=0o750, mtime=5)
        .file("etc/a", b"1", uid=3, gid=4, mtime=1_234_567_890_000_000_000)
        .file("etc/b", b"2")
        .file("opt/x/one", b"1")
        .file("opt/x/two", b"2")
        .directory("usr/lib")
        .symlink("lib", "usr/lib"),
        LayerBuilder().whiteout("etc/a").file("etc/c", b"3" * 5000).hardlink("etc/d", "etc/b"),
        LayerBuilder().opaque("opt/x").directory("opt/x", mode=0o711).file("opt/x/three", b"3").file("etc/b", b"new"),
        LayerBuilder().file("usr/lib/late", b"late", mode=0o4755),
    ]
    write_layout(tmp_path / "layout", make_image([layer.build() for layer in layers]))
    run("umoci", "unpack", "--keep-dirlinks", "--image", f"{tmp_path}/layout:latest", tmp_path / "bundle")
    with open(tmp_path / "image", "wb") as out:
        build_image(OciLayoutSource(str(tmp_path / "layout")), AMD64, out, options)
    expected = scan(tmp_path / "bundle" / "rootfs")
    with mounted(tmp_path / "image", tmp_path / "mnt", options.format) as mount:
        found = scan(mount)
    # Directories that no layer describes get the time of the unpack there.
    described = {path: file for path, file in expected.items() if path not in ("", "opt", "usr", "opt/x", "usr/lib")}
    assert {path: found[path] for path in described} == described
    assert found.keys() == expected.keys()


@pytest.mark.parametrize("format_name", ["ext4", "erofs"])
def test_a_file_of_several_gigabytes_with_holes_keeps_its_data_where_it_was(format_name: str, tmp_path: Path) -> None:
    """Extent trees of two levels, and offsets beyond 32 bits."""
    segments = [(at * 1_000_000, bytes([at % 255 + 1]) * 10) for at in range(6000)]
    layer = LayerBuilder().sparse("huge", 6_000_000_000, segments).build()
    options = BuildOptions(format="ext4" if format_name == "ext4" else "erofs")
    build_file([layer], tmp_path / "image", options)
    assert check_image(tmp_path / "image", options) == ""
    with mounted(tmp_path / "image", tmp_path / "mnt", options.format) as mount, open(mount / "huge", "rb") as file:
        assert os.fstat(file.fileno()).st_size == 6_000_000_000
        for at, data in segments:
            assert os.pread(file.fileno(), 30, at - 10 if at else 0) == (bytes(10) if at else b"") + data + bytes(
                10 if at else 20
            )


def test_erofs_is_mounted_straight_from_the_file_where_the_kernel_can(tmp_path: Path) -> None:
    build_file([LayerBuilder().file("f", b"straight").build()], tmp_path / "image", BuildOptions())
    (tmp_path / "mnt").mkdir()
    done = subprocess.run(["mount", "-t", "erofs", "-i", "-o", "ro", tmp_path / "image", tmp_path / "mnt"], check=False)
    if done.returncode != 0:
        pytest.skip("this kernel mounts no erofs from a file")
    try:
        assert (tmp_path / "mnt" / "f").read_bytes() == b"straight"
    finally:
        run("umount", tmp_path / "mnt")


@contextmanager
def docker_registry(directory: Path) -> Iterator[str]:
    """A real registry on a free loopback port; its host."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = directory / "registry.yml"
    config.write_text(
        f"version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {directory}/blobs\n"
        f"http:\n  addr: 127.0.0.1:{port}\nlog:\n  level: error\n"
    )
    with subprocess.Popen(
        ["docker-registry", "serve", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as server:
        try:
            deadline = time.monotonic() + DEADLINE_S
            while True:
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                assert server.poll() is None, "the registry ended"
                assert time.monotonic() < deadline, "the registry does not listen"
                server.poll()
            yield f"127.0.0.1:{port}"
        finally:
            server.terminate()


@pytest.mark.skipif(
    not all(map(shutil.which, ("skopeo", "docker-registry", "busybox"))),
    reason="needs skopeo, docker-registry and busybox",
)
def test_a_real_image_comes_from_a_real_registry_and_runs(tmp_path: Path) -> None:
    busybox = Path(str(shutil.which("busybox"))).resolve().read_bytes()
    layers = [
        LayerBuilder().file("bin/busybox", busybox, mode=0o755).symlink("bin/sh", "busybox").build(),
        LayerBuilder().file("var/task/bootstrap", b"#!/bin/sh\necho ran\n", mode=0o755).build(),
    ]
    write_layout(tmp_path / "layout", make_image(layers, config={"Entrypoint": ["/var/task/bootstrap"]}))
    with docker_registry(tmp_path) as host:
        layout, name = f"oci:{tmp_path}/layout:latest", f"{host}/team/app:v1"
        run("skopeo", "copy", "--dest-tls-verify=false", layout, f"docker://{name}")
        run("skopeo", "copy", layout, f"docker-archive:{tmp_path}/docker.tar:app:v1")
        run("skopeo", "copy", layout, f"oci-archive:{tmp_path}/oci.tar:v1")
        options = RegistryOptions(keychain=Keychain(str(tmp_path / "none")))
        sources: list[ImageSource] = [
            RegistrySource(parse_reference(name), options),
            OciLayoutSource(str(tmp_path / "layout")),
            ArchiveSource(str(tmp_path / "docker.tar")),
            ArchiveSource(str(tmp_path / "oci.tar"), "v1"),
        ]
        images = []
        for source in sources:
            out = io.BytesIO()
            built = build_image(source, AMD64, out, BuildOptions())
            assert built.config.entry_point == ("/var/task/bootstrap",)
            images.append(out.getvalue())
    assert images[0] == images[1] == images[2] == images[3]
    (tmp_path / "image").write_bytes(images[0])
    with mounted(tmp_path / "image", tmp_path / "mnt", "erofs") as mount:
        done = subprocess.run(
            ["chroot", mount, "/var/task/bootstrap"], capture_output=True, text=True, check=True, timeout=DEADLINE_S
        )
    assert done.stdout == "ran\n"
