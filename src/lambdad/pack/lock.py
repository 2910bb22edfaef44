"""`layer.lock`: exactly what a layer was built from, so that it can be built again to the same bytes.

Names, versions and SHA-256 digests, never addresses: any mirror that has the bytes will do. JSON, sorted, one
package a line, made for version control. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from lambdad.pack.errors import PackError

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One package. source: apt, pip, npm or rpm.

    sha256: of the file as downloaded (npm: empty, its own lock has SHA-512);
    depends: names of other pins of the same source that it needs; size: bytes of the download.
    """

    source: str
    name: str
    version: str
    filename: str = ""
    sha256: str = ""
    size: int = 0
    depends: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """base: digest of the base; wanted: digest of what the recipe asked for; npm: npm's own lock, as text."""

    base: str
    arch: str
    wanted: str
    pins: tuple[Pin, ...]
    npm: str = ""

    def of(self, source: str) -> tuple[Pin, ...]:
        return tuple(pin for pin in self.pins if pin.source == source)

    def closure(self, source: str, names: Iterable[str]) -> tuple[Pin, ...]:
        """The pins that `names` need, in the lock's order. A name without a pin is taken to be in the base."""
        by_name = {pin.name: pin for pin in self.of(source)}
        pending, reached = list(names), set[str]()
        while pending:
            name = pending.pop()
            if name in by_name and name not in reached:
                reached.add(name)
                pending.extend(by_name[name].depends)
        return tuple(pin for pin in self.of(source) if pin.name in reached)

    def chain(self, source: str, roots: Iterable[str], name: str) -> tuple[str, ...]:
        """The shortest chain of names from one of `roots` to `name`, both included; empty if there is none."""
        by_name = {pin.name: pin for pin in self.of(source)}
        paths: list[tuple[str, ...]] = [(root,) for root in roots if root in by_name]
        seen = {path[0] for path in paths}
        while paths:
            longer = []
            for path in paths:
                if path[-1] == name:
                    return path
                for following in by_name[path[-1]].depends:
                    if following in by_name and following not in seen:
                        seen.add(following)
                        longer.append((*path, following))
            paths = longer
        return ()


def dump_lock(lock: Lock) -> str:
    """The lock as text; the same lock is always the same text."""
    lines = [
        json.dumps(
            {
                "source": pin.source,
                "name": pin.name,
                "version": pin.version,
                "filename": pin.filename,
                "sha256": pin.sha256,
                "size": pin.size,
                "depends": list(pin.depends),
            }
        )
        for pin in sorted(lock.pins, key=lambda pin: (pin.source, pin.name))
    ]
    head = {"format": FORMAT, "base": lock.base, "arch": lock.arch, "wanted": lock.wanted, "npm": lock.npm}
    body = ",\n    ".join(lines)
    return json.dumps(head, indent=2)[:-2] + ',\n  "packages": [\n    ' + body + "\n  ]\n}\n"


def parse_lock(text: str) -> Lock:
    """The lock in a text. Raises PackError."""
    try:
        table = json.loads(text)
        if table["format"] != FORMAT:
            raise PackError(f"lock format {table['format']!r} is not {FORMAT}: build again with --update")
        pins = tuple(
            Pin(
                source=str(entry["source"]),
                name=str(entry["name"]),
                version=str(entry["version"]),
                filename=str(entry["filename"]),
                sha256=str(entry["sha256"]),
                size=int(entry["size"]),
                depends=tuple(str(name) for name in entry["depends"]),
            )
            for entry in table["packages"]
        )
        return Lock(
            base=str(table["base"]),
            arch=str(table["arch"]),
            wanted=str(table["wanted"]),
            npm=str(table["npm"]),
            pins=pins,
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise PackError(f"the lock file cannot be read ({error}): build again with --update") from None
