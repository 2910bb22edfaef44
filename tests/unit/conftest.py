"""What all unit tests share: the process's log is as it was, whatever a test did to it."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _log_is_left_as_it_was() -> Iterator[None]:
    """A test that configures the log must not silence what a later one listens for."""
    root, own = logging.getLogger(), logging.getLogger("lambdad")
    handlers, level, own_level = list(root.handlers), root.level, own.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    own.setLevel(own_level)
