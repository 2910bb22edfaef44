"""Rpm packages from a repository: which are needed beyond the base, their bytes, and their signatures.

A repository is an address or a directory that has `repodata/`. Everything is checked against SHA-256 of its metadata,
and each package against the repository's key, if the recipe names one. The resolver takes, for every wish that neither
the base nor a chosen package satisfies, the newest package of that name, or the one that provides it.
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import io
import re
import urllib.parse
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

import urllib3

from lambdad.pack.base import Base
from lambdad.pack.cache import Cache
from lambdad.pack.elf import ElfError, read_elf
from lambdad.pack.errors import PackError
from lambdad.pack.lock import Pin
from lambdad.pack.process import ToolFailed, find_tool, run_tool
from lambdad.pack.recipe import RpmSource
from lambdad.pack.rpm_file import decompress_any, read_header
from lambdad.pack.rpm_metadata import Listing, RpmPackage, find_owners, parse_primary, parse_repomd
from lambdad.pack.rpm_version import Capability, Evr, compare, satisfies
from lambdad.pack.target import Arch

METADATA_MAX = 512 * 1024 * 1024
PACKAGE_MAX = 1024 * 1024 * 1024
PACKAGES_MAX = 2_000
TIMEOUT_S = 60.0
_ALTERNATIVES_SHOWN = 3
_LIBRARY = re.compile(r"(?P<soname>[^()/\s]+\.so[^()\s]*)\((?P<version>[^()]*)\)(?P<bits>\(64bit\))?\Z")
_BUILT_IN = re.compile(r"(rpmlib|config)\(.*\)|rtld\(GNU_HASH\)|auxv\(.*\)|user\(.*\)|group\(.*\)")
_ARCHES: Mapping[str, frozenset[str]] = {
    "x86_64": frozenset({"x86_64", "noarch"}),
    "arm64": frozenset({"aarch64", "noarch"}),
}
IN_EVERY_BASE = frozenset(
    {
        "bash", "basesystem", "ca-certificates", "coreutils", "coreutils-single", "filesystem", "glibc", "glibc-common",
        "glibc-minimal-langpack", "grep", "libgcc", "libstdc++", "sed", "setup", "system-release", "tzdata", "zlib",
    }
)  # fmt: skip
"""Names of packages for what every base has under Debian's names; a recipe adds to it by `rpm.installed`."""


@dataclass(slots=True)
class Repository:
    """One repository. address: http://, https://, or a directory."""

    address: str
    arch: Arch
    _listings: Mapping[str, Listing] = field(default_factory=dict)
    _packages: list[RpmPackage] | None = None

    @property
    def packages(self) -> list[RpmPackage]:
        """All that it has for the processor; fetched once. Raises PackError."""
        if self._packages is None:
            self._listings = parse_repomd(self.fetch("repodata/repomd.xml", METADATA_MAX))
            self._packages = parse_primary(self._listing("primary"), _ARCHES[self.arch.lambda_name])
        return self._packages

    def owners(self, paths: frozenset[str]) -> dict[str, set[str]]:
        """Digests of the packages that have files which the short list does not name."""
        return find_owners(self._listing("filelists"), paths)

    def _listing(self, kind: str) -> Iterator[bytes]:
        if kind not in self._listings:
            raise PackError(f"{self.address} has no usable {kind} list: make it with createrepo_c --checksum sha256")
        listing = self._listings[kind]
        data = self.fetch(listing.location, METADATA_MAX)
        if hashlib.new(listing.algorithm, data).hexdigest() != listing.digest:
            raise PackError(f"{self.address}/{listing.location} is not what repomd.xml names: fetch it again")
        return _bounded(decompress_any(io.BytesIO(data), listing.location), listing.location)  # type: ignore[arg-type]

    def fetch(self, location: str, limit: int) -> bytes:
        """A file of the repository. Raises PackError."""
        if "://" not in self.address:
            return _read_local(Path(self.address) / location, limit)
        url = f"{self.address.rstrip('/')}/{urllib.parse.quote(location)}"
        return _download(url, limit)


