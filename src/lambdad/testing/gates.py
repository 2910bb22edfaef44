"""Gates for tests: one that lets everybody in, and what a gate knows of resources that nobody has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lambdad.identity.gate import AUTOMATIC, Gate
from lambdad.identity.keys import KeyFile
from lambdad.model.arn import Namespace

NOW = 1_700_000_000.0


class NoFacts:
    """Implements `identity.gate.Facts`: no tags, no mappings."""

    def tags(self, resource: str) -> Mapping[str, str]:
        return {}

    def mapped_function(self, namespace: Namespace, uuid: str) -> str | None:
        return None


def open_gate(region: str = "us-east-1") -> Gate:
    """A node before its first key."""
    nowhere = KeyFile(Path("/nonexistent/access-keys.json"))
    return Gate(nowhere, lambda *_: None, NoFacts(), lambda: NOW, mode=AUTOMATIC, region=region)
