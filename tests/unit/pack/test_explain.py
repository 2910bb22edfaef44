"""Why a file is there, what changed, and what layers share."""

from __future__ import annotations

import pytest
from tests.unit.pack.elves import make_elf

from lambdad.pack.explain import compare, explain, find_entries, split_shared
from lambdad.pack.manifest import FileEntry, Manifest, PackageEntry, content_digest
from lambdad.pack.resolver import Resolver
from lambdad.pack.target import X86_64
from lambdad.pack.tree import Place, Root


def entry(path: str, package: str = "", digest: str = "x", kind: str = "file", origin: str = "") -> FileEntry:
    size = 0 if kind == "directory" else 10
    return FileEntry(path=path, kind=kind, mode=0o644, size=size, digest=digest, package=package, origin=origin)


def manifest(*files: FileEntry, packages: dict[str, str] | None = None, name: str = "l") -> Manifest:
    return Manifest(
        name=name, arch="x86_64", base="b", base_name="debian12", glibc="2.34", files=files,
        content_digest=content_digest(files),
        packages=tuple(
            PackageEntry(name=name, version=version, size=10, wanted_by=("git", name.partition(":")[2]))
            for name, version in (packages or {}).items()
        ),
    )  # fmt: skip


LAYER = manifest(
    entry("bin/git", "apt:git", origin="/usr/bin/git"),
    entry("lib/libz.so.1", "apt:zlib", origin="/usr/lib/libz.so.1"),
    entry("own"),
    packages={"apt:git": "2", "apt:zlib": "1"},
)


@pytest.mark.parametrize("wanted", ["bin/git", "/opt/bin/git", "/usr/bin/git", "git"])
def test_a_file_is_found_by_any_of_its_names(wanted):
    assert [found.path for found in find_entries(LAYER, wanted)] == ["bin/git"]


def test_a_library_knows_its_package_its_chain_and_who_loads_it(tmp_path):
    for path, data in {
        "bin/git": make_elf(needed=["libz.so.1"], rpath="/opt/lib", interpreter="/ld.so"),
        "lib/libz.so.1": make_elf(soname="libz.so.1"),
        "own": b"text",
    }.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(data)
    resolver = Resolver(Root(Place("/opt", (tmp_path,))), X86_64)
    reason = explain(LAYER, LAYER.files[1], resolver)
    assert (reason.package, reason.version, reason.chain) == ("apt:zlib", "1", ("git", "zlib"))
    assert reason.users == ("bin/git",)
    assert explain(LAYER, LAYER.files[2], resolver).package == "own file"


def test_a_difference_names_packages_files_and_growth():
    after = manifest(entry("bin/git", digest="y"), entry("new"), packages={"apt:git": "3", "apt:new": "1"})
    difference = compare(LAYER, after)
    assert difference.packages == (("apt:git", "2", "3"), ("apt:new", "", "1"), ("apt:zlib", "1", ""))
    assert [one.path for one in difference.added] == ["new"]
    assert [one.path for one in difference.removed] == ["lib/libz.so.1", "own"]
    assert [old.path for old, _ in difference.changed] == ["bin/git"]
    assert (difference.size_before, difference.size_after) == (30, 20)


def test_what_layers_share_is_taken_out_as_whole_packages():
    lib = entry("lib", kind="directory")
    one = manifest(lib, entry("lib/a", "apt:a"), entry("lib/a2", "apt:a"), entry("lib/z", "apt:z", "1"), entry("x"))
    two = manifest(lib, entry("lib/a", "apt:a"), entry("lib/a2", "apt:a"), entry("lib/z", "apt:z", "2"), entry("x"))
    split = split_shared([one, two])
    assert [found.path for found in split.shared] == ["lib", "lib/a", "lib/a2"]
    assert (split.packages, split.kept) == (("apt:a",), ("apt:z",))
    assert [[found.path for found in rest] for rest in split.rests] == [["lib", "lib/z", "x"]] * 2


def test_directories_that_become_empty_go_with_their_files():
    one = manifest(entry("lib", kind="directory"), entry("lib/a", "apt:a"), entry("x"))
    split = split_shared([one, one])
    assert [found.path for found in split.rests[0]] == ["x"]
