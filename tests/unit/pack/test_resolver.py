"""The search rules of ld.so, each with the smallest tree that shows it (the real ld.so judges in tests/kernel)."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.pack.elves import make_elf

from lambdad.pack.elf import ElfError
from lambdad.pack.resolver import Missing, Resolver, glibc_version
from lambdad.pack.target import X86_64
from lambdad.pack.tree import Place, Root

INTERPRETER = "/lib64/ld-linux-x86-64.so.2"


class World:
    """A root file system of a few ELF files."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.add(INTERPRETER, soname="ld-linux-x86-64.so.2")

    def add(self, path: str, **options) -> None:
        host = self.directory / path.lstrip("/")
        host.parent.mkdir(parents=True, exist_ok=True)
        host.write_bytes(make_elf(**options))

    def program(self, path: str, **options) -> None:
        self.add(path, interpreter=INTERPRETER, **options)

    def link(self, path: str, target: str) -> None:
        host = self.directory / path.lstrip("/")
        host.parent.mkdir(parents=True, exist_ok=True)
        host.symlink_to(target)

    def resolver(self, library_path: str = "", hwcaps: tuple[str, ...] = ()) -> Resolver:
        return Resolver(Root(Place("/", (self.directory,))), X86_64, library_path=library_path, hwcaps=hwcaps)

    def loads(self, program: str, library_path: str = "", hwcaps: tuple[str, ...] = ()) -> list[str]:
        objects = self.resolver(library_path, hwcaps).link_program(program).objects
        return [one.path for one in objects[1:] if one.how != "interpreter"]


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def test_the_runpath_of_a_program_does_not_help_its_libraries(world):
    world.program("/opt/bin/p", needed=["liba.so"], runpath="$ORIGIN/../lib")
    world.add("/opt/lib/liba.so", needed=["libb.so"])
    world.add("/opt/lib/libb.so")
    assert world.resolver().link_program("/opt/bin/p").missing == [Missing("libb.so", "/opt/bin/../lib/liba.so")]


def test_the_rpath_of_a_program_helps_its_libraries(world):
    world.program("/opt/bin/p", needed=["liba.so"], rpath="/opt/lib")
    world.add("/opt/lib/liba.so", needed=["libb.so"])
    world.add("/opt/lib/libb.so")
    assert world.loads("/opt/bin/p") == ["/opt/lib/liba.so", "/opt/lib/libb.so"]


def test_a_library_with_a_runpath_does_not_use_its_ancestors_rpath(world):
    world.program("/opt/bin/p", needed=["liba.so"], rpath="/opt/lib")
    world.add("/opt/lib/liba.so", needed=["libb.so"], runpath="/nowhere")
    world.add("/opt/lib/libb.so")
    assert [missing.name for missing in world.resolver().link_program("/opt/bin/p").missing] == ["libb.so"]


def test_rpath_beats_the_library_path_which_beats_runpath(world):
    for place in ("rpath", "env", "runpath"):
        world.add(f"/{place}/liba.so")
    world.program("/p1", needed=["liba.so"], rpath="/rpath")
    world.program("/p2", needed=["liba.so"], runpath="/runpath")
    assert world.loads("/p1", "/env") == ["/rpath/liba.so"]
    assert world.loads("/p2", "/env") == ["/env/liba.so"]
    assert world.loads("/p2") == ["/runpath/liba.so"]


def test_the_system_wins_over_a_layer_under_lambdas_library_path(world):
    world.add("/lib64/liba.so")
    world.add("/opt/lib/liba.so")
    world.program("/opt/bin/p", needed=["liba.so"])
    assert world.loads("/opt/bin/p", "/lib64:/opt/lib") == ["/lib64/liba.so"]


def test_rpath_is_ignored_where_runpath_is_present(world):
    world.add("/a/liba.so")
    world.program("/p", needed=["liba.so"], rpath="/a", runpath="/b")
    assert world.resolver().link_program("/p").missing


def test_the_origin_of_a_program_is_its_real_directory(world):
    world.program("/real/bin/p", needed=["liba.so"], rpath="$ORIGIN/../lib")
    world.add("/real/lib/liba.so")
    world.link("/bin/p", "/real/bin/p")
    assert world.loads("/bin/p") == ["/real/bin/../lib/liba.so"]


def test_the_origin_of_a_library_is_the_directory_it_was_opened_by(world):
    world.program("/p", needed=["liba.so"], rpath="/links")
    world.add("/real/liba.so", needed=["libb.so"], runpath="${ORIGIN}")
    world.add("/real/libb.so")
    world.link("/links/liba.so", "/real/liba.so")
    assert [missing.name for missing in world.resolver().link_program("/p").missing] == ["libb.so"]


def test_better_builds_for_the_processor_come_first_when_it_can_run_them(world):
    world.add("/d/liba.so")
    world.add("/d/glibc-hwcaps/x86-64-v3/liba.so")
    world.program("/p", needed=["liba.so"], rpath="/d")
    assert world.loads("/p") == ["/d/liba.so"]
    assert world.loads("/p", hwcaps=X86_64.hwcaps) == ["/d/glibc-hwcaps/x86-64-v3/liba.so"]


def test_a_file_for_another_machine_is_passed_over(world):
    world.add("/a/liba.so", machine=183)
    world.add("/b/liba.so")
    world.program("/p", needed=["liba.so"], rpath="/a:/b")
    assert world.loads("/p") == ["/b/liba.so"]


