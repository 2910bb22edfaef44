"""Ranges."""

from __future__ import annotations

import pytest

from lambdad.block.interface import BlockError, NoSpace, check_range


@pytest.mark.parametrize(("offset", "length"), [(0, 0), (0, 10), (10, 0), (3, 4)])
def test_ranges_inside_pass(offset: int, length: int) -> None:
    check_range(10, offset, length)


@pytest.mark.parametrize(("offset", "length"), [(-1, 1), (0, 11), (11, 0), (10, 1), (0, -1)])
def test_ranges_outside_are_refused(offset: int, length: int) -> None:
    with pytest.raises(ValueError, match="not inside a disk of 10 bytes"):
        check_range(10, offset, length)


def test_no_space_is_a_block_error() -> None:
    assert issubclass(NoSpace, BlockError)
