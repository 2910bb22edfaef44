"""What is wrong with a template or its deployment."""

from __future__ import annotations


class StackError(Exception):
    """The text names the template's part and what to do about it."""
