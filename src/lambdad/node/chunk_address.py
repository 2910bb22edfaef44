"""Addresses of chunk stores, as people write them. Pure. Those of cache nodes: `chunks.cache_address`."""

from __future__ import annotations

import re
from dataclasses import dataclass

_BUCKET = re.compile(
    r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(?P<prefix>[A-Za-z0-9][A-Za-z0-9._/-]*?))?/?"
)


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """directory: absolute; empty for the node's own, and for a bucket. bucket: empty for a directory."""

    directory: str = ""
    bucket: str = ""
    prefix: str = ""


def parse_store(text: str) -> StoreAddress:
    """`s3://BUCKET[/PREFIX]`, an absolute directory, or nothing. Raises ValueError."""
    if not text:
        return StoreAddress()
    if text.startswith("/"):
        return StoreAddress(directory=text)
    match = _BUCKET.fullmatch(text)
    if match is None or ".." in text:
        raise ValueError(f"a chunk store is an absolute directory or s3://BUCKET/PREFIX, not {text!r}")
    return StoreAddress(bucket=match["bucket"], prefix=match["prefix"] or "")
