"""The X-Ray trace of a request that brought none."""

from __future__ import annotations

import random


def new_trace_id(now: float) -> str:
    """A root for X-Ray: version, seconds in hex, 96 random bits; unsampled. now: seconds since the epoch."""
    root, parent = random.getrandbits(96), random.getrandbits(64)
    return f"Root=1-{int(now):08x}-{root:024x};Parent={parent:016x};Sampled=0"
