"""Random layers against a model of the OCI rules, with the formats' own tools as judges of the image."""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lambdad.image.build import BuildOptions
from lambdad.testing.image_build import TOOL_TIMEOUT_S, build_bytes, build_file, check_image, missing_tools
from lambdad.testing.image_tar import LayerBuilder

pytestmark = pytest.mark.skipif(bool(missing_tools()), reason=f"not installed: {missing_tools()}")

NAMES = st.sampled_from(["a", "b", "c", "site-packages", "x" * 255, "é"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
DATA = st.one_of(st.binary(max_size=64), st.integers(0, 700_000).map(lambda size: b"\xa5" * size))
TARGETS = st.one_of(st.sampled_from(["a", "../b", "/c/a"]), st.integers(1, 1100).map(lambda n: "t" * n))


@dataclass
class Model:
    """What a tree of plain files and directories must look like after some layers."""

    files: dict[str, bytes] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    directories: set[str] = field(default_factory=set)

    def kill(self, path: str) -> None:
        for known in (self.files, self.links):
            for found in [p for p in known if p == path or p.startswith(path + "/")]:
                del known[found]
        self.directories = {p for p in self.directories if p != path and not p.startswith(path + "/")}

    def make_parents(self, path: str) -> bool:
        """Whether the parents of a path are directories now."""
        parts = path.split("/")[:-1]
        ancestors = ["/".join(parts[: n + 1]) for n in range(len(parts))]
        if any(p in self.files or p in self.links for p in ancestors):
            return False
        self.directories.update(ancestors)
        return True


@dataclass(frozen=True)
class Operation:
    kind: str
    path: str
    data: bytes = b""
    target: str = ""


OPERATIONS = st.one_of(
    st.builds(Operation, st.just("file"), PATHS, DATA),
    st.builds(Operation, st.just("directory"), PATHS),
    st.builds(Operation, st.just("symlink"), PATHS, st.just(b""), TARGETS),
    st.builds(Operation, st.just("whiteout"), PATHS),
    st.builds(Operation, st.just("opaque"), PATHS),
)
LAYERS = st.lists(st.lists(OPERATIONS, max_size=8), min_size=1, max_size=4)


def apply(model: Model, operations: list[Operation]) -> bytes:
    """One layer: whiteouts first, as engines write them; what the rules forbid is left out."""
    layer = LayerBuilder()
    for operation in operations:
        parent = operation.path.rpartition("/")[0]
        if operation.kind == "whiteout" and (not parent or parent in model.directories):
            model.kill(operation.path)
            layer.whiteout(operation.path)
        elif operation.kind == "opaque" and operation.path in model.directories:
            model.kill(operation.path)
            model.directories.add(operation.path)
            layer.opaque(operation.path)
    for operation in operations:
        if operation.kind in ("whiteout", "opaque") or not model.make_parents(operation.path):
            continue
        path = operation.path
        match operation.kind:
            case "file":
                model.kill(path)
                model.files[path] = operation.data
                layer.file(path, operation.data)
            case "directory":
                if path in model.files or path in model.links:
                    model.kill(path)
                model.directories.add(path)
                layer.directory(path)
            case "symlink":
                model.kill(path)
                model.links[path] = operation.target
                layer.symlink(path, operation.target)
    return layer.build()


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=TOOL_TIMEOUT_S, check=True)
    return done.stdout


def seen_in(top: Path) -> Model:
    seen = Model()
    for path in top.rglob("*"):
        name = str(path.relative_to(top))
        if path.is_symlink():
            seen.links[name] = str(path.readlink())
        elif path.is_dir():
            seen.directories.add(name)
        else:
            seen.files[name] = path.read_bytes()
    return seen


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(LAYERS)
def test_an_ext4_image_of_any_layers_is_clean_and_holds_what_the_rules_say(layers: list[list[Operation]]) -> None:
    model = Model()
    tars = [apply(model, layer) for layer in layers]
    with tempfile.TemporaryDirectory() as scratch:
        image, out = Path(scratch, "image"), Path(scratch, "out")
        out.mkdir()
        options = BuildOptions(format="ext4")
        build_file(tars, image, options)
        assert check_image(image, options) == ""
        run("debugfs", "-R", f"rdump / {out}", str(image))
        assert seen_in(out) == model


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(LAYERS)
def test_an_erofs_image_of_any_layers_is_clean_and_holds_what_the_rules_say(layers: list[list[Operation]]) -> None:
    model = Model()
    tars = [apply(model, layer) for layer in layers]
    with tempfile.TemporaryDirectory() as scratch:
        image, out = Path(scratch, "image"), Path(scratch, "out")
        options = BuildOptions(format="erofs", block_size=4096)
        build_file(tars, image, options)
        assert check_image(image, options) == ""
        run("fsck.erofs", f"--extract={out}", str(image))
        assert seen_in(out) == model


@settings(max_examples=20, deadline=None)
@given(LAYERS, st.sampled_from(["erofs", "ext4"]))
def test_a_layer_more_never_moves_what_the_layers_below_brought(layers: list[list[Operation]], kind: str) -> None:
    """The promise that deduplication rests on: chunk by chunk, the contents of lower layers are where they were."""
    model = Model()
    tars = [apply(model, layer) for layer in layers]
    options = BuildOptions(format="ext4" if kind == "ext4" else "erofs")
    before = build_bytes(tars, options)
    after = build_bytes([*tars, LayerBuilder().file("new/file", b"n" * 300_000).build()], options)
    content = b"\xa5" * 65_536
    for at in range(0, len(before), options.chunk_size):
        piece = before[at : at + options.chunk_size]
        if content in piece:
            assert after[at : at + options.chunk_size] == piece
