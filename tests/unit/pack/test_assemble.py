"""Files at their new place: links, hard links, collisions, own files. (Search paths: tests/kernel/test_pack_build.)"""

from __future__ import annotations

import os

import pytest
from tests.unit.pack.elves import make_elf

from lambdad.pack.assemble import elf_files, place_files, place_packages
from lambdad.pack.errors import PackError
from lambdad.pack.install import Change, Installed
from lambdad.pack.recipe import Relocation
from lambdad.pack.target import X86_64


@pytest.fixture
def world(tmp_path):
    (tmp_path / "upper").mkdir()
    (tmp_path / "opt").mkdir()
    return tmp_path


def installed(
    world, files: dict[str, str | bytes], links: dict[str, str] | None = None, package: str = "git"
) -> Installed:
    found = Installed()
    for origin, content in files.items():
        host = world / "upper" / origin.lstrip("/")
        host.parent.mkdir(parents=True, exist_ok=True)
        host.write_bytes(content if isinstance(content, bytes) else content.encode())
    for origin, target in (links or {}).items():
        host = world / "upper" / origin.lstrip("/")
        host.parent.mkdir(parents=True, exist_ok=True)
        host.symlink_to(target)
    for origin in sorted([*files, *(links or {})]):
        host = world / "upper" / origin.lstrip("/")
        found.changes.append(Change(origin, host, host.lstat().st_mode, "apt:git"))
        found.owned.add(origin)
    return found


def place(world, found: Installed, relocation: Relocation | None = None):
    return place_packages(found, world / "opt", relocation or Relocation(), X86_64)


def test_owned_paths_in_files_are_rewritten_and_counted(world):
    result = place(world, installed(world, {"/usr/bin/a": "#!/bin/sh\nexec /usr/lib/a/run\n", "/usr/lib/a/run": ""}))
    assert (world / "opt/bin/a").read_text() == "#!/bin/sh\nexec /opt/lib/a/run\n"
    assert (result.rewritten_files, result.replacements) == (1, 1)
    assert result.facts["lib/a/run"] == ("apt:git", "/usr/lib/a/run")


def test_links_are_retargeted_and_alternatives_survive(world):
    links = {"/etc/alternatives/convert": "/usr/bin/convert-im6", "/usr/bin/convert": "/etc/alternatives/convert"}
    found = installed(world, {"/usr/bin/convert-im6": ""}, links)
    place(world, found)
    assert os.readlink(world / "opt/bin/convert") == "../alternatives/convert"
    assert os.readlink(world / "opt/alternatives/convert") == "../bin/convert-im6"


def test_hard_links_become_links(world):
    found = installed(world, {"/usr/bin/git": "x"})
    other = world / "upper/usr/lib/git-push"
    other.parent.mkdir()
    os.link(world / "upper/usr/bin/git", other)
    found.changes.append(Change("/usr/lib/git-push", other, other.lstat().st_mode, "apt:git"))
    found.owned.add("/usr/lib/git-push")
    place(world, found)
    assert os.readlink(world / "opt/lib/git-push") == "../bin/git"


def test_two_paths_that_become_one_are_refused(world):
    with pytest.raises(PackError, match="would both become /opt/php/x"):
        place(world, installed(world, {"/etc/php/x": "1", "/usr/php/x": "2"}))


def test_setuid_is_dropped_and_said(world):
    found = installed(world, {"/usr/bin/su": ""})
    found.changes[0] = Change("/usr/bin/su", found.changes[0].host, 0o104755, "login")
    result = place(world, found)
    assert (world / "opt/bin/su").stat().st_mode & 0o7777 == 0o755
    assert any("setuid" in note for note in result.notes)


def test_writable_state_is_not_in_the_layer(world):
    result = place(world, installed(world, {"/var/lib/php/sessions/.keep": ""}), Relocation(writable=("/var/lib/php",)))
    assert result.facts == {}


def test_the_lone_prefix_of_git_moves_without_being_asked(world):
    place(world, installed(world, {"/usr/bin/git": b"\0/usr\0share/git-core\0"}))
    assert (world / "opt/bin/git").read_bytes() == b"\0/opt\0share/git-core\0"


def test_paths_in_instructions_are_said(world):
    result = place(world, installed(world, {"/usr/bin/x": b"\x48\xb8/etc/fon", "/etc/fonts/fonts.conf": ""}))
    assert any("/etc/fon… is inside instructions of 1 file(s)" in note for note in result.notes)


def test_own_files_keep_their_execute_bit_and_links(world):
    source = world / "recipe"
    (source / "data").mkdir(parents=True)
    (source / "bootstrap").write_text("#!/bin/sh\n")
    (source / "bootstrap").chmod(0o744)
    (source / "data/x").write_text("x")
    (source / "data/y").symlink_to("x")
    facts = place_files({"bootstrap": "bootstrap", "share/d": "data"}, source, world / "opt")
    assert (world / "opt/bootstrap").stat().st_mode & 0o777 == 0o755
    assert os.readlink(world / "opt/share/d/y") == "x"
    assert facts["share/d/x"] == ("file", "data")


def test_own_files_may_replace_a_packages_file_and_not_its_directory(world):
    (world / "opt/bin").mkdir()
    (world / "opt/bin/x").write_text("package")
    (world / "mine").write_text("mine")
    place_files({"bin/x": "mine"}, world, world / "opt")
    assert (world / "opt/bin/x").read_text() == "mine"
    with pytest.raises(PackError, match="is a directory of a package"):
        place_files({"bin": "mine"}, world, world / "opt")
    with pytest.raises(PackError, match="nothing does not exist"):
        place_files({"a": "nothing"}, world, world / "opt")


def test_elf_files_are_found_and_broken_ones_are_left_to_check(world):
    for name, data in {"a": make_elf(), "b": make_elf()[:70], "c": b"#!/bin/sh\n" * 20}.items():
        (world / "opt" / name).write_bytes(data)
    assert [path.name for path, _ in elf_files(world / "opt")] == ["a"]
