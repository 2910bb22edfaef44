"""The layout of the data directory."""

from __future__ import annotations

import socket
from pathlib import Path

from lambdad.node.paths import Paths, SocketPlace


def test_the_state_is_for_its_owner_alone(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "data")
    paths.make_state()
    paths.make_worker()
    assert paths.state.stat().st_mode & 0o777 == 0o700
    assert paths.worker.stat().st_mode & 0o777 == 0o700
    assert paths.blobs.is_dir()


def test_the_socket_works_however_deep_the_data_directory_is(tmp_path: Path) -> None:
    """Unix socket paths end at 108 bytes; the data directory's may not."""
    deep = tmp_path / ("d" * 120)
    paths = Paths(deep)
    paths.run.mkdir(parents=True)
    place = SocketPlace(paths)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(place.path)
        assert (paths.run / "worker.sock").exists()
    place.close()
