"""The mounter's conversation; what it mounts is in tests/kernel."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lambdad.sandbox.mounter import Mounter, serve


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[socket.socket]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(30)
    thread = threading.Thread(target=serve, args=(theirs, Mounter(tmp_path, tmp_path / "volumes")))
    thread.start()
    yield ours
    ours.close()
    thread.join(30)
    assert not thread.is_alive()
    theirs.close()


def _ask(connection: socket.socket, request: bytes) -> Any:
    connection.send(request)
    data, fds, _, _ = socket.recv_fds(connection, 65536, 16)
    assert fds == []
    return json.loads(data)


def test_errors_are_answers_and_the_next_request_is_served(connection: socket.socket) -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    missing = {"do": "mount", "volume": 1, "root": None, "mounts": [["/no/such"]], "targets": ["/opt"]}
    # Who may not mount at all hears that first.
    reason = "No such file" if os.geteuid() == 0 else "not permitted"
    assert reason in _ask(connection, json.dumps(missing).encode())["error"]
    gone = {"do": "mount", "volume": 1, "root": None, "mounts": [], "targets": []}
    assert "went away" in _ask(connection, json.dumps(gone).encode())["error"]
    assert "no such request: dance" in _ask(connection, b'{"do": "dance"}')["error"]
    assert "error" in _ask(connection, b"not json")
    assert _ask(connection, b'{"do": "drop", "volume": 77}') == {}
    assert sorted(os.listdir("/proc/self/fd")) == before
