"""Versions of rpm packages, against what rpm itself says of these pairs."""

from __future__ import annotations

import pytest

from lambdad.pack.rpm_version import Capability, Evr, compare, compare_parts, satisfies

NEWER = [
    ("1.0", "0.9"), ("1.10", "1.9"), ("1.0.1", "1.0"), ("2", "1.9.9"), ("1.0a", "1.0"), ("1.0b", "1.0a"), ("10", "9a"),
    ("1.0.1", "1.0.a"), ("1.0", "1.0~rc1"), ("1.0~rc2", "1.0~rc1"), ("1.0^git1", "1.0"), ("1.0.1", "1.0^git1"),
    ("1.0^git2", "1.0^git1"), ("1.0~rc1^git1", "1.0~rc1"), ("20", "3"), ("5.16.1.3", "5.16.1"), ("1.1", "1.01~1"),
]  # fmt: skip
SAME = [("1.0", "1.0"), ("1.00", "1.0"), ("1_0", "1.0"), ("010", "10"), ("1.", "1")]


@pytest.mark.parametrize(("newer", "older"), NEWER)
def test_order(newer, older):
    assert (compare_parts(newer, older), compare_parts(older, newer)) == (1, -1)


@pytest.mark.parametrize(("one", "two"), SAME)
def test_what_rpm_calls_the_same(one, two):
    assert compare_parts(one, two) == 0


def test_epochs_come_first_and_releases_last_and_only_if_both_have_one():
    assert compare(Evr(1, "1"), Evr(0, "9")) == 1
    assert compare(Evr(0, "1", "2"), Evr(0, "1", "10")) == -1
    assert compare(Evr(0, "1", "2"), Evr(0, "1")) == 0
    assert str(Evr(1, "2", "3")) == "1:2-3" and str(Evr(0, "2")) == "2"


def cap(flag: str, version: str, name: str = "x") -> Capability:
    return Capability(name, flag, Evr(0, version) if flag else None)


@pytest.mark.parametrize(
    ("provided", "wanted", "meet"),
    [
        (cap("EQ", "1"), cap("", ""), True),
        (cap("", ""), cap("GE", "9"), True),
        (cap("EQ", "2"), cap("GE", "1"), True),
        (cap("EQ", "1"), cap("GE", "2"), False),
        (cap("EQ", "1"), cap("EQ", "1"), True),
        (cap("EQ", "1"), cap("LT", "1"), False),
        (cap("EQ", "1"), cap("LE", "1"), True),
        (cap("GE", "1"), cap("LT", "1"), False),
        (cap("GE", "1"), cap("LE", "1"), True),
        (cap("LT", "5"), cap("GT", "9"), False),
        (cap("LT", "5"), cap("LT", "1"), True),
        (cap("GT", "1"), cap("GE", "1"), True),
        (cap("GT", "1"), cap("LE", "1"), False),
        (cap("EQ", "1"), cap("EQ", "1", "y"), False),
    ],
)
def test_ranges_meet_or_not(provided, wanted, meet):
    assert satisfies(provided, wanted) is meet


def test_a_wish_is_written_as_rpm_writes_it():
    assert str(cap("GE", "1")) == "x >= 1" and str(cap("", "")) == "x"
