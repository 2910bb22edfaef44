"""Releases: numbers of our own, ARNs of each region's."""

from __future__ import annotations

import pytest

from lambdad.pack.errors import PackError
from lambdad.pack.releases import (
    Placed,
    Release,
    dump_releases,
    parse_releases,
    resolve_arn,
    with_place,
    with_release,
)


def release(code: str = "a", arch: str = "x86_64") -> Release:
    return Release(
        number=0, arch=arch, content_digest="d", code_sha256=code, size=1, unzipped=2, base="debian12", glibc="2.36",
        versions={"apt:php": "8.2"},
    )  # fmt: skip


def published(*codes: str):
    table = {}
    for number, code in enumerate(codes, 1):
        table, _ = with_release(table, "php", release(code))
        table = with_place(table, "php", number, "eu", Placed("verified", number + 18, f"arn:eu:{number + 18}", "t"))
    return table


def test_the_same_bytes_keep_their_number_and_others_get_the_next():
    table, first = with_release({}, "php", release("a"))
    table, again = with_release(table, "php", release("a"))
    table, second = with_release(table, "php", release("b"))
    assert (first.number, again.number, second.number) == (1, 1, 2)


def test_the_file_survives_being_written_and_read():
    table = with_place(published("a", "b"), "php", 1, "us", Placed("published", 3, "arn:us:3", "t", "denied"))
    assert parse_releases(dump_releases(table)) == table


def test_a_reference_means_a_release_and_the_arn_is_the_regions():
    table = published("a", "b")
    assert resolve_arn(table, "php@1", "eu") == "arn:eu:19"
    assert resolve_arn(table, "php", "eu") == "arn:eu:20"


def test_a_release_that_is_not_usable_yet_is_not_given_out():
    table = with_place(published("a", "b"), "php", 2, "eu", Placed("published", 9, "arn:eu:9", "t"))
    assert resolve_arn(table, "php", "eu") == "arn:eu:19"
    with pytest.raises(PackError, match=r"php@2 is not published in eu; it is in: no place"):
        resolve_arn(table, "php@2", "eu")


def test_the_architecture_can_be_chosen():
    table, _ = with_release({}, "php", release("a"))
    table, arm = with_release(table, "php", release("a", "arm64"))
    table = with_place(table, "php", arm.number, "eu", Placed("verified", 7, "arn:arm", "t"))
    assert resolve_arn(table, "php", "eu", "arm64") == "arn:arm"
    with pytest.raises(PackError):
        resolve_arn(table, "php", "eu", "x86_64")


@pytest.mark.parametrize(
    ("reference", "place", "words"),
    [
        ("ruby", "eu", "never published from here; known layers: php"),
        ("php@9", "eu", "has no release 9; it has: 1, 2"),
        ("php", "us", "it is in: eu. Publish it there"),
    ],
)
def test_what_cannot_be_resolved_says_what_there_is(reference, place, words):
    with pytest.raises(PackError, match=words):
        resolve_arn(published("a", "b"), reference, place)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1}', '{"format": 1, "layers": {"a": [{}]}}'])
def test_a_broken_file_is_refused(text):
    with pytest.raises(PackError, match="cannot be read"):
        parse_releases(text)
