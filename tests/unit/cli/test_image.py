"""`lambdad image` on directories and a store of its own: no server, no network, no root."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def image(lambdad: Command, tmp_path: Path) -> Command:
    def call(*arguments: str) -> tuple[int, str, str]:
        return lambdad("image", *arguments, "--store", str(tmp_path / "store"))

    return call


def make_tree(path: Path, seed: int) -> Path:
    """A large file that all trees have, and one of this seed's own."""
    path.mkdir()
    (path / "common").write_bytes(random.Random(1).randbytes(2_000_000))
    (path / "own").write_bytes(random.Random(seed).randbytes(700_000))
    return path


def read(result: tuple[int, str, str]) -> dict[str, object]:
    status, out, err = result
    assert (status, err) == (0, "")
    value: dict[str, object] = json.loads(out)
    return value


def test_two_images_share_what_they_have_in_common(image: Command, tmp_path: Path) -> None:
    for number, name in enumerate(("a", "b"), 2):
        status, out, err = image("pull", f"dir:{make_tree(tmp_path / name, number)}")
        assert (status, err) == (0, "")
        assert out.startswith(f"{name}: ")
    listed = json.loads(image("ls", "--json")[1])
    assert [entry["name"] for entry in listed] == ["a", "b"]
    assert all(entry["shared"]["size"] > 1_900_000 for entry in listed)
    assert all(700_000 <= entry["unique"]["size"] < 900_000 for entry in listed)
    found = read(image("diff", "a", "b", "--json"))
    assert found["both"] == listed[0]["shared"]
    assert found["only_first"] == listed[0]["unique"]
    together = read(image("dedup", "--json"))
    assert together["apart"] == sum(entry["total"]["size"] for entry in listed)
    plot = tmp_path / "shares.svg"
    assert image("dedup", "--plot", str(plot))[0] == 0
    assert plot.read_text().startswith("<svg ")
    for command in (("ls",), ("diff", "a", "b"), ("dedup", "a", "b")):
        status, out, _ = image(*command)
        assert status == 0
        assert "MB" in out and "b" in out


def test_an_image_tells_its_config_layers_and_chunks(image: Command, tmp_path: Path) -> None:
    image("pull", f"dir:{make_tree(tmp_path / 'tree', 2)}", "--name", "mine", "--platform", "linux/arm64")
    facts = read(image("inspect", "mine", "--json"))
    assert facts["platform"] == "linux/arm64"
    assert facts["source"] == f"dir:{tmp_path}/tree"
    assert facts["content"] == 2_700_000
    status, out, _ = image("inspect", "mine")
    assert status == 0
    assert "2.7 MB (2,700,000)" in out


def test_a_damaged_and_a_missing_chunk_are_found(image: Command, tmp_path: Path) -> None:
    image("pull", f"dir:{make_tree(tmp_path / 'tree', 2)}")
    status, out, _ = image("verify", "tree")
    assert status == 0
    assert out.endswith(", 0 broken\n")
    chunks = sorted(path for path in (tmp_path / "store" / "chunks").glob("r*/chunks/*/*") if path.is_file())
    chunks[0].write_bytes(b"x" + chunks[0].read_bytes()[1:])
    chunks[1].unlink()
    status, out, _ = image("verify", "tree")
    assert status == 1
    assert f"chunk {chunks[0].name}" in out and "is damaged" in out
    assert f"chunk {chunks[1].name} is not in" in out
    assert out.endswith(", 2 broken\n")


def test_what_no_image_needs_is_planned_and_freed(image: Command, tmp_path: Path) -> None:
    for number, name in enumerate(("a", "b"), 2):
        image("pull", f"dir:{make_tree(tmp_path / name, number)}")
    assert "nothing to free" in image("gc")[2]
    assert image("rm", "a")[0] == 0
    planned = read(image("gc", "--json"))
    assert planned["before"] == planned["after"]
    done = read(image("gc", "--yes", "--json"))
    assert len(done["steps"]) == len(planned["steps"]) == 5  # type: ignore[arg-type]
    assert done["before"] - done["after"] > 650_000  # type: ignore[operator]
    assert image("verify", "b")[0] == 0
    assert "nothing to free" in image("gc", "--yes")[2]
    again = read(image("pull", f"dir:{tmp_path / 'a'}", "--json"))
    assert again["counts"]["known"] > 0  # type: ignore[index]  # what was kept is still shared


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (("pull", "dir:/nowhere"), "there is no directory /nowhere"),
        (("pull", "docker-archive:/nowhere.tar"), "there is no image archive /nowhere.tar"),
        (("pull", "oci-layout:/nowhere"), "it is no complete OCI layout"),
        (("pull", "UPPER//x"), "names no valid"),
        (("pull", "dir:/", "--platform", "linux"), "is no platform"),
        (("inspect", "x"), "no image x in"),
        (("verify", "x"), "the store is empty"),
        (("rm", "x"), "the store is empty"),
        (("diff", "x", "y"), "no image x in"),
    ],
)
def test_what_cannot_be_done_is_one_line(image: Command, command: tuple[str, ...], reason: str) -> None:
    status, out, err = image(*command)
    assert (status, out) == (1, "")
    assert reason in err
    assert err.count("\n") == 1


def test_an_empty_store_says_how_to_fill_it(image: Command) -> None:
    status, out, err = image("ls")
    assert (status, out) == (0, "")
    assert "`lambdad image pull` adds one" in err
