"""`lambdad image gc` for nodes: one that runs is asked, one that stands is collected, nothing is guessed."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lambdad.chunks.roots import RootState, encode_root, new_root
from lambdad.node.paths import Paths
from lambdad.wire.http import Response

Command = Callable[..., tuple[int, str, str]]
COUNTS = {"copied_chunks": 3, "copied": 1_500_000, "deleted_objects": 7}


def test_a_node_that_runs_is_asked_for_its_plan_and_then_told(
    lambdad: Command, fake: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def handle(method: str, path: str, query: str, headers: dict[str, str], body: bytes) -> Response:
        asked.append(f"{method} {path}")
        counts = COUNTS if method == "POST" else {}
        document = {"steps": ["retire root r1: no new uploads"], "executed": method == "POST", **counts}
        return Response(200, [], json.dumps(document).encode())

    monkeypatch.setattr(fake, "handle", handle)
    assert lambdad("image", "gc", "--endpoint", fake.url) == (
        0,
        "retire root r1: no new uploads\n",
        "nothing was done: --yes executes the plan\n",
    )
    status, out, _ = lambdad("image", "gc", "--endpoint", fake.url, "--yes")
    assert (status, out.splitlines()[1]) == (0, "3 chunks copied (1.5 MB), 7 objects deleted")
    assert asked == ["GET /_lambdad/images/collection", "POST /_lambdad/images/collection"]


def test_a_node_that_stands_is_collected_and_one_that_runs_says_how_to_ask_it(lambdad: Command, tmp_path: Path) -> None:
    paths = Paths(tmp_path / "data")
    paths.run.mkdir(parents=True)
    paths.make_state()
    (paths.run / "lock").touch()
    arguments = ("image", "gc", "--data-dir", str(paths.root))
    assert lambdad(*arguments) == (0, "", "nothing to free\n")
    root = new_root(1000.0)
    (paths.chunks / "roots").mkdir()
    (paths.chunks / "roots" / root.id).write_bytes(encode_root(root))
    (paths.chunks / root.id / "chunks").mkdir(parents=True)
    (paths.chunks / root.id / "chunks" / "waste").write_bytes(b"waste")
    status, out, err = lambdad(*arguments)
    assert (status, err) == (0, "nothing was done: --yes executes the plan\n")
    assert f"delete root {root.id} and all in it" in out
    assert (paths.chunks / root.id / "chunks" / "waste").exists()
    with (paths.run / "lock").open() as node:
        fcntl.flock(node, fcntl.LOCK_EX)
        status, out, err = lambdad(*arguments, "--yes")
        assert (status, out) == (1, "")
        assert "a node runs on" in err and "--endpoint" in err
    done = json.loads(lambdad(*arguments, "--yes", "--json")[1])
    assert (done["executed"], done["deleted_objects"]) == (True, 1)
    assert not (paths.chunks / root.id / "chunks" / "waste").exists()
    assert root.state is RootState.ACTIVE
    assert lambdad(*arguments) == (0, "", "nothing to free\n")


def test_what_cannot_be_is_said_in_one_line(lambdad: Command, tmp_path: Path) -> None:
    for arguments, message in (
        (("--data-dir", str(tmp_path / "none")), "no data directory of a node"),
        (("--config", str(tmp_path / "none.toml")), "cannot read"),
        (("--data-dir", str(tmp_path), "--endpoint", "http://127.0.0.1:1"), "give one"),
        (("--endpoint", "http://127.0.0.1:1"), "nothing answers"),
    ):
        status, out, err = lambdad("image", "gc", *arguments)
        assert (status, out) == (1, "")
        assert message in err
