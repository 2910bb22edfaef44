"""Findings: each of the things that go wrong in production, found on the desk."""

from __future__ import annotations

import pytest
from tests.unit.pack.elves import make_elf

from lambdad.model.limits import UNZIPPED_MAX
from lambdad.pack.check import Severity, check_linkage, check_merge, check_paths, check_shadowing, check_size
from lambdad.pack.manifest import FileEntry, scan_tree
from lambdad.pack.resolver import Resolver
from lambdad.pack.target import LIBRARY_PATH, X86_64
from lambdad.pack.tree import Place, Root

INTERPRETER = "/lib64/ld-linux-x86-64.so.2"


@pytest.fixture
def world(tmp_path):
    (tmp_path / "base/lib64").mkdir(parents=True)
    (tmp_path / "base/usr/bin").mkdir(parents=True)
    (tmp_path / "opt").mkdir()
    (tmp_path / "base/lib64/ld-linux-x86-64.so.2").write_bytes(make_elf(soname="ld-linux-x86-64.so.2"))
    return tmp_path


def put(world, path: str, data: bytes) -> None:
    host = world / path
    host.parent.mkdir(parents=True, exist_ok=True)
    host.write_bytes(data)


def resolver(world) -> Resolver:
    root = Root(Place("/", (world / "base",)), Place("/opt", (world / "opt",)))
    return Resolver(root, X86_64, library_path=LIBRARY_PATH)


def linkage(world):
    one = resolver(world)
    return check_linkage(one, list(one.root.walk("/opt")))


def rules(findings) -> list[tuple[str, str, str]]:
    return [(finding.severity, finding.rule, finding.path) for finding in findings]


def test_a_missing_library_of_a_program_is_an_error_and_of_a_plugin_a_warning(world):
    put(world, "opt/bin/p", make_elf(needed=["libgone.so"], interpreter=INTERPRETER))
    put(world, "opt/lib/plugin.so", make_elf(needed=["libgone.so"]))
    found = linkage(world)
    assert rules(found.findings) == [
        ("error", "missing-library", "bin/p"),
        ("warning", "missing-library", "lib/plugin.so"),
    ]
    assert "libgone.so" in found.findings[0].text
    assert (found.programs, found.libraries) == (1, 1)


def test_a_missing_library_is_reported_once_at_the_file_that_wants_it(world):
    put(world, "opt/bin/p", make_elf(needed=["liba.so"], interpreter=INTERPRETER))
    put(world, "opt/lib/liba.so", make_elf(needed=["libgone.so"]))
    assert rules(linkage(world).findings) == [("warning", "missing-library", "lib/liba.so")]


def test_a_newer_glibc_than_the_bases_is_named_with_its_symbol_version_and_provider(world):
    put(world, "base/lib64/libc.so.6", make_elf(soname="libc.so.6", defines=["GLIBC_2.34"]))
    put(
        world,
        "opt/bin/p",
        make_elf(needed=["libc.so.6"], interpreter=INTERPRETER, versions={"libc.so.6": [("GLIBC_2.36", 0)]}),
    )
    found = linkage(world)
    assert rules(found.findings) == [("error", "version", "bin/p")]
    assert all(word in found.findings[0].text for word in ("GLIBC_2.36", "/lib64/libc.so.6", "older glibc"))
    assert found.glibc == (2, 36)


def test_a_missing_interpreter_is_named_because_the_kernel_does_not(world):
    put(world, "opt/bin/p", make_elf(interpreter="/opt/ld-musl.so.1"))
    assert "the interpreter /opt/ld-musl.so.1 does not exist" in linkage(world).findings[0].text


def test_broken_foreign_and_static_files_are_told_apart(world):
    put(world, "opt/lib/broken.so", make_elf(needed=["a"])[:100])
    put(world, "opt/lib/arm.so", make_elf(machine=183))
    put(world, "opt/bin/static", make_elf(dynamic=False, kind=2))
    put(world, "opt/bin/script", b"#!/bin/sh\n")
    assert rules(linkage(world).findings) == [
        ("warning", "wrong-machine", "lib/arm.so"),
        ("error", "broken-elf", "lib/broken.so"),
    ]


def test_a_relative_search_path_is_a_warning(world):
    put(world, "opt/bin/p", make_elf(interpreter=INTERPRETER, rpath="lib:", needed=["x.so"]))
    put(world, "opt/lib/x.so", make_elf())
    assert {rule for _, rule, _ in rules(linkage(world).findings)} == {"relative-rpath"}


def test_a_library_that_the_system_shadows_is_named_with_its_users(world):
    put(world, "base/lib64/libcurl.so.4", make_elf(soname="libcurl.so.4"))
    put(world, "opt/lib/libcurl.so.4", make_elf(soname="libcurl.so.4"))
    put(world, "opt/bin/plain", make_elf(needed=["libcurl.so.4"], interpreter=INTERPRETER))
    put(world, "opt/bin/rpath", make_elf(needed=["libcurl.so.4"], interpreter=INTERPRETER, rpath="/opt/lib"))
    one = resolver(world)
    found = check_shadowing(one, list(one.root.walk("/opt")), {"libcurl.so.4": "/lib64/libcurl.so.4"})
    assert rules(found) == [("warning", "shadowed", "lib/libcurl.so.4")]
    assert "/opt/bin/plain" in found[0].text and "/opt/bin/rpath" not in found[0].text


def entry(path: str, kind: str = "file", mode: int = 0o644, digest: str = "x") -> FileEntry:
    return FileEntry(path=path, kind=kind, mode=mode, size=1, digest=digest)


def test_links_and_modes_that_fail_at_run_time(world):
    (world / "opt/dead").symlink_to("nothing")
    (world / "opt/state").symlink_to("/tmp/state")
    (world / "base/tmp/state").mkdir(parents=True)
    found = check_paths(
        resolver(world),
        [
            *scan_tree(world / "opt"),
            entry("secret", mode=0o600),
            entry("bootstrap"),
            entry("extensions/agent"),
            entry("extensions/dir", "directory", 0o755),
            entry("bin/su", mode=0o4755),
        ],
    )
    assert [(rule, path) for _, rule, path in rules(found)] == [
        ("dangling-link", "dead"),
        ("link-to-tmp", "state"),
        ("unreadable", "secret"),
        ("not-executable", "bootstrap"),
        ("not-executable", "extensions/agent"),
        ("extension", "extensions/dir"),
        ("setuid", "bin/su"),
    ]


def test_the_sum_is_checked_and_says_who_has_how_much():
    found = check_size({"layer": UNZIPPED_MAX - 10, "function": 11}, "layer", 60 * 1024**2, 1_000)
    assert [(finding.severity, finding.rule) for finding in found] == [
        (Severity.ERROR, "size"),
        (Severity.ERROR, "budget"),
        (Severity.NOTE, "zip-size"),
    ]
    assert "function 11" in found[0].text
    assert check_size({"layer": 10}, "layer", 10, 100)[0].severity is Severity.NOTE


def test_layers_that_meet_are_compared():
    found = check_merge(
        [
            ("a", [entry("same"), entry("other"), entry("dir", "directory"), entry("link", "link")]),
            ("b", [entry("same"), entry("other", digest="y"), entry("dir"), entry("link")]),
        ]
    )
    assert rules(found) == [
        ("warning", "conflict", "other"),
        ("error", "type-clash", "dir"),
        ("warning", "conflict", "link"),
    ]
    assert check_merge([(str(number), []) for number in range(6)])[0].text == "Cannot reference more than 5 layers."
