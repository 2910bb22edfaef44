"""Why pip finds no wheel for a target, in a sentence: its own says "from versions: none" whatever the reason.

It asks pip once more what it saw and passed over. Nothing is built and nothing of a package is run.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

_UNMET = re.compile(r"No matching distribution found for (?P<requirement>[^\s;]+)")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_EXACT = re.compile(r"[=]=\s*(?P<version>[^\s,;*]+)$")
_SOURCE = re.compile(r"Skipping link: No sources permitted for \S+: \S*?(?P<file>[^/\s#]+)(?:#\S*)?(?:\s|$)")
_FOREIGN = re.compile(r"Skipping link: none of the wheel's tags \([^)]*\) are compatible [^:]*: (?P<link>\S+)")
_WHEEL = re.compile(r"(?P<file>[^/\s#]+\.whl)")
_TIMEOUT_S = 120.0
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Passed:
    """What pip passed over. sources, wheels: file names."""

    sources: tuple[str, ...]
    wheels: tuple[str, ...]


def unmet_requirement(output: str) -> str | None:
    """The requirement that pip, by what it printed, found nothing for."""
    match = _UNMET.search(output)
    return None if match is None else match["requirement"]


def explain_no_wheel(requirement: str, download: Sequence[str], target: str) -> str | None:
    """Why there is no wheel, and what to do; None if pip does not say.

    download: the command that failed, without requirements. target: words for what was wanted, such as `CPython 3.12
    on arm64`.
    """
    name = _NAME.match(requirement)
    if name is None:
        return None
    command = [*(word for word in download if word != "--quiet"), "-vv", "--no-deps", requirement]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT_S)
    except (OSError, subprocess.SubprocessError):
        return None
    exact = _EXACT.search(requirement)
    passed = passed_over((done.stdout + done.stderr).decode(errors="replace"), exact["version"] if exact else None)
    return describe(name[0], passed, target)


def passed_over(output: str, version: str | None) -> Passed:
    """The files that pip saw and did not take; of one version, if that is what was asked for."""
    sources = [match["file"] for match in _SOURCE.finditer(output)]
    links = [_WHEEL.search(match["link"]) for match in _FOREIGN.finditer(output)]
    wheels = [link["file"] for link in links if link is not None]
    return Passed(_of(sources, version), _of(wheels, version))


def describe(name: str, passed: Passed, target: str) -> str | None:
    if passed.wheels:
        newest = ", ".join(reversed(passed.wheels[-_SHOWN:]))
        return f"{name} has no wheel for {target}; there are others, such as {newest}"
    if passed.sources:
        return (
            f"{name} comes as source only ({passed.sources[-1]}): to build it would run its code, and make it for this "
            f"machine, not for {target}. Build a wheel with `pip wheel --no-deps {name}` on a machine like the target, "
            "and name its directory in requirements.txt: --find-links DIR"
        )
    return None


def _of(files: Sequence[str], version: str | None) -> tuple[str, ...]:
    return tuple(file for file in files if version is None or f"-{version}-" in file or f"-{version}." in file)
