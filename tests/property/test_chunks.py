"""Chunks under arbitrary input: coding, erasure, the Redis parser, and LRU-K against a plain model."""

from __future__ import annotations

import hashlib

from hypothesis import given, settings
from hypothesis import strategies as st

from lambdad.chunks.codec import BLOCK_SIZE, Salt, Tails, decode_chunk, encode_chunk, trim
from lambdad.chunks.erasure import FragmentInvalid, check, join, split
from lambdad.chunks.lru_k import LruK
from lambdad.chunks.resp import ReplyParser, RespError

SALT = Salt("r1").encode()

sparse = st.lists(
    st.tuples(st.booleans(), st.integers(1, 3 * BLOCK_SIZE), st.integers(1, 255)), min_size=1, max_size=6
).map(lambda runs: b"".join((bytes([byte]) if is_data else b"\0") * length for is_data, length, byte in runs))


@settings(deadline=None)
@given(sparse, st.sampled_from(Tails))
def test_a_chunk_decodes_to_its_plaintext_but_for_zeros_at_the_end(plaintext: bytes, tails: Tails) -> None:
    encoded = encode_chunk(plaintext, SALT, tails)
    if encoded is None:
        assert not plaintext.strip(b"\0")
        return
    stored = decode_chunk(encoded.cipher_text, encoded.key)
    assert stored.ljust(len(plaintext), b"\0") == plaintext
    assert encoded.name == hashlib.sha256(encoded.cipher_text).digest()
    if tails is Tails.KEEP:
        assert stored == plaintext
    else:
        last_block = stored[(len(stored) - 1) // BLOCK_SIZE * BLOCK_SIZE :]
        assert last_block.strip(b"\0")
        assert trim(stored, tails) == stored


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=5000), st.integers(0, 4))
def test_any_fragment_may_be_lost(data: bytes, lost: int) -> None:
    fragments = {index: fragment for index, fragment in enumerate(split(data)) if index != lost}
    assert join(fragments) == data


@settings(deadline=None)
@given(st.binary(max_size=100), st.integers(0, 4))
def test_fragments_of_strangers_are_refused_with_the_one_error(data: bytes, index: int) -> None:
    for candidate in (data, b"LF\x01" + bytes([index]) + data):
        try:
            check(candidate, index)
        except FragmentInvalid:
            continue
        raise AssertionError("a random fragment passed")


@settings(deadline=None)
@given(st.lists(st.sampled_from([b"+OK\r\n", b"$3\r\nabc\r\n", b"$-1\r\n", b":1\r\n"]) | st.binary(max_size=20)))
def test_the_redis_parser_raises_only_its_own_error(pieces: list[bytes]) -> None:
    parser = ReplyParser()
    try:
        for piece in pieces:
            parser.feed(piece)
    except RespError:
        pass


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(1, 40), st.integers(0, 3)), max_size=200),
    st.integers(20, 100),
    st.integers(1, 3),
)
def test_lru_k_evicts_what_the_definition_says(requests: list[tuple[int, int, int]], capacity: int, k: int) -> None:
    """The model keeps every use of every key and looks at all of them."""
    policy: LruK[int] = LruK(capacity, k=k, correlated=0)
    uses: dict[int, list[int]] = {}
    held: dict[int, int] = {}
    now = 0

    def worst() -> int:
        def rank(key: int) -> tuple[float, int]:
            times = uses[key]
            return (times[-k] if len(times) >= k else float("-inf"), times[-1])

        return min(held, key=rank)

    for key, size, action in requests:
        now += 1
        if action == 0 and key in held:
            policy.discard(key)
            del held[key]
            uses[key] = []
            continue
        if key in held:
            policy.touch(key, now)
            uses[key].append(now)
            continue
        victims = []
        while held and sum(held.values()) + size > capacity and size <= capacity:
            victim = worst()
            victims.append(victim)
            del held[victim]
        result = policy.add(key, size, now)
        if size > capacity:
            assert result == [key]
            continue
        assert result == victims
        held[key] = size
        uses.setdefault(key, []).append(now)
        assert policy.used == sum(held.values()) <= capacity
        assert set(policy) == set(held)
