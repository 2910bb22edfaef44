"""The one way in which a command fails: a line for the user."""

from __future__ import annotations


class CliError(Exception):
    """What was wrong and what to do, in one line. The command ends with exit status 1."""
