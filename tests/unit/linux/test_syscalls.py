"""Errors of the kernel come out as OSError that says which call failed; success is shown by tests/kernel."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lambdad.linux import syscalls


def test_an_error_names_the_call_and_the_path() -> None:
    with pytest.raises(FileNotFoundError, match="umount: No such file or directory: '/no/such/place'"):
        syscalls.umount("/no/such/place")


def test_opening_inside_of_a_root_follows_no_link_out_of_it(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "name").write_text("inside")
    (tmp_path / "absolute").symlink_to("/etc/name")
    (tmp_path / "upwards").symlink_to("../../../../etc/name")
    root = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    try:
        for link in ("absolute", "upwards", "/etc/../../etc/name"):
            with open(syscalls.open_in_root(root, link, os.O_RDONLY)) as file:
                assert file.read() == "inside"
        with pytest.raises(FileNotFoundError):
            syscalls.open_in_root(root, "/etc/passwd", os.O_RDONLY)
    finally:
        os.close(root)
