"""Addresses of chunk stores."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.node.chunk_address import StoreAddress, parse_store


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", StoreAddress()),
        ("/srv/chunks", StoreAddress(directory="/srv/chunks")),
        ("s3://my-bucket", StoreAddress(bucket="my-bucket")),
        ("s3://my-bucket/", StoreAddress(bucket="my-bucket")),
        ("s3://my.bucket/node-1/images/", StoreAddress(bucket="my.bucket", prefix="node-1/images")),
    ],
)
def test_a_store_is_the_nodes_own_a_directory_or_a_bucket(text: str, expected: StoreAddress) -> None:
    assert parse_store(text) == expected


@pytest.mark.parametrize("text", ["chunks", "./chunks", "s3://", "s3://A", "s3://bucket/../x", "http://b", "s3:/b"])
def test_another_text_is_no_store(text: str) -> None:
    with pytest.raises(ValueError, match="absolute directory or s3://"):
        parse_store(text)


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_a_value_error(text: str) -> None:
    try:
        parse_store(text)
    except ValueError as error:
        assert repr(text) in str(error)  # either outcome is fine
