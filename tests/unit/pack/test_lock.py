"""Locks: stable text, closures and chains of dependencies."""

from __future__ import annotations

import pytest

from lambdad.pack.errors import PackError
from lambdad.pack.lock import Lock, Pin, dump_lock, parse_lock


def pin(name: str, *depends: str, source: str = "apt") -> Pin:
    return Pin(source=source, name=name, version="1", sha256=name * 3, size=7, filename=f"{name}.deb", depends=depends)


LOCK = Lock(
    base="b" * 64,
    arch="x86_64",
    wanted="w",
    pins=(pin("git", "perl", "curl"), pin("curl", "ssl"), pin("ssl", "curl"), pin("php"), pin("git", source="pip")),
    npm='{"lockfileVersion": 3}',
)


def test_a_lock_survives_being_written_and_read():
    back = parse_lock(dump_lock(LOCK))
    assert sorted(back.pins, key=repr) == sorted(LOCK.pins, key=repr)
    assert (back.base, back.arch, back.wanted, back.npm) == (LOCK.base, LOCK.arch, LOCK.wanted, LOCK.npm)


def test_the_text_does_not_depend_on_the_order_of_packages():
    shuffled = Lock(base=LOCK.base, arch=LOCK.arch, wanted="w", pins=LOCK.pins[::-1], npm=LOCK.npm)
    assert dump_lock(shuffled) == dump_lock(LOCK)


def test_a_closure_takes_what_is_locked_and_leaves_the_rest_to_the_base():
    assert [one.name for one in LOCK.closure("apt", ["git"])] == ["git", "curl", "ssl"]
    assert LOCK.closure("apt", ["perl"]) == ()


def test_a_chain_is_the_shortest_way_from_the_recipe():
    assert LOCK.chain("apt", ["php", "git"], "ssl") == ("git", "curl", "ssl")
    assert LOCK.chain("apt", ["git"], "git") == ("git",)
    assert LOCK.chain("apt", ["git"], "php") == ()


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 1}', '{"format": 1, "packages": [{}]}', "[" * 100_000])
def test_a_broken_lock_says_how_to_make_a_new_one(text):
    with pytest.raises(PackError, match="--update"):
        parse_lock(text)


def test_a_lock_of_another_format_is_refused():
    with pytest.raises(PackError, match="format 9"):
        parse_lock('{"format": 9, "packages": []}')
