"""Random layers, mounted by the kernel and unpacked by `umoci`: all that a file has is the same.

What the writers' own property tests do not see: how a kernel reads our images, and rules that we did not make up.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lambdad.chunks.manifest import FileSystem
from lambdad.image.build import BuildOptions
from lambdad.testing.block_images import missing_for_image
from lambdad.testing.image_blobs import make_image, write_layout
from lambdad.testing.image_build import Seen, build_file, check_image, mounted, scan
from lambdad.testing.image_tar import LayerBuilder

DEADLINE_S = 60
EXAMPLES = int(os.environ.get("LAMBDAD_LAYER_EXAMPLES", "10"))
OPTIONS = (BuildOptions(format="ext4"), BuildOptions(format="erofs"))


def missing() -> str:
    """Why this cannot be tried here; empty if it can."""
    reasons = {missing_for_image(kind) for kind in (FileSystem.EXT4, FileSystem.EROFS)}
    if shutil.which("umoci") is None:
        reasons.add("no umoci: install the package of that name")
    return "; ".join(sorted(reasons - {""}))


pytestmark = [pytest.mark.kernel, pytest.mark.skipif(bool(missing()), reason=missing())]

NAMES = st.sampled_from(["a", "b", "c", "d" * 200, "é"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
DATA = st.one_of(st.binary(max_size=80), st.integers(0, 300_000).map(lambda size: b"\xa5" * size))
ATTRIBUTES = st.dictionaries(
    st.sampled_from(["user.one", "user.two"]), st.text("ab", min_size=1, max_size=600), max_size=2
)


@dataclass(frozen=True)
class Details:
    """What every entry of a layer has. mtime: nanoseconds."""

    mode: int
    uid: int
    gid: int
    mtime: int


@dataclass(frozen=True)
class Operation:
    kind: str
    path: str
    details: Details
    data: bytes
    target: str
    choice: int
    xattrs: dict[str, str]


OPERATIONS = st.builds(
    Operation,
    st.sampled_from(
        ["file", "file", "file", "directory", "symlink", "hardlink", "hardlink", "fifo", "whiteout", "opaque"]
    ),
    PATHS,
    st.builds(
        Details,
        st.sampled_from([0o644, 0o755, 0o4755, 0o2750, 0o1777, 0o000]),
        st.integers(0, 100_000),
        st.integers(0, 100_000),
        st.integers(0, 5_000_000_000_000_000_000),
    ),
    DATA,
    st.sampled_from(["a", "../b", "/c/a", "t" * 900]),
    st.integers(0, 50),
    ATTRIBUTES,
)
LAYERS = st.lists(st.lists(OPERATIONS, max_size=10), min_size=1, max_size=4)


@dataclass
class Tree:
    """Only as much of the state as keeps layers valid. kinds: path → `directory`, `file`, `other`."""

    kinds: dict[str, str] = field(default_factory=dict)

    def remove(self, path: str) -> None:
        self.empty(path)
        self.kinds.pop(path, None)

    def empty(self, path: str) -> None:
        self.kinds = {known: kind for known, kind in self.kinds.items() if not known.startswith(path + "/")}


def make_layer(tree: Tree, operations: list[Operation]) -> bytes:
    """Whiteouts first, as engines write them; what cannot be is left out."""
    layer = LayerBuilder()
    for operation in operations:
        kind = tree.kinds.get(operation.path)
        if operation.kind == "whiteout" and kind is not None:
            tree.remove(operation.path)
            layer.whiteout(operation.path)
        elif operation.kind == "opaque" and kind == "directory":
            tree.empty(operation.path)
            layer.opaque(operation.path)
    for operation in operations:
        if operation.kind not in ("whiteout", "opaque") and make_parents(tree, layer, operation):
            add(tree, layer, operation)
    return layer.build()


def make_parents(tree: Tree, layer: LayerBuilder, operation: Operation) -> bool:
    """Directories without an entry would have the time of the unpack. Whether the parents are directories now."""
    parts = operation.path.split("/")[:-1]
    ancestors = ["/".join(parts[: count + 1]) for count in range(len(parts))]
    if any(tree.kinds.get(path, "directory") != "directory" for path in ancestors):
        return False
    for path in ancestors:
        if path not in tree.kinds:
            tree.kinds[path] = "directory"
            layer.directory(path, mode=0o751, uid=7, gid=8, mtime=9)
    return True


def add(tree: Tree, layer: LayerBuilder, operation: Operation) -> None:
    path, details = operation.path, dataclasses.asdict(operation.details)
    xattrs = {name: value.encode() for name, value in operation.xattrs.items()}
    targets = [known for known, kind in tree.kinds.items() if kind == "file" and not f"{known}/".startswith(f"{path}/")]
    if operation.kind == "hardlink" and not targets:
        return
    if tree.kinds.get(path) != "directory" or operation.kind != "directory":
        tree.remove(path)
    match operation.kind:
        case "file":
            layer.file(path, operation.data, **details, xattrs=xattrs)
            tree.kinds[path] = "file"
        case "directory":
            layer.directory(path, **details, xattrs=xattrs)
            tree.kinds[path] = "directory"
        case "symlink":
            layer.symlink(path, operation.target, mtime=operation.details.mtime)
            tree.kinds[path] = "other"
        case "hardlink":
            layer.hardlink(path, targets[operation.choice % len(targets)])
            tree.kinds[path] = "file"
        case "fifo":
            layer.special(path, b"6")
            tree.kinds[path] = "other"


def comparable(seen: dict[str, Seen]) -> dict[str, Seen]:
    """Without the root, which no layer describes, and the times of directories, into which an unpack writes."""
    return {
        path: dataclasses.replace(file, mtime=0) if stat.S_ISDIR(file.mode) else file
        for path, file in seen.items()
        if path
    }


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(LAYERS)
def test_what_the_kernel_shows_of_any_layers_is_what_umoci_unpacks(layers: list[list[Operation]]) -> None:
    tree = Tree()
    tars = [make_layer(tree, operations) for operations in layers]
    with tempfile.TemporaryDirectory(prefix="lambdad-layers-") as scratch:
        directory = Path(scratch)
        write_layout(directory / "layout", make_image(tars))
        command = ["umoci", "unpack", "--image", f"{directory}/layout:latest", str(directory / "bundle")]
        subprocess.run(command, check=True, capture_output=True, timeout=DEADLINE_S)
        expected = comparable(scan(directory / "bundle" / "rootfs"))
        assert expected.keys() == tree.kinds.keys()
        for options in OPTIONS:
            image = directory / options.format
            build_file(tars, image, options)
            assert check_image(image, options) == ""
            with mounted(image, directory / "mnt", options.format) as mount:
                assert comparable(scan(mount)) == expected
