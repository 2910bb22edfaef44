"""What goes wrong while packing, said to the person who packs."""

from __future__ import annotations


class PackError(Exception):
    """Packing cannot go on. The text says what was wrong and what to do about it."""
