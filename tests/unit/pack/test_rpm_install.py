"""Rpm packages beside a base: what they bring, what was there already, and what is said of scripts."""

from __future__ import annotations

import pytest
from tests.unit.pack.bases import make_base
from tests.unit.pack.rpms import link, make_rpm, regular

from lambdad.pack.errors import PackError
from lambdad.pack.install import Installed
from lambdad.pack.rpm_install import install_rpms


@pytest.fixture
def base(tmp_path):
    (tmp_path / "base").mkdir()
    return make_base(tmp_path / "base")


def install(base, tmp_path, *packages: bytes) -> Installed:
    archives = []
    for number, data in enumerate(packages):
        archives.append(tmp_path / f"{number}.rpm")
        archives[-1].write_bytes(data)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return install_rpms(base, archives, scratch)


def test_new_files_are_owned_by_their_package_and_the_bases_own_are_not_carried(base, tmp_path):
    tool = make_rpm("tool", {"/usr/bin/tool": regular("x", 0o755), "/usr/bin/env": regular(), "/bin/t": link("tool")})
    found = install(base, tmp_path, tool, make_rpm("data", {"/usr/share/data/x": regular("y")}))
    owners = {change.origin: change.package for change in found.changes if not change.host.is_dir()}
    assert owners == {"/usr/bin/tool": "rpm:tool", "/usr/bin/t": "rpm:tool", "/usr/share/data/x": "rpm:data"}
    assert "/usr/bin/tool" in found.owned and "/usr/bin/env" not in found.owned


def test_scripts_that_did_not_run_are_named(base, tmp_path):
    found = install(base, tmp_path, make_rpm("tool", {"/usr/x": regular()}, script="useradd tool"), make_rpm("b", {}))
    assert found.warnings == ["scripts of rpm packages were not run: tool"]


def test_two_packages_may_have_one_file_if_it_is_the_same(base, tmp_path):
    files = {"/usr/share/same": regular("same"), "/usr/share/link": link("same")}
    found = install(base, tmp_path, make_rpm("one", files), make_rpm("two", files))
    assert [change.origin for change in found.changes] == ["/usr/share", "/usr/share/link", "/usr/share/same"]


@pytest.mark.parametrize("content", [regular("two"), link("two")])
def test_two_packages_that_have_one_file_with_other_content_conflict(base, tmp_path, content):
    one, two = make_rpm("one", {"/usr/share/same": regular("one")}), make_rpm("two", {"/usr/share/same": content})
    with pytest.raises(PackError, match=r"/usr/share/same with other content: they conflict"):
        install(base, tmp_path, one, two)


def test_a_path_of_debians_and_of_an_rpm_package_is_refused(base, tmp_path):
    found = install(base, tmp_path, make_rpm("tool", {"/usr/bin/tool": regular("x")}))
    with pytest.raises(PackError, match="/usr/bin/tool comes from rpm:tool and from rpm:tool"):
        found.plus(found)
    assert found.plus(Installed()).owned == found.owned
