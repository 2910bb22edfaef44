"""Addresses of cache nodes, and that no message shows a password."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.chunks.cache_address import CacheAddress, parse_cache_address


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("redis://10.0.0.1:6379", CacheAddress("10.0.0.1", 6379)),
        ("cache-1.local:1", CacheAddress("cache-1.local", 1)),
        ("redis://[::1]:6380/", CacheAddress("::1", 6380)),
        ("redis://cache", CacheAddress("cache", 6379)),
        ("rediss://cache:1", CacheAddress("cache", 1, is_tls=True)),
        ("redis://:hush@cache:1", CacheAddress("cache", 1, password="hush")),
        ("redis://hush@cache:1", CacheAddress("cache", 1, password="hush")),
        ("rediss://me:h%40%3A%2Fsh@cache:1", CacheAddress("cache", 1, "me", "h@:/sh", True)),
    ],
)
def test_an_address_has_a_host_and_may_have_a_login(text: str, expected: CacheAddress) -> None:
    found = parse_cache_address(text)
    assert (found, found.password) == (expected, expected.password)


NO_ADDRESSES = (
    "",
    "host",
    "host:0",
    "host:65536",
    "redis://",
    "http://h:1",
    "redis://h:1/2",
    "redis://h:1?ssl=no",
    "me:hush@h:1",
    "redis://me:@h:1",
    "redis://a b:hush@h:1",
    "redis://me:hush@h:1/0",
    "redis://me:hush@ha@h:1",
)


@pytest.mark.parametrize("text", NO_ADDRESSES)
def test_another_text_is_refused_without_its_password(text: str) -> None:
    with pytest.raises(ValueError, match=r"redis://\[USER:PASSWORD@\]HOST:PORT") as raised:
        parse_cache_address(text)
    assert "hush" not in str(raised.value)


def test_the_name_is_the_server_alone_and_nothing_shows_the_password() -> None:
    address = parse_cache_address("rediss://me:hush@[::1]:7")
    assert address.name == "[::1]:7"
    assert "hush" not in repr(address)


@given(
    st.builds(
        CacheAddress,
        st.sampled_from(["h", "10.0.0.1", "::1"]),
        st.integers(1, 65535),
        st.text(max_size=20),
        st.text(min_size=1, max_size=20),
        st.booleans(),
    )
)
def test_an_address_survives_its_url(address: CacheAddress) -> None:
    again = parse_cache_address(address.url())
    assert (again, again.password) == (address, address.password)


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_a_value_error(text: str) -> None:
    try:
        parse_cache_address(text)
    except ValueError as error:
        assert "a cache node is" in str(error)  # either outcome is fine