def _bounded(pieces: Iterable[bytes], name: str) -> Iterator[bytes]:
    left = 8 * METADATA_MAX
    for piece in pieces:
        left -= len(piece)
        if left < 0:
            raise PackError(f"{name} has more than {8 * METADATA_MAX} bytes unpacked")
        yield piece


def _read_local(path: Path, limit: int) -> bytes:
    try:
        if path.stat().st_size > limit:
            raise PackError(f"{path} has more than {limit} bytes")
        return path.read_bytes()
    except OSError as error:
        raise PackError(f"{path} cannot be read: {error.strerror}") from None


def _download(url: str, limit: int) -> bytes:
    try:
        with urllib3.PoolManager(timeout=TIMEOUT_S, retries=urllib3.Retry(3, backoff_factor=0.5)) as pool:
            answer = pool.request("GET", url, preload_content=False)
            if answer.status != 200:
                raise PackError(f"{url} answered {answer.status}: is the repository's address right?")
            data = bytearray()
            for piece in answer.stream(1024 * 1024, decode_content=False):
                data += piece
                if len(data) > limit:
                    raise PackError(f"{url} has more than {limit} bytes")
            return bytes(data)
    except urllib3.exceptions.HTTPError as error:
        raise PackError(f"{url} cannot be fetched: {error}") from None


class BaseCapabilities:
    """What a base gives to rpm packages: its files, its libraries with their versions, and `installed` names."""

    def __init__(self, base: Base, installed: Iterable[str]) -> None:
        self._root = base.root()
        self._directories = ("/lib64", "/usr/lib64", *base.arch.system_directories)
        self._installed = IN_EVERY_BASE.union(installed)

    def has(self, wanted: Capability) -> bool:
        name = wanted.name
        if _BUILT_IN.fullmatch(name) or name in self._installed:
            return True
        if name.startswith("/"):
            return self._root.lookup(name) is not None
        library = _LIBRARY.match(name)
        return library is not None and self._has_library(library["soname"], library["version"])

    @functools.cache  # noqa: B019 - lives as long as one resolution
    def _has_library(self, soname: str, version: str) -> bool:
        for directory in self._directories:
            node = self._root.lookup(f"{directory}/{soname}")
            if node is None or not node.is_file:
                continue
            try:
                defines = read_elf(node.host).defines
            except ElfError:
                continue
            return not version or (defines is not None and version in defines)
        return False


class Rpm:
    """rpm packages for one base, from the repositories of a recipe. directory: the recipe's."""

    def __init__(self, base: Base, cache: Cache, source: RpmSource, directory: Path) -> None:
        self._cache = cache
        self._key = directory / source.key if source.key else None
        self._repositories = [
            Repository(address if "://" in address else str(directory / address), base.arch)
            for address in source.repositories
        ]
        self._present = BaseCapabilities(base, source.installed)

    def resolve(self, names: Sequence[str]) -> tuple[Pin, ...]:
        """What `names` need beyond the base, pinned by digest and downloaded. Raises PackError saying what cannot be
        had, and who wants it.
        """
        if not names:
            return ()
        if not self._repositories:
            raise PackError('rpm packages need a repository: [rpm] repositories = ["https://..."]')
        chosen, needs = _close(names, _Index(self._repositories), self._present)
        pins = [
            Pin(
                source="rpm",
                name=package.name,
                version=str(package.evr),
                filename=package.filename,
                sha256=package.sha256,
                size=package.size,
                depends=tuple(sorted(needs[package.name] - {package.name})),
            )
            for package in sorted(chosen.values(), key=lambda package: package.name)
        ]
        self.files(pins)
        return tuple(pins)

    def files(self, pins: Iterable[Pin]) -> list[Path]:
        """The locked packages, from the cache or a repository, checked. Raises PackError."""
        wanted = list(pins)
        for pin in wanted:
            path = self._path(pin)
            if not path.exists():
                self._fetch(pin, path)
            path.touch()
            if self._key is not None:
                check_signature(path, self._key, self._cache)
        return [self._path(pin) for pin in wanted]

    def _path(self, pin: Pin) -> Path:
        return self._cache.downloads / f"{pin.sha256}.rpm"

    def _fetch(self, pin: Pin, path: Path) -> None:
        for repository in self._repositories:
            for package in repository.packages:
                if package.sha256 != pin.sha256:
                    continue
                data = repository.fetch(package.location, PACKAGE_MAX)
                if hashlib.sha256(data).hexdigest() != pin.sha256:
                    raise PackError(f"{repository.address}: {package.filename} is not what the metadata names")
                with self._cache.scratch() as scratch:
                    (scratch / "rpm").write_bytes(data)
                    (scratch / "rpm").replace(path)
                return
        raise PackError(f"no repository has {pin.filename} with sha256 {pin.sha256[:16]}…: build again with --update")


