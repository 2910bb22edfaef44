"""What packages changed: told apart from the base, by package, without what a layer never carries."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from tests.unit.pack.bases import make_base

from lambdad.pack.install import differences, file_owners, install, unpack_deb


@pytest.fixture
def base(tmp_path):
    return make_base(tmp_path / "base")


@pytest.fixture
def upper(tmp_path):
    upper = tmp_path / "upper"
    for relative, text in {
        "usr/bin/git": "git",
        "usr/bin/sh": "",
        "usr/lib/git-core/git-push": "push",
        "usr/lib/x86_64-linux-gnu/libc.so.6": "a newer one",
        "usr/share/doc/git/copyright": "GPL",
        "usr/share/doc/git/changelog.gz": "x",
        "usr/share/man/man1/git.1.gz": "x",
        "usr/lib/python3/__pycache__/x.pyc": "x",
        "etc/passwd": "root:x:0:0::/root:/bin/sh\ngit:x:1:1::/:/bin/sh\n",
        "etc/machine-id": "cf297090af7e4d10aa7c066bfa2e135a",
        "etc/ssl/private/ssl-cert-snakeoil.key": "secret",
        "etc/ssh/ssh_config": "Host *",
        "etc/ssh/ssh_host_rsa_key": "secret",
        "etc/ld.so.conf.d/git.conf": "/usr/lib/git-libs\n",
        "var/lib/dpkg/info/git.list": "/.\n/usr/bin/git\n/usr/lib/git-core\n/lib/x86_64-linux-gnu/libc.so.6\n",
    }.items():
        path = upper / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (upper / "usr/bin/git-link").symlink_to("git")
    return upper


def test_only_what_is_new_or_a_changed_library_is_carried(base, upper):
    found = differences(base, upper, file_owners(upper / "var/lib/dpkg/info"))
    origins = {change.origin for change in found.changes}
    assert {
        "/usr/bin/git",
        "/usr/bin/git-link",
        "/usr/lib/git-core/git-push",
        "/usr/share/doc/git/copyright",
    } <= origins
    assert "/usr/lib/x86_64-linux-gnu/libc.so.6" in origins
    assert not {"/usr/bin/sh", "/etc/passwd", "/usr/share/doc/git/changelog.gz"} & origins
    assert not any("man1" in origin or "__pycache__" in origin or "dpkg" in origin for origin in origins)


def test_changed_files_of_the_base_are_owned_by_nobody_and_reported(base, upper):
    found = differences(base, upper, {})
    assert found.altered == ["/etc/passwd"]
    assert "/etc/passwd" in found.warnings[0]
    assert "/usr/lib/x86_64-linux-gnu/libc.so.6" not in found.owned
    assert "/usr/bin/git" in found.owned and "/usr/bin" not in found.owned


def test_files_know_their_package_through_merged_usr_and_their_directory(base, upper):
    found = differences(base, upper, file_owners(upper / "var/lib/dpkg/info"))
    packages = {change.origin: change.package for change in found.changes}
    assert packages["/usr/bin/git"] == packages["/usr/lib/git-core/git-push"] == "git"
    assert packages["/usr/lib/x86_64-linux-gnu/libc.so.6"] == "git"
    assert packages["/usr/bin/git-link"] == ""


def test_what_is_made_at_random_for_one_machine_is_never_carried(base, upper):
    found = differences(base, upper, {})
    assert not {path for path in found.owned if "machine-id" in path or "key" in path}
    assert "/etc/ssh/ssh_config" in found.owned


def test_more_directories_of_the_loader_are_noted(base, upper):
    assert differences(base, upper, {}).library_directories == ["/usr/lib/git-libs"]


def test_beginnings_of_the_bases_paths_are_known(base, upper):
    assert {"/usr/bin", "/usr/lib", "/etc/pas"} <= differences(base, upper, {}).foreign


def test_nothing_to_install_is_nothing(base, tmp_path):
    assert install(base, [], tmp_path).changes == []


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is not installed")
def test_a_package_is_unpacked_through_the_links_of_merged_usr(tmp_path):
    source = tmp_path / "source"
    for relative in ("DEBIAN/control", "lib/x/libexpat.so.1"):
        (source / relative).parent.mkdir(parents=True, exist_ok=True)
    (source / "DEBIAN/control").write_text(
        "Package: x\nVersion: 1\nArchitecture: all\nMaintainer: a <a@example.com>\nDescription: x\n"
    )
    (source / "lib/x/libexpat.so.1").write_text("library")
    subprocess.run(
        ["dpkg-deb", "-b", str(source), str(tmp_path / "x.deb")], check=True, capture_output=True, timeout=60
    )
    root = tmp_path / "root"
    (root / "usr/lib").mkdir(parents=True)
    (root / "lib").symlink_to("usr/lib")
    assert "/lib/x/libexpat.so.1" in unpack_deb(tmp_path / "x.deb", root)
    assert (root / "lib").is_symlink() and (root / "usr/lib/x/libexpat.so.1").read_text() == "library"
