"""What `--watch` says becomes processes that deploy, and that end with whoever started them."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from lambdad.cli import up_watches
from lambdad.cli.up_watches import Watch, Watches, parse_watches
from lambdad.testing.waiting import wait_until

DEADLINE_S = 60.0


def test_a_directory_may_have_a_name_and_layers(tmp_path: Path) -> None:
    function, layer, odd = (tmp_path / name for name in ("function", "layer", "with:colon"))
    for directory in (function, layer, odd):
        directory.mkdir()
    assert parse_watches([f"{function}:other", str(odd)], [layer]) == (
        Watch(function, "other", (layer,)),
        Watch(odd, None, (layer,)),
    )
    assert Watch(function, "other", (layer,)).command("http://h:1") == [
        "deploy", str(function), "--name", "other", "--layers", str(layer), "--endpoint", "http://h:1", "--watch",
    ]  # fmt: skip


def test_what_is_no_directory_is_refused(tmp_path: Path) -> None:
    for watches, layers, words in (
        ([str(tmp_path / "none")], [], "there is no directory"),
        ([str(tmp_path)], [tmp_path / "none"], "there is no such directory"),
        ([], [tmp_path], "needs --watch"),
    ):
        with pytest.raises(typer.BadParameter, match=words):
            parse_watches(watches, layers)


@pytest.mark.parametrize(
    ("host", "endpoint"),
    [("0.0.0.0", "http://127.0.0.1:9"), ("::1", "http://[::1]:9"), ("10.0.0.1", "http://10.0.0.1:9")],
)
def test_watches_reach_the_node_where_it_listens_and_end_with_the_block(
    host: str, endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[tuple[Any, subprocess.Popen[bytes]]] = []

    def start(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        process = REAL([sys.executable, "-c", "import time; time.sleep(1000)"], **options)
        started.append((command, process))
        return process

    monkeypatch.setattr(up_watches.subprocess, "Popen", start)
    with Watches([Watch(tmp_path, None)]) as watches:
        watches.start(host, 9)
    [(command, process)] = started
    assert command[:3] == [sys.executable, "-m", "lambdad.cli.up_watches"]
    assert command[-3:] == ["--endpoint", endpoint, "--watch"]
    assert process.returncode == -15


REAL = subprocess.Popen


def test_a_watch_that_cannot_deploy_waits_for_a_change_and_ends_with_its_parent(tmp_path: Path) -> None:
    ours, theirs = os.pipe()
    command = Watch(tmp_path, "f").command("http://127.0.0.1:1")
    with subprocess.Popen(
        [sys.executable, "-m", "lambdad.cli.up_watches", *command], stdin=subprocess.PIPE, stderr=theirs
    ) as process:
        os.close(theirs)
        os.set_blocking(ours, False)
        told = bytearray()

        def waits() -> bool:
            with contextlib.suppress(BlockingIOError):
                told.extend(os.read(ours, 4096))
            return b"waiting for a change" in told

        wait_until(waits, "the word that it waits", DEADLINE_S)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(DEADLINE_S) == 130
    with contextlib.suppress(BlockingIOError):
        told.extend(os.read(ours, 65_536))
    os.close(ours)
    assert b"Traceback" not in told
