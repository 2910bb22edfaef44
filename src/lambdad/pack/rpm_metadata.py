"""The metadata of an rpm repository (`repodata/`), read as if an enemy had written it.

Pure: pieces of bytes in, values out. Streamed through expat, because a distribution's list has hundreds of megabytes;
a document type, which is all that XML bombs are made of, is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat

from lambdad.pack.errors import PackError
from lambdad.pack.rpm_version import Capability, Evr

PACKAGES_MAX = 500_000
TEXT_MAX = 16 * 1024
DIGESTS = ("sha256", "sha512")
"""Checksums that are worth something."""


@dataclass(frozen=True, slots=True)
class Listing:
    """A file of the metadata: where it is below the repository, and its digest as downloaded."""

    location: str
    algorithm: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RpmPackage:
    """A package of the repository. sha256: of the file; files: those that the list names (programs and /etc)."""

    name: str
    arch: str
    evr: Evr
    location: str
    sha256: str
    size: int
    provides: tuple[Capability, ...] = ()
    requires: tuple[Capability, ...] = ()
    files: frozenset[str] = frozenset()

    @property
    def filename(self) -> str:
        return f"{self.name}-{self.evr.version}-{self.evr.release}.{self.arch}.rpm"


def parse_repomd(data: bytes) -> dict[str, Listing]:
    """The lists that a `repomd.xml` names, by kind. Raises PackError."""
    reader = _RepomdReader()
    _feed([data], reader.start, reader.end, "repomd.xml")
    return reader.listings


def parse_primary(pieces: Iterable[bytes], arches: frozenset[str]) -> list[RpmPackage]:
    """The packages for `arches` in a primary.xml. Raises PackError."""
    reader = _PrimaryReader(arches)
    _feed(pieces, reader.start, reader.end, "primary.xml")
    return reader.packages


def find_owners(pieces: Iterable[bytes], wanted: frozenset[str]) -> dict[str, set[str]]:
    """Digests of the packages that have one of the paths `wanted`, by path, from a filelists.xml. Raises PackError."""
    found: dict[str, set[str]] = {}
    package = ""

    def start(name: str, attributes: Mapping[str, str]) -> None:
        nonlocal package
        if name == "package":
            package = attributes.get("pkgid", "")

    def end(name: str, text: str) -> None:
        if name == "file" and text in wanted:
            found.setdefault(text, set()).add(package)

    _feed(pieces, start, end, "filelists.xml")
    return found


def _feed(
    pieces: Iterable[bytes],
    start: Callable[[str, Mapping[str, str]], None],
    end: Callable[[str, str], None],
    what: str,
) -> None:
    """Walk through a document. end: gets the text of the element, as much as `TEXT_MAX`."""
    parser = expat.ParserCreate()
    text: list[str] = []
    length = 0

    def opened(name: str, attributes: dict[str, str]) -> None:
        nonlocal length
        text.clear()
        length = 0
        start(name.rpartition(":")[2], attributes)

    def closed(name: str) -> None:
        end(name.rpartition(":")[2], "".join(text))
        text.clear()

    def characters(data: str) -> None:
        nonlocal length
        length += len(data)
        if length <= TEXT_MAX:
            text.append(data)

    def refuse(*_: Any) -> None:
        raise PackError(f"{what} has a document type, which repositories do not have")

    parser.StartElementHandler = opened
    parser.EndElementHandler = closed
    parser.CharacterDataHandler = characters
    parser.StartDoctypeDeclHandler = refuse
    try:
        for piece in pieces:
            parser.Parse(piece, False)
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise PackError(f"{what} of the repository cannot be read: {error}") from None
    except (ValueError, KeyError) as error:
        raise PackError(f"{what} of the repository lacks or spoils a value: {error!r}") from None


@dataclass(slots=True)
class _RepomdReader:
    listings: dict[str, Listing] = field(default_factory=dict)
    _kind: str = ""
    _location: str = ""
    _algorithm: str = ""
    _digest: str = ""

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        match name:
            case "data":
                self._kind, self._location, self._digest = attributes.get("type", ""), "", ""
            case "checksum":
                self._algorithm = attributes.get("type", "")
            case "location":
                self._location = checked_location(attributes.get("href", ""))

    def end(self, name: str, text: str) -> None:
        match name:
            case "checksum":
                self._digest = text.strip().lower()
            case "data":
                if self._algorithm in DIGESTS and self._digest and self._location:
                    self.listings[self._kind] = Listing(self._location, self._algorithm, self._digest)


@dataclass(slots=True)
class _PrimaryReader:
    arches: frozenset[str]
    packages: list[RpmPackage] = field(default_factory=list)
    _seen: int = 0
    _fields: dict[str, str] = field(default_factory=dict)
    _evr: Evr = field(default_factory=lambda: Evr(0, ""))
    _lists: dict[str, list[Capability]] = field(default_factory=dict)
    _files: set[str] = field(default_factory=set)
    _in: str = ""

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        match name:
            case "package":
                self._fields, self._lists, self._files, self._in = {}, {}, set(), ""
            case "version":
                self._evr = _evr(attributes)
            case "checksum":
                self._fields["algorithm"] = attributes.get("type", "")
            case "size":
                self._fields["size"] = attributes.get("package", "0")
            case "location":
                self._fields["location"] = checked_location(attributes.get("href", ""))
            case "provides" | "requires":
                self._in = name
            case "entry":
                if self._in:
                    self._lists.setdefault(self._in, []).append(_capability(attributes))

    def end(self, name: str, text: str) -> None:
        match name:
            case "name" | "arch" | "checksum":
                self._fields.setdefault(name, text.strip())
            case "file":
                self._files.add(text)
            case "provides" | "requires":
                self._in = ""
            case "package":
                self._seen += 1
                if self._seen > PACKAGES_MAX:
                    raise PackError(f"the repository has more than {PACKAGES_MAX} packages")
                if self._fields["arch"] in self.arches:
                    self.packages.append(self._package())

    def _package(self) -> RpmPackage:
        fields = self._fields
        if fields["algorithm"] != "sha256":
            raise PackError(
                f"the repository names its packages by {fields['algorithm']}, which is not trusted: "
                "make it anew with createrepo_c --checksum sha256"
            )
        return RpmPackage(
            name=fields["name"],
            arch=fields["arch"],
            evr=self._evr,
            location=fields["location"],
            sha256=fields["checksum"].lower(),
            size=int(fields["size"]),
            provides=tuple(self._lists.get("provides", ())),
            requires=tuple(dict.fromkeys(self._lists.get("requires", ()))),
            files=frozenset(self._files),
        )


def _evr(attributes: Mapping[str, str]) -> Evr:
    return Evr(int(attributes.get("epoch") or 0), attributes.get("ver", ""), attributes.get("rel", ""))


def _capability(attributes: Mapping[str, str]) -> Capability:
    flag = attributes.get("flags", "")
    return Capability(attributes["name"], flag, _evr(attributes) if flag else None)


def checked_location(href: str) -> str:
    """A path below the repository. Raises PackError for what leads out of it."""
    if not href or href.startswith("/") or ".." in href.split("/") or ":" in href.split("/")[0]:
        raise PackError(f"the repository names {href!r}, which is not below it")
    return href