class _Index:
    """All packages of some repositories, by name and by what they provide."""

    def __init__(self, repositories: Sequence[Repository]) -> None:
        self._repositories = repositories
        self.by_name: dict[str, list[RpmPackage]] = {}
        self._providers: dict[str, list[RpmPackage]] = {}
        self._by_digest: dict[str, RpmPackage] = {}
        for package in (package for repository in repositories for package in repository.packages):
            self.by_name.setdefault(package.name, []).append(package)
            self._by_digest[package.sha256] = package
            for name in {capability.name for capability in package.provides} | package.files:
                self._providers.setdefault(name, []).append(package)
        for packages in self.by_name.values():
            packages.sort(key=functools.cmp_to_key(_by_version), reverse=True)

    def providers(self, wanted: Capability) -> list[RpmPackage]:
        """The packages that satisfy a wish: the newest of each name, best first."""
        found = [package for package in self._providers.get(wanted.name, ()) if provides(package, wanted)]
        if not found and wanted.name.startswith("/"):
            paths = frozenset({wanted.name})
            for repository in self._repositories:
                digests = repository.owners(paths).get(wanted.name, set())
                found += [self._by_digest[digest] for digest in sorted(digests) if digest in self._by_digest]
        newest: dict[str, RpmPackage] = {}
        for package in found:
            if package.name not in newest or compare(package.evr, newest[package.name].evr) > 0:
                newest[package.name] = package
        return sorted(newest.values(), key=lambda one: (one.name != wanted.name, len(one.name), one.name))


def _by_version(one: RpmPackage, two: RpmPackage) -> int:
    return compare(one.evr, two.evr)


def provides(package: RpmPackage, wanted: Capability) -> bool:
    """Whether a package satisfies a wish; its own name and version are always provided."""
    if wanted.name in package.files:
        return True
    own = Capability(package.name, "EQ", package.evr)
    return any(satisfies(capability, wanted) for capability in (own, *package.provides))


def _close(
    names: Sequence[str], index: _Index, present: BaseCapabilities
) -> tuple[dict[str, RpmPackage], dict[str, set[str]]]:
    """The packages that `names` need, by name, and the names that each of them needs."""
    chosen: dict[str, RpmPackage] = {}
    needs: dict[str, set[str]] = {}
    pending: deque[tuple[str, str]] = deque(("", name) for name in names)
    while pending:
        wanting, text = pending.popleft()
        for wanted in _all_of(text):
            if wanting and any(present.has(alternative) for alternative in wanted):
                continue
            package = _choose(wanted, chosen, index, wanting)
            if wanting:
                needs[wanting].add(package.name)
            if package.name in chosen:
                continue
            chosen[package.name] = package
            needs[package.name] = set()
            if len(chosen) > PACKAGES_MAX:
                raise PackError(f"more than {PACKAGES_MAX} packages would be needed")
            pending.extend((package.name, _write(capability)) for capability in package.requires)
    return chosen, needs


def _write(capability: Capability) -> str:
    return capability.name if capability.name.startswith("(") else str(capability)