def test_a_link_that_became_a_text_file_ends_the_start(world):
    (world.directory / "a").mkdir()
    (world.directory / "a/liba.so").write_bytes(b"liba.so.1".ljust(100))
    world.add("/b/liba.so")
    world.program("/p", needed=["liba.so"], rpath="/a:/b")
    linkage = world.resolver().link_program("/p")
    assert [(broken.path, broken.reason) for broken in linkage.broken] == [("/a/liba.so", "invalid ELF header")]
    assert not linkage.complete


def test_a_directory_of_the_librarys_name_ends_the_start(world):
    (world.directory / "a/liba.so").mkdir(parents=True)
    world.program("/p", needed=["liba.so"], rpath="/a")
    assert world.resolver().link_program("/p").broken[0].reason == "cannot read file data"


def test_a_loop_of_links_ends_the_search_of_its_list(world):
    world.link("/a/liba.so", "liba.so")
    world.add("/b/liba.so")
    world.program("/p", needed=["liba.so"], rpath="/a:/b")
    assert world.resolver().link_program("/p").missing
    assert world.loads("/p", "/b") == ["/b/liba.so"]


def test_a_soname_is_loaded_once_and_the_first_wins_for_everyone(world):
    world.program("/p", needed=["liba.so", "libb.so"], rpath="/first")
    world.add("/first/liba.so", soname="libx.so.1")
    world.add("/first/libb.so", needed=["libx.so.1"], rpath="/second")
    world.add("/second/libx.so.1")
    assert world.loads("/p") == ["/first/liba.so", "/first/libb.so"]


def test_two_names_of_one_file_are_one_object(world):
    world.program("/p", needed=["liba.so", "libb.so"], rpath="/d")
    world.add("/d/liba.so")
    world.link("/d/libb.so", "liba.so")
    assert world.loads("/p") == ["/d/liba.so"]


def test_libraries_that_need_each_other_are_loaded_once(world):
    world.program("/p", needed=["liba.so"], rpath="/d")
    world.add("/d/liba.so", needed=["libb.so"])
    world.add("/d/libb.so", needed=["liba.so"])
    assert world.loads("/p") == ["/d/liba.so", "/d/libb.so"]


def test_a_needed_name_with_a_slash_is_a_path(world):
    world.program("/p", needed=["$ORIGIN/sub/liba.so"])
    world.add("/sub/liba.so")
    assert world.loads("/p") == ["//sub/liba.so"]


def test_the_built_in_directories_come_last(world):
    world.program("/p", needed=["liba.so"])
    world.add("/usr/lib/liba.so")
    world.add("/lib/x86_64-linux-gnu/liba.so")
    assert world.loads("/p") == ["/lib/x86_64-linux-gnu/liba.so"]


def test_the_kernels_own_library_is_never_looked_for(world):
    world.program("/p", needed=["linux-vdso.so.1", "ld-linux-x86-64.so.2"])
    linkage = world.resolver().link_program("/p")
    assert linkage.complete and len(linkage.objects) == 2


def test_an_interpreter_that_does_not_exist_is_missing(world):
    world.add("/p", interpreter="/opt/ld.so")
    assert world.resolver().link_program("/p").missing == [Missing("/opt/ld.so", "/p")]


def test_a_version_that_the_provider_lacks_is_named_with_its_provider(world):
    world.program("/p", needed=["liba.so"], rpath="/d", versions={"liba.so": [("A_1", 0), ("A_9", 0), ("A_8", 2)]})
    world.add("/d/liba.so", soname="liba.so", defines=["A_1"])
    linkage = world.resolver().link_program("/p")
    assert [(one.version, one.provider, one.weak) for one in linkage.unversioned] == [
        ("A_9", "/d/liba.so", False),
        ("A_8", "/d/liba.so", True),
    ]


def test_a_library_without_any_versions_satisfies_them_all(world):
    world.program("/p", needed=["liba.so"], rpath="/d", versions={"liba.so": [("A_9", 0)]})
    world.add("/d/liba.so")
    assert world.resolver().link_program("/p").complete


def test_a_relative_search_path_is_reported_and_searched_from_the_working_directory(world):
    world.program("/p", needed=["liba.so"], rpath=":/d")
    world.add("/var/task/liba.so")
    linkage = world.resolver().link_program("/p")
    assert linkage.objects[1].path == "/var/task/liba.so"
    assert linkage.relative == ["/p: search path entry '' is relative"]


def test_lib_and_platform_are_expanded(world):
    world.program("/p", needed=["liba.so"], rpath="/x/$LIB/${PLATFORM}")
    world.add("/x/lib/x86_64-linux-gnu/haswell/liba.so")
    assert world.loads("/p")


def test_a_program_cannot_be_loaded_as_a_library(world):
    world.program("/p", needed=["q"], rpath="/d")
    world.add("/d/q", kind=2, interpreter=INTERPRETER)
    assert "cannot dynamically load executable" in world.resolver().link_program("/p").broken[0].reason


def test_a_file_that_does_not_exist_is_an_error(world):
    with pytest.raises(ElfError, match="no such file"):
        world.resolver().link_program("/nothing")


def test_the_glibc_floor_is_the_newest_version_that_is_not_weak(world):
    versions = {"libc.so.6": [("GLIBC_2.4", 0), ("GLIBC_2.34", 0), ("GLIBC_2.99", 2), ("GLIBC_PRIVATE", 0)]}
    world.program("/p", needed=["libc.so.6"], versions=versions)
    resolver = world.resolver()
    assert glibc_version(resolver.read(resolver.root.lookup("/p"))) == (2, 34)
