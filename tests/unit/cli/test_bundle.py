"""A directory becomes the same zip every time, with modes and links, without what only a developer needs."""

from __future__ import annotations

import io
import os
import stat
import zipfile
from pathlib import Path

import pytest

from lambdad.cli import bundle
from lambdad.cli.bundle import bundle_directory, describe_sizes, is_left_out
from lambdad.cli.errors import CliError


def names(content: bytes) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.namelist()


def write(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    for copy, order in (("one", ("a", "b", "sub/c")), ("two", ("sub/c", "b", "a"))):
        for name in order:
            path = write(tmp_path / copy / name)
            os.utime(path, (1_000_000 + len(copy), 1_000_000))
    os.utime(tmp_path / "two" / "a", (5, 5))
    first, second = (bundle_directory(tmp_path / copy) for copy in ("one", "two"))
    assert first == second
    assert names(first.content) == ["a", "b", "sub/c"]
    assert len(first.code_sha256) == 44


def test_links_are_kept_and_of_modes_what_every_user_of_a_sandbox_needs(tmp_path: Path) -> None:
    write(tmp_path / "run").chmod(0o4755)
    write(tmp_path / "secret").chmod(0o600)
    (tmp_path / "link").symlink_to("run")
    (tmp_path / "dangling").symlink_to("../elsewhere")
    (tmp_path / "folder-link").symlink_to("sub")
    (tmp_path / "sub").mkdir()
    with zipfile.ZipFile(io.BytesIO(bundle_directory(tmp_path).content)) as archive:
        modes = {info.filename: info.external_attr >> 16 for info in archive.infolist()}
        targets = {name: archive.read(name) for name in ("link", "dangling", "folder-link")}
    assert stat.S_IMODE(modes["run"]) == 0o755
    assert stat.S_IMODE(modes["secret"]) == 0o644
    assert all(stat.S_ISLNK(modes[name]) for name in targets)
    assert targets == {"link": b"run", "dangling": b"../elsewhere", "folder-link": b"sub"}
    assert "sub/" in modes


def test_an_umask_makes_no_other_bytes(tmp_path: Path) -> None:
    for copy, mode in (("one", 0o644), ("two", 0o664)):
        write(tmp_path / copy / "a").chmod(mode)
        write(tmp_path / copy / "run").chmod(mode | 0o111)
    assert bundle_directory(tmp_path / "one") == bundle_directory(tmp_path / "two")


def test_what_is_large_is_told_by_name_and_below_node_modules_by_package(tmp_path: Path) -> None:
    for name, count in (
        ("numpy/core.so", 3_000_000),
        ("numpy/more.so", 200_000),
        ("node_modules/left-pad/index.js", 2_000_000),
        ("node_modules/@aws-sdk/client-s3/index.js", 1_000_000),
        ("app.py", 10),
        ("z.py", 9),
    ):
        write(tmp_path / name, "x" * count)
    bundled = bundle_directory(tmp_path)
    assert [name for name, _ in bundled.largest] == [
        "numpy",
        "node_modules/left-pad",
        "node_modules/@aws-sdk/client-s3",
        "app.py",
        "z.py",
    ]
    assert "unpacked 5.9 MB of 250.0 MB; largest: numpy 3.1 MB (1 %), node_modules/left-pad" in describe_sizes(bundled)


def test_what_only_a_developer_needs_is_left_out(tmp_path: Path) -> None:
    for name in (
        ".git/config",
        "a/__pycache__/x.pyc",
        ".venv/bin/python",
        "node_modules/.cache/x",
        "node_modules/m/i.js",
    ):
        write(tmp_path / name)
    assert names(bundle_directory(tmp_path).content) == ["node_modules/m/i.js"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/home/f/node_modules/.cache/x", True),
        ("/home/f/a/__pycache__/x.pyc", True),
        ("/home/f/.git", True),
        ("/home/f/.gitignore", False),
        ("/home/f/my.venv/x", False),
        ("/home/f/.cache/x", False),
    ],
)
def test_a_change_there_is_no_change_of_the_function(path: str, expected: bool) -> None:
    assert is_left_out(path) is expected


def test_what_cannot_be_deployed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CliError, match="is not a directory"):
        bundle_directory(tmp_path / "nothing")
    with pytest.raises(CliError, match="is empty"):
        bundle_directory(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CliError, match="neither a file, a directory nor a symbolic link"):
        bundle_directory(tmp_path)


def test_sizes_beyond_the_limits_are_refused_with_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").write_bytes(os.urandom(5000))
    monkeypatch.setattr(bundle, "ZIP_MAX", 1000)
    with pytest.raises(CliError, match=r"AWS takes 0.0 MB: move libraries .* Largest: data 0.0 MB"):
        bundle_directory(tmp_path)
    monkeypatch.setattr(bundle, "UNZIPPED_MAX", 1000)
    with pytest.raises(CliError, match=r"holds 0.0 MB; AWS takes .*: move libraries .* Largest: data"):
        bundle_directory(tmp_path)
