"""Pruning: what globs mean, and what an entry point reaches."""

from __future__ import annotations

import pytest
from tests.unit.pack.elves import make_elf

from lambdad.pack.prune import matching, unreachable
from lambdad.pack.resolver import Resolver
from lambdad.pack.target import X86_64
from lambdad.pack.tree import Place, Root

PATHS = ["bin/php", "lib/a.so", "lib/sub/b.so", "share/doc/x/copyright", "share/docs"]


@pytest.mark.parametrize(
    ("glob", "found"),
    [
        ("lib/*.so", {"lib/a.so"}),
        ("lib/**/*.so", {"lib/a.so", "lib/sub/b.so"}),
        ("**/*.so", {"lib/a.so", "lib/sub/b.so"}),
        ("share/doc", {"share/doc/x/copyright"}),
        ("share/doc/", {"share/doc/x/copyright"}),
        ("bin/ph?", {"bin/php"}),
        ("lib/[ab].so", set()),
        ("bin", {"bin/php"}),
    ],
)
def test_globs(glob, found):
    assert matching(PATHS, [glob]) == (found, [] if found else [glob])


def test_what_entry_points_link_to_or_mention_is_kept_and_other_elf_files_go(tmp_path):
    files = {
        "bin/php": make_elf(interpreter="/ld", needed=["liba.so"], rpath="/opt/lib") + b"\0libplugin.so\0",
        "bin/other": make_elf(interpreter="/ld"),
        "lib/liba.so.1": make_elf(needed=["libb.so"], rpath="/opt/lib"),
        "lib/libb.so": make_elf(),
        "lib/libplugin.so": make_elf(needed=["libc2.so"], rpath="/opt/lib"),
        "lib/libc2.so": make_elf(),
        "lib/unused.so.1": make_elf(),
        "share/data": b"data",
    }
    for path, data in files.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(data)
    (tmp_path / "lib/liba.so").symlink_to("liba.so.1")
    (tmp_path / "lib/unused.so").symlink_to("unused.so.1")
    resolver = Resolver(Root(Place("/opt", (tmp_path,))), X86_64)
    gone = unreachable(resolver, list(resolver.root.walk("/opt")), ["bin/php"])
    assert gone == {"bin/other", "lib/unused.so.1", "lib/unused.so"}
