"""Where this host may keep interpreters: lists of paths that exist, nothing is run.

Version managers and CI images each have their own place; all of them are looked at, because the interpreter that
somebody installed for this purpose is rarely the one on PATH.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchPlaces:
    """path: directories of PATH. homes: home directories whose version managers count. roots: `/`, or nothing where
    only the others shall count. own: the interpreter that runs lambdad, or an empty string.
    """

    path: tuple[str, ...]
    homes: tuple[str, ...]
    roots: tuple[str, ...] = ()
    own: str = ""


_PYTHON_IN_HOME = (".pyenv/versions/*/bin", ".local/share/uv/python/*/bin", ".local/share/mise/installs/python/*/bin")
_NODE_IN_HOME = (
    ".nvm/versions/node/*/bin",
    ".local/share/fnm/node-versions/*/installation/bin",
    ".local/share/mise/installs/node/*/bin",
    ".volta/tools/image/node/*/bin",
)
_RUBY_IN_HOME = (
    ".rbenv/versions/*/bin",
    ".rubies/*/bin",
    ".rvm/rubies/*/bin",
    ".local/share/mise/installs/ruby/*/bin",
)
_JAVA_IN_HOME = (
    ".sdkman/candidates/java/*/bin",
    ".jdks/*/bin",
    ".local/share/mise/installs/java/*/bin",
)
_PYTHON_IN_ROOT = ("opt/*/bin", "opt/python/*/bin", "opt/hostedtoolcache/Python/*/*/bin")
_NODE_IN_ROOT = ("opt/*/bin", "opt/hostedtoolcache/node/*/*/bin", "usr/local/n/versions/node/*/bin")
_RUBY_IN_ROOT = ("opt/*/bin", "opt/rubies/*/bin", "opt/hostedtoolcache/Ruby/*/*/bin", "usr/local/rvm/rubies/*/bin")
_JAVA_IN_ROOT = ("usr/lib/jvm/*/bin", "opt/*/bin", "opt/java/*/bin", "opt/hostedtoolcache/Java_*/*/*/bin")
_EVERYWHERE = ("/usr/local/bin", "/usr/bin")


def places_of_host(environment: Mapping[str, str]) -> SearchPlaces:
    """The places of the present user; under sudo, those of the user who called it, too."""
    home = environment.get("HOME") or "/root"
    homes = [home]
    caller = environment.get("SUDO_USER", "")
    if caller and caller != "root":
        with contextlib.suppress(RuntimeError):
            homes.append(str(Path(f"~{caller}").expanduser()))
    return SearchPlaces(
        path=tuple(entry for entry in environment.get("PATH", "").split(os.pathsep) if entry.startswith("/")),
        homes=tuple(homes),
        roots=("/",),
        own=os.path.realpath(sys.executable),
    )


def python_candidates(places: SearchPlaces, minor: str) -> Iterator[str]:
    """Files named `pythonMINOR`, the same file never twice."""
    yield from _unique(_files(places, _PYTHON_IN_HOME, _PYTHON_IN_ROOT, (f"python{minor}",)), places.own)


def node_candidates(places: SearchPlaces) -> Iterator[str]:
    """Files named `node` or `nodeNN`, the same file never twice."""
    yield from _unique(_files(places, _NODE_IN_HOME, _NODE_IN_ROOT, ("node", "nodejs", "node[0-9][0-9]")), "")


def ruby_candidates(places: SearchPlaces) -> Iterator[str]:
    """Files named `ruby` or `ruby3.2`, the same file never twice."""
    yield from _unique(_files(places, _RUBY_IN_HOME, _RUBY_IN_ROOT, ("ruby", "ruby[0-9].[0-9]")), "")


def java_candidates(places: SearchPlaces) -> Iterator[str]:
    """Files named `java`, the same file never twice."""
    yield from _unique(_files(places, _JAVA_IN_HOME, _JAVA_IN_ROOT, ("java",)), "")


def is_script(path: str) -> bool:
    """Whether a candidate is a shim of a version manager: which interpreter it starts depends on where it is asked."""
    try:
        with open(path, "rb") as file:
            return file.read(2) == b"#!"
    except OSError:
        return True


def _files(
    places: SearchPlaces, in_home: tuple[str, ...], in_root: tuple[str, ...], names: tuple[str, ...]
) -> Iterator[str]:
    for directory in (*places.path, *(_EVERYWHERE if places.roots else ())):
        yield from _glob(directory, names)
    for base, patterns in ((places.homes, in_home), (places.roots, in_root)):
        for start in base:
            for pattern in patterns:
                yield from _glob(start, tuple(f"{pattern}/{name}" for name in names))


def _glob(start: str, patterns: tuple[str, ...]) -> Iterator[str]:
    for pattern in patterns:
        try:
            yield from (str(found) for found in sorted(Path(start).glob(pattern)))
        except OSError:
            continue


def _unique(paths: Iterator[str], own: str) -> Iterator[str]:
    seen: set[str] = set()
    for path in (own, *paths) if own else paths:
        real = os.path.realpath(path)
        if real not in seen and Path(real).is_file() and os.access(real, os.X_OK):
            seen.add(real)
            yield real
