"""Whether this host can make a base and layers from Debian, and what is its fault if that fails."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lambdad.pack.errors import PackError
from lambdad.pack.process import run_tool
from lambdad.testing.loader_oracle import why_no_sandbox

_HOST_REASONS = (
    "Temporary failure", "Could not resolve", "Unable to connect", "Failed to fetch", "Connection failed", "timed out",
    "Operation not permitted", "No space left", "did not finish within",
)  # fmt: skip


def why_not() -> str | None:
    """Why this host cannot build a base, or None."""
    if os.geteuid() != 0:
        return "not root"
    for tool in ("mmdebstrap", "apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed"
    if os.uname().machine != "x86_64":
        return "not x86_64"
    try:
        run_tool(["apt-get", "-qq", "--print-uris", "install", "--reinstall", "-y", "git"], timeout_s=30)
    except PackError as error:
        return f"apt has no package lists: {error}"
    return why_no_sandbox()


@contextmanager
def unless_the_host_cannot() -> Iterator[None]:
    """Skip, with the reason, when the mirror or the host fails; everything else is a failure of ours."""
    try:
        yield
    except PackError as error:
        for reason in _HOST_REASONS:
            if reason in str(error):
                pytest.skip(f"the host or the Debian mirror failed: {reason}")
        raise
