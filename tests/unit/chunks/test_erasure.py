"""Any four of five fragments give the chunk back; damage is told apart."""

from __future__ import annotations

import itertools
import os

import pytest

from lambdad.chunks.erasure import FRAGMENTS, FragmentInvalid, check, join, split


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 100, 4095, 4096, 65_537, 524_288])
def test_any_four_of_five_give_the_chunk_back(size: int) -> None:
    data = os.urandom(size)
    fragments = split(data)
    assert len(fragments) == FRAGMENTS
    for index, fragment in enumerate(fragments):
        check(fragment, index)
        assert len(fragment) == 16 + -(-size // 4)
    for chosen in itertools.combinations(range(FRAGMENTS), 4):
        assert join({index: fragments[index] for index in chosen}) == data
    assert join(dict(enumerate(fragments))) == data


def test_three_are_too_few_and_fragments_of_two_chunks_do_not_mix() -> None:
    one, two = split(bytes(100)), split(bytes(101))
    with pytest.raises(FragmentInvalid, match="too few"):
        join({index: one[index] for index in range(3)})
    with pytest.raises(FragmentInvalid, match="different chunks"):
        join({0: one[0], 1: one[1], 2: one[2], 3: two[3]})


def test_every_changed_byte_and_every_cut_is_noticed() -> None:
    fragment = split(os.urandom(200))[2]
    for index in range(len(fragment)):
        changed = bytearray(fragment)
        changed[index] ^= 1
        with pytest.raises(FragmentInvalid):
            check(bytes(changed), 2)
        with pytest.raises(FragmentInvalid):
            check(fragment[:index], 2)
    with pytest.raises(FragmentInvalid):
        check(fragment, 3)
