"""What happens inside of a snapshot process, as far as it can be seen without walls; tests/kernel has the rest."""

from __future__ import annotations

import importlib.util
import os
import random
import socket
import ssl
import sys
import tempfile
import threading
import types
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[3] / "src/lambdad/runtimes/python/snapshot.py"


def _load() -> types.ModuleType:
    spec = importlib.util.spec_from_file_location("lambdad_snapshot", SOURCE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


snapshot = _load()


def test_the_channel_is_found_once_and_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair()
    monkeypatch.setenv("_LAMBDAD_SNAPSHOT", str(theirs.detach()))
    channel = snapshot.find_channel()
    assert channel is not None
    ours.send(b"x")
    assert channel.recv(1) == b"x"
    assert not channel.get_inheritable()
    assert "_LAMBDAD_SNAPSHOT" not in os.environ
    assert snapshot.find_channel() is None
    channel.close()
    ours.close()


def test_what_is_drawn_at_random_is_drawn_anew() -> None:
    random.seed(1)
    first = random.random()
    random.seed(1)
    uuid.uuid1()
    ssl.RAND_bytes(1)
    snapshot._draw_anew()
    assert random.random() != first
    assert uuid._last_timestamp is None  # type: ignore[attr-defined]


def test_numpy_s_own_generator_is_seeded_if_it_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    seeded: list[bool] = []
    double = types.ModuleType("numpy.random")
    double.seed = lambda: seeded.append(True)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "numpy.random", double)
    snapshot._draw_anew()
    assert seeded == [True]


def test_threads_are_named_in_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    go = threading.Event()
    thread = threading.Thread(target=go.wait, name="metrics")
    thread.start()
    try:
        snapshot._warn_of_threads()
    finally:
        go.set()
        thread.join()
    assert "these threads are not restored: metrics" in capsys.readouterr().err


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        yield Path(directory)


def test_open_files_are_opened_again_where_they_were(tmp_path: Path) -> None:
    """Their places, positions and flags stay; each is the file of that name now, or a copy of one without a name."""
    path = tmp_path / "file"
    path.write_text("abcdef")
    with path.open("r+") as file:
        os.lseek(file.fileno(), 2, os.SEEK_SET)
        found = [entry for entry in snapshot._open_files() if entry[0] == file.fileno()]
        assert found[0][1] == str(path)
        assert found[0][3] == 2
        before = os.fstat(file.fileno()).st_ino
        path.unlink()
        path.write_text("ABCDEF")
        snapshot._reopen(found)
        assert os.fstat(file.fileno()).st_ino != before
        assert os.read(file.fileno(), 3) == b"CDE"
        path.unlink()
        nameless = os.open("/tmp", os.O_TMPFILE | os.O_RDWR)
        os.write(nameless, b"xyz")
        copy = snapshot._copy_of(nameless, os.O_RDWR)
        os.write(nameless, b"more")
        assert os.pread(copy, 10, 0) == b"xyz"
        os.close(copy)
        os.close(nameless)
