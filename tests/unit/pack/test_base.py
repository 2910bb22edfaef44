"""Bases: the shape that Lambda has, and reading one back."""

from __future__ import annotations

import os

import pytest
from tests.unit.pack.bases import STATUS, make_base

from lambdad.pack.base import (
    SANDBOX_USER,
    build_base,
    installed_packages,
    list_files,
    open_base,
    parse_listing,
    shape_like_lambda,
)
from lambdad.pack.errors import PackError
from lambdad.pack.target import X86_64


@pytest.fixture
def shaped(tmp_path):
    base = make_base(tmp_path / "base")
    rootfs = base.rootfs
    for relative in ("usr/share/doc/x/copyright", "var/cache/apt/x", "usr/lib/locale/C.utf8/LC_CTYPE", "etc/group"):
        (rootfs / relative).parent.mkdir(parents=True, exist_ok=True)
        (rootfs / relative).write_text("")
    (rootfs / "usr/lib/x86_64-linux-gnu/libz.so.1").symlink_to("libz.so.1.2")
    shape_like_lambda(rootfs, X86_64)
    shape_like_lambda(rootfs, X86_64)
    return base


def test_a_base_has_lambdas_directories_user_and_locale(shaped):
    rootfs = shaped.rootfs
    for name in ("var/task", "var/runtime", "var/lang", "opt", "tmp", "proc", "dev"):
        assert (rootfs / name).is_dir()
    assert (rootfs / "tmp").stat().st_mode & 0o7777 == 0o1777
    assert (rootfs / "etc/passwd").read_text().count(f"{SANDBOX_USER}:x:993:990:") == 1
    assert (rootfs / "usr/lib/locale/en_US.utf8/LC_CTYPE").exists()
    assert not (rootfs / "usr/share/doc").exists() and (rootfs / "var/cache").is_dir()


def test_the_systems_libraries_stand_in_lib64(shaped):
    assert os.readlink(shaped.rootfs / "lib64/libc.so.6") == "../lib/x86_64-linux-gnu/libc.so.6"
    assert shaped.root().lookup("/lib64/libc.so.6").path == "/usr/lib/x86_64-linux-gnu/libc.so.6"


def test_what_is_installed_is_read_from_dpkgs_list():
    assert installed_packages(STATUS) == {"libc6": "2.36-9"}


def test_layers_and_code_stand_where_a_function_sees_them(tmp_path):
    base = make_base(tmp_path / "base")
    for name in ("one", "two", "code"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_text(name)
    root = base.root(tmp_path / "one", tmp_path / "two", code=tmp_path / "code")
    assert root.lookup("/opt/x").host == tmp_path / "two/x"
    assert root.lookup("/var/task/x").host == tmp_path / "code/x"


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 1}', '{"format": 1, "packages": 3}'])
def test_a_broken_base_is_refused(tmp_path, text):
    base = make_base(tmp_path / "base")
    (base.directory / "base.json").write_text(text)
    with pytest.raises(PackError, match="again"):
        open_base(base.directory)


def test_a_directory_that_is_no_base_says_how_to_make_one(tmp_path):
    with pytest.raises(PackError, match="lambdad base build -o"):
        open_base(tmp_path)


def test_an_existing_directory_is_not_overwritten(tmp_path):
    with pytest.raises(PackError, match="already exists"):
        build_base(tmp_path, "debian12", X86_64)


def test_listings_of_others_are_read_in_their_shapes(tmp_path):
    assert parse_listing("./usr/bin/x\nusr/lib/\n/etc/a -> b\n\n.\n") == {"/usr/bin/x", "/usr/lib", "/etc/a"}
    files = list_files(make_base(tmp_path / "base").directory)
    assert files["/bin"] == "link usr/bin" and files["/usr"] == "directory" and files["/usr/bin/sh"] == "file 0"


def test_what_may_not_be_looked_at_is_listed_as_such(tmp_path, monkeypatch):
    (tmp_path / "link").symlink_to("x")
    monkeypatch.setattr("pathlib.Path.readlink", _refuse)
    assert list_files(tmp_path) == {"/link": "unreadable: Permission denied"}


def _refuse(self):
    raise PermissionError(13, "Permission denied")


def test_interpreters_of_a_base_are_where_aws_has_them(tmp_path):
    base = make_base(tmp_path / "base")
    for name in ("python3.9", "python3.11", "python3.11-config", "node"):
        (base.rootfs / "usr/bin" / name).write_text("")
    shape_like_lambda(base.rootfs, X86_64)
    links = {path.name: str(path.readlink()) for path in (base.rootfs / "var/lang/bin").iterdir()}
    assert links == {
        "python3.9": "/usr/bin/python3.9",
        "python3.11": "/usr/bin/python3.11",
        "python3": "python3.11",
        "node": "/usr/bin/node",
    }
