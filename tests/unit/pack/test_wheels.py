"""Wheels: which run on the target, and where their files go."""

from __future__ import annotations

import zipfile

import pytest

from lambdad.pack.errors import PackError
from lambdad.pack.target import ARM64, X86_64
from lambdad.pack.wheels import platform_tags, unpack_wheel, wheel_target


def test_tags_go_down_from_the_bases_glibc_with_the_old_names_between():
    tags = platform_tags(X86_64, (2, 36))
    assert tags[0] == "manylinux_2_36_x86_64" and tags[-1] == "linux_x86_64"
    assert tags.index("manylinux_2_17_x86_64") + 1 == tags.index("manylinux2014_x86_64")
    assert "manylinux1_x86_64" in tags and "manylinux_2_37_x86_64" not in tags


def test_arm_never_had_the_oldest_names():
    tags = platform_tags(ARM64, (2, 34))
    assert "manylinux2014_aarch64" in tags and not {"manylinux1_aarch64", "manylinux2010_aarch64"} & set(tags)


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("click/__init__.py", "python/click/__init__.py"),
        ("click-8.dist-info/METADATA", "python/click-8.dist-info/METADATA"),
        ("click-8.dist-info/RECORD", None),
        ("click-8.dist-info/direct_url.json", None),
        ("x-1.data/scripts/tool", "python/bin/tool"),
        ("x-1.data/purelib/x.py", "python/x.py"),
        ("x-1.data/headers/x.h", None),
        ("x-1.data", None),
    ],
)
def test_where_the_files_of_a_wheel_go(name, target):
    assert wheel_target(name) == target


def make_wheel(path, files) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)


def test_scripts_name_no_python_of_the_build_machine(tmp_path):
    make_wheel(tmp_path / "x.whl", {"x-1.data/scripts/tool": "#!python\nx", "x.py": "#!python\n"})
    facts = unpack_wheel(tmp_path / "x.whl", tmp_path / "opt", "x")
    assert (tmp_path / "opt/python/bin/tool").read_text() == "#!/usr/bin/env python3\nx"
    assert (tmp_path / "opt/python/bin/tool").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "opt/python/x.py").read_text() == "#!python\n"
    assert facts["python/x.py"] == ("pip:x", "")


def test_two_wheels_with_one_file_are_refused(tmp_path):
    make_wheel(tmp_path / "x.whl", {"x.py": ""})
    unpack_wheel(tmp_path / "x.whl", tmp_path / "opt", "x")
    with pytest.raises(PackError, match=r"/opt/python/x\.py comes from two packages, y is the second"):
        unpack_wheel(tmp_path / "x.whl", tmp_path / "opt", "y")


@pytest.mark.parametrize("name", ["../x.py", "/x.py", "x-1.data/purelib/../../../x"])
def test_a_wheel_that_leads_out_is_refused(tmp_path, name):
    make_wheel(tmp_path / "x.whl", {name: ""})
    with pytest.raises(PackError):
        unpack_wheel(tmp_path / "x.whl", tmp_path / "opt", "x")


def test_what_is_no_wheel_is_refused(tmp_path):
    (tmp_path / "x.whl").write_text("x")
    with pytest.raises(PackError, match="cannot be unpacked"):
        unpack_wheel(tmp_path / "x.whl", tmp_path / "opt", "x")
