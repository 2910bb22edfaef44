"""Gates for tests: one that lets everybody in, and one with keys."""

from __future__ import annotations

from pathlib import Path

from lambdad.identity.gate import AUTOMATIC, Gate
from lambdad.identity.keys import KeyFile

NOW = 1_700_000_000.0


def open_gate(region: str = "us-east-1") -> Gate:
    """A node before its first key."""
    nowhere = KeyFile(Path("/nonexistent/access-keys.json"))
    return Gate(nowhere, lambda *_: None, lambda _: {}, lambda: NOW, mode=AUTOMATIC, region=region)