def _choose(
    wanted: tuple[Capability, ...], chosen: Mapping[str, RpmPackage], index: _Index, wanting: str
) -> RpmPackage:
    for alternative in wanted:
        for package in chosen.values():
            if provides(package, alternative):
                return package
    for alternative in wanted:
        for package in index.providers(alternative):
            if package.name not in chosen:
                return package
    text = " or ".join(str(alternative) for alternative in wanted)
    by_whom = f", which {wanting} needs" if wanting else ""
    taken = [chosen[one.name] for one in wanted if one.name in chosen]
    if taken:
        raise PackError(f"{taken[0].name} {taken[0].evr} is wanted already and is not {text}{by_whom}: they conflict")
    close = get_close_matches(wanted[0].name, index.by_name, n=_ALTERNATIVES_SHOWN, cutoff=0.7)
    having = [f"{one.name} {one.evr}" for one in index.by_name.get(wanted[0].name, ())[:_ALTERNATIVES_SHOWN]]
    hint = f"; there is {', '.join(having)}" if having else f"; did you mean {' or '.join(close)}?" if close else ""
    raise PackError(f"no repository has {text}{by_whom}{hint}")


_WISH = re.compile(r"(?P<name>[^\s=<>]+(?:\([^\s]*\))?)\s*(?:(?P<flag>=|<=|>=|<|>)\s*(?P<evr>\S+))?\Z")
_FLAGS = {"=": "EQ", "<": "LT", "<=": "LE", ">": "GT", ">=": "GE"}
_CONDITION = re.compile(r"\s(?:if|unless)\s")


def _all_of(text: str) -> Iterator[tuple[Capability, ...]]:
    """What a requirement asks for: one of each tuple. Of rich ones (`(a or b)`), `and`, `with` and `or`; what holds
    only `if` something else is there is not asked for.
    """
    if not text.startswith("("):
        yield (parse_wish(text),)
        return
    inner = text[1:-1].strip()
    if _CONDITION.search(inner) or "(" in re.sub(r"[^\s()]+\([^\s]*\)", "", inner):
        return
    for part in re.split(r"\s(?:and|with)\s", inner):
        yield tuple(parse_wish(one) for one in re.split(r"\sor\s", part))


def parse_wish(text: str) -> Capability:
    """`name`, `name >= 1.2`, `name = 1:2-3`. Raises PackError."""
    match = _WISH.match(text.strip())
    if match is None:
        raise PackError(f"{text!r} is not a package that rpm could name")
    if not match["flag"]:
        return Capability(match["name"])
    epoch, colon, rest = match["evr"].rpartition(":")
    version, _, release = rest.partition("-")
    number = int(epoch) if colon and epoch.isdigit() else 0
    return Capability(match["name"], _FLAGS[match["flag"]], Evr(number, version, release))


def check_signature(path: Path, key: Path, cache: Cache) -> None:
    """Raises PackError unless `key` (a public key, armoured or not) has signed the header of the package, and the
    header names the digest of the archive.
    """
    header = read_header(path)
    if not header.signature or not header.payload_sha256:
        raise PackError(f"{header.name} is not signed, and the recipe names a key: leave rpm.key out, or sign it")
    with cache.scratch() as scratch:
        (scratch / "key").write_bytes(_dearmoured(key))
        (scratch / "header").write_bytes(header.raw)
        (scratch / "signature").write_bytes(header.signature)
        tool = find_tool("gpgv", "the Debian package gpgv")
        try:
            run_tool([tool, "--keyring", *(str(scratch / name) for name in ("key", "signature", "header"))])
        except ToolFailed as error:
            raise PackError(f"{header.name} is not signed by {key.name}:\n{error.output}") from None


def _dearmoured(key: Path) -> bytes:
    try:
        data = key.read_bytes()
    except OSError as error:
        raise PackError(f"rpm.key: {key} cannot be read: {error.strerror}") from None
    if not data.startswith(b"-----BEGIN PGP PUBLIC KEY BLOCK"):
        return data
    lines = data.decode("ascii", "replace").splitlines()
    body = lines[lines.index("") + 1 :] if "" in lines else lines[1:]
    try:
        return base64.b64decode("".join(line for line in body if not line.startswith(("-", "="))), validate=True)
    except binascii.Error:
        raise PackError(f"rpm.key: {key} is no public key") from None
