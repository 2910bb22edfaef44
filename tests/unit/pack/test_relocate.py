"""Moving paths without changing lengths, and only those that the layer owns."""

from __future__ import annotations

import pytest

from lambdad.pack.relocate import Mapping, Ownership, canonical, rewrite_bytes, rewrite_link

OWNED = Ownership(
    ["/usr/bin/git", "/usr/lib/git-core", "/usr/lib/git-core/git-push", "/etc/php", "/var/lib/php", "/etc/fonts"],
    frozenset({"/usr/bin", "/usr/lib", "/etc/pas"}),
)
MAP = Mapping()


def moved(text: bytes, **options) -> bytes:
    return rewrite_bytes(text, OWNED, MAP, **options).data


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"#!/usr/bin/git\n", b"#!/opt/bin/git\n"),
        (b"\0/usr/lib/git-core\0", b"\0/opt/lib/git-core\0"),
        (b"'/usr/lib/git-core/git-%s'", b"'/opt/lib/git-core/git-%s'"),
        (b"a:/usr/bin:/etc/php/8.2:b", b"a:/usr/bin:/opt/php/8.2:b"),
        (b"file:///etc/php/x", b"file:///opt/php/x"),
        (b"See /usr/bin/git.", b"See /opt/bin/git."),
        (b"session.save_path=/var/lib/php/sessions", b"session.save_path=/opt/lib/php/sessions"),
    ],
)
def test_owned_paths_move(before, after):
    assert moved(before) == after


@pytest.mark.parametrize(
    "text",
    [
        b"#!/bin/sh\n",
        b"#!/usr/bin/env git\n",
        b"/usr/share/zoneinfo",
        b"/usr/bin/gitk",
        b"/usr/lib/git-core2/x",
        b"/build/git/usr/bin/git",
        b"/usr/",
        b"/etc/passwd",
        b"/opt/lib/git-core",
        b"",
    ],
)
def test_everything_else_stays(text):
    assert moved(text) == text


def test_a_lone_prefix_moves_only_where_it_was_asked_for():
    data = b"\0/usr\0share/git-core\0/usr/\0/usr\nx\0"
    assert moved(data) == data
    assert moved(data, bare_prefix=True) == b"\0/opt\0share/git-core\0/opt/\0/usr\nx\0"


def test_paths_inside_instructions_are_reported_or_moved():
    code = b"\x48\xb8/etc/fon\x48\x89\x07"
    seen = rewrite_bytes(code, OWNED, MAP)
    assert (seen.data, seen.immediates) == (code, ("/etc/fon",))
    assert moved(code, immediates=True) == b"\x48\xb8/opt/fon\x48\x89\x07"


@pytest.mark.parametrize("beginning", [b"/etc/pas", b"/usr/lib", b"/etc/xyz"])
def test_a_beginning_that_the_base_shares_is_left_alone(beginning):
    code = b"\x48\xb8" + beginning
    assert rewrite_bytes(code, OWNED, MAP, immediates=True).data == code


def test_writable_state_moves_to_tmp():
    mapping = Mapping(("/var/lib/php",))
    assert rewrite_bytes(b"/var/lib/php/sessions", OWNED, mapping).data == b"/tmp/lib/php/sessions"
    assert mapping.target("/var/lib/php/x") == "/tmp/lib/php/x"
    assert mapping.target("/var/lib/phpx") == "/opt/lib/phpx"


@pytest.mark.parametrize(
    ("path", "target"),
    [("/usr/bin/x", "/opt/bin/x"), ("/etc/x", "/opt/x"), ("/usr", None), ("/run/x", None), ("/opt/x", "/opt/x")],
)
def test_where_paths_go(path, target):
    assert MAP.target(path) == target


def test_merged_usr_is_seen_through():
    assert canonical("/lib/x86_64-linux-gnu/../a") == "/usr/lib/a"
    assert canonical("/bin/sh") == "/usr/bin/sh"
    assert canonical("/usr/./lib//x") == "/usr/lib/x"


@pytest.mark.parametrize(
    ("origin", "target", "result"),
    [
        ("/usr/lib/git-core/git-push", "../../bin/git", "../../bin/git"),
        ("/usr/lib/git-core/x", "/usr/bin/git", "../../bin/git"),
        ("/etc/php/x", "/usr/bin/git", "../bin/git"),
        ("/usr/bin/x", "/etc/php/y", "../php/y"),
        ("/usr/bin/x", "/bin/sh", "/usr/bin/sh"),
        ("/usr/bin/x", "../share/zoneinfo", "/usr/share/zoneinfo"),
        ("/usr/bin/x", "/proc/self/mounts", "/proc/self/mounts"),
    ],
)
def test_links_follow_what_they_meant(origin, target, result):
    assert rewrite_link(origin, target, OWNED, MAP) == result
