"""Which file ld.so would load for every name, without running anything.

Follows glibc's `elf/dl-load.c` and `elf/dl-deps.c` step by step: breadth first over DT_NEEDED; per name the sonames
already loaded, then DT_RPATH of the asking object and its ancestors up to the program (only if the asking object has
no DT_RUNPATH), LD_LIBRARY_PATH, its own DT_RUNPATH, ld.so.cache, the built-in directories; `glibc-hwcaps` levels first
in each. `$ORIGIN` of a program is its real directory, of a library the directory it was opened by. The real ld.so in
a sandbox is the judge in the tests.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from lambdad.pack.elf import Elf, ElfError, read_elf
from lambdad.pack.loadercache import LoaderCache, parse_cache
from lambdad.pack.target import Arch
from lambdad.pack.tree import Node, Root

OBJECTS_MAX = 4_096
VDSO = frozenset({"linux-vdso.so.1", "linux-gate.so.1"})
_TOKEN = re.compile(r"\$(?:\{(ORIGIN|LIB|PLATFORM)\}|(ORIGIN|LIB|PLATFORM)(?![A-Za-z0-9_]))")
_PLATFORMS = {"EM_X86_64": "haswell", "EM_AARCH64": "aarch64"}


@dataclass(slots=True)
class Loaded:
    """One object of a process. name: what asked for it; path: as opened; node: the file; loader: who asked first.

    how: the rule that found it, such as `RPATH of /opt/bin/git` or `LD_LIBRARY_PATH`.
    """

    name: str
    path: str
    node: Node
    elf: Elf
    loader: Loaded | None
    how: str
    names: set[str] = field(default_factory=set)

    @property
    def origin(self) -> str:
        path = self.node.path if self.how == "program" else self.path
        return path.rpartition("/")[0] or "/"


@dataclass(frozen=True, slots=True)
class Missing:
    """A name that no rule finds. wanted_by: the path of the object that needs it."""

    name: str
    wanted_by: str


@dataclass(frozen=True, slots=True)
class Broken:
    """A file that ld.so opens and then refuses, which ends the start; `reason` is in its words."""

    path: str
    wanted_by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Unversioned:
    """`provider` lacks the version `version` that `wanted_by` needs of it; a weak need only warns."""

    version: str
    library: str
    provider: str
    wanted_by: str
    weak: bool


@dataclass(slots=True)
class Linkage:
    """What a start would load, in order, and everything that would go wrong."""

    objects: list[Loaded] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)
    unversioned: list[Unversioned] = field(default_factory=list)
    relative: list[str] = field(default_factory=list)
    """Search path entries that depend on the working directory."""

    @property
    def complete(self) -> bool:
        return not (self.missing or self.broken or any(not entry.weak for entry in self.unversioned))


class Resolver:
    """Links programs and libraries inside `root`, for processors of `arch` with the capabilities `hwcaps`.

    library_path: LD_LIBRARY_PATH; working_directory: where relative entries of search paths lead to.
    Files are read once and remembered; make a new one when files have changed.
    """

    def __init__(
        self,
        root: Root,
        arch: Arch,
        *,
        library_path: str = "",
        hwcaps: tuple[str, ...] = (),
        working_directory: str = "/var/task",
    ) -> None:
        self.root = root
        self.arch = arch
        self.library_path = library_path
        self.hwcaps = hwcaps
        self.working_directory = working_directory
        self._elves: dict[str, Elf | ElfError] = {}
        self._cache: LoaderCache | None = None

    def link_program(self, path: str) -> Linkage:
        """Start the program at `path`. Raises ElfError if it is no ELF file or does not exist."""
        return self._link(path, "program")

    def link_library(self, path: str) -> Linkage:
        """Load the library at `path` into a process that has only libc: what `dlopen` of it would need."""
        return self._link(path, "library")

    def read(self, node: Node) -> Elf:
        """The ELF file at a node. Raises ElfError."""
        known = self._elves.get(node.path)
        if known is None:
            try:
                known = read_elf(node.host)
            except ElfError as error:
                known = error
            except OSError as error:
                known = ElfError(f"cannot be read: {error.strerror}")
            self._elves[node.path] = known
        if isinstance(known, ElfError):
            raise known
        return known

    def _link(self, path: str, how: str) -> Linkage:
        node = self.root.lookup(path)
        if node is None:
            raise ElfError(f"{path}: no such file")
        elf = self.read(node)
        linkage = Linkage()
        main = Loaded(path, path, node, elf, None, how)
        if elf.soname:
            main.names.add(elf.soname)
        linkage.objects.append(main)
        linker = self._interpreter(main, linkage)
        position = 0
        while position < len(linkage.objects):
            loaded = linkage.objects[position]
            position += 1
            for name in loaded.elf.needed:
                self._need(name, loaded, linkage, linker)
            if len(linkage.objects) > OBJECTS_MAX:
                raise ElfError(f"{path}: more than {OBJECTS_MAX} libraries")
        if linker is not None:
            linkage.objects.append(linker)
        self._check_versions(linkage)
        return linkage

    def _interpreter(self, main: Loaded, linkage: Linkage) -> Loaded | None:
        """ld.so itself is an object of every dynamic process, under the name by which the kernel opened it."""
        name = main.elf.interpreter or (self.arch.interpreter if main.elf.dynamic else None)
        if name is None:
            return None
        node = self.root.lookup(name)
        if node is None or not node.is_file:
            if main.elf.interpreter is not None:
                linkage.missing.append(Missing(name, main.path))
            return None
        if node.identity == main.node.identity:
            return None
        try:
            elf = self.read(node)
        except ElfError as error:
            linkage.broken.append(Broken(name, main.path, str(error)))
            return None
        return Loaded(name, name, node, elf, None, "interpreter", {elf.soname} if elf.soname else set())

    def _need(self, name: str, asking: Loaded, linkage: Linkage, linker: Loaded | None) -> None:
        known = linkage.objects if linker is None else [*linkage.objects, linker]
        if name in VDSO or any(name in (one.name, one.path) or name in one.names for one in known):
            return
        for path, how in self._candidates(name, asking, linkage):
            node = self.root.lookup(path)
            if node is None:
                continue
            if node.is_directory:
                linkage.broken.append(Broken(path, asking.path, "cannot read file data"))
                return
            try:
                elf = self.read(node)
            except ElfError as error:
                linkage.broken.append(Broken(path, asking.path, str(error)))
                return
            if elf.bits != asking.elf.bits or elf.machine != asking.elf.machine:
                continue
            if elf.kind not in ("ET_DYN", "ET_EXEC"):
                linkage.broken.append(Broken(path, asking.path, "only ET_DYN and ET_EXEC can be loaded"))
                return
            if elf.kind == "ET_EXEC" or elf.pie:
                sort = "executable" if elf.kind == "ET_EXEC" else "position-independent executable"
                reason = f"cannot dynamically load {sort}"
                linkage.broken.append(Broken(path, asking.path, reason))
                return
            for one in known:
                if one.node.identity == node.identity:
                    one.names.add(name)
                    return
            loaded = Loaded(name, path, node, elf, asking, how, {name})
            if elf.soname:
                loaded.names.add(elf.soname)
            linkage.objects.append(loaded)
            return
        missing = Missing(name, asking.path)
        if missing not in linkage.missing:
            linkage.missing.append(missing)

    def _candidates(self, name: str, asking: Loaded, linkage: Linkage) -> Iterator[tuple[str, str]]:
        if "/" in name:
            path = self._expand(name, asking)
            yield (path if path.startswith("/") else f"{self.working_directory}/{path}"), "path"
            return
        if asking.elf.runpath is None:
            yield from self._ancestors(name, asking, linkage)
        yield from self._search(name, self._library_directories(asking), "LD_LIBRARY_PATH")
        if asking.elf.runpath is not None:
            directories = self._directories(asking.elf.runpath, asking, linkage)
            yield from self._search(name, directories, f"RUNPATH of {asking.path}")
        cached = self._loader_cache().path_of(name)
        system = self.arch.system_directories
        if cached is not None and not (asking.elf.no_default_path and cached.rpartition("/")[0] in system):
            yield cached, "ld.so.cache"
        if not asking.elf.no_default_path:
            yield from self._search(name, system, "default path")

    def _ancestors(self, name: str, asking: Loaded, linkage: Linkage) -> Iterator[tuple[str, str]]:
        main = linkage.objects[0]
        chain: list[Loaded] = []
        one: Loaded | None = asking
        while one is not None:
            chain.append(one)
            one = one.loader
        if main not in chain:
            chain.append(main)
        for one in chain:
            if one.elf.rpath is not None and one.elf.runpath is None:
                directories = self._directories(one.elf.rpath, one, linkage)
                yield from self._search(name, directories, f"RPATH of {one.path}")

    def _search(self, name: str, directories: tuple[str, ...], how: str) -> Iterator[tuple[str, str]]:
        for directory in directories:
            levels = [f"{directory}/glibc-hwcaps/{level}/{name}" for level in self.hwcaps]
            for path in (*levels, f"{directory}/{name}"):
                if self.root.is_loop(path):
                    return  # open_path gives up its whole list for any error but ENOENT and EACCES
                yield path, how

    def _library_directories(self, asking: Loaded) -> tuple[str, ...]:
        if not self.library_path:
            return ()
        return tuple(self._absolute(self._expand(part, asking)) for part in re.split("[:;]", self.library_path))

    def _directories(self, text: str, owner: Loaded, linkage: Linkage) -> tuple[str, ...]:
        found: list[str] = []
        if not text:
            return ()
        for part in text.split(":"):
            expanded = self._expand(part, owner)
            if not expanded.startswith("/"):
                note = f"{owner.path}: search path entry {part!r} is relative"
                if note not in linkage.relative:
                    linkage.relative.append(note)
            absolute = self._absolute(expanded)
            if absolute not in found:
                found.append(absolute)
        return tuple(found)

    def _absolute(self, directory: str) -> str:
        if directory.startswith("/"):
            return directory.rstrip("/") or "/"
        return f"{self.working_directory}/{directory}".rstrip("/")

    def _expand(self, text: str, owner: Loaded) -> str:
        values: Mapping[str, str] = {
            "ORIGIN": owner.origin,
            "LIB": self.arch.library_token,
            "PLATFORM": _PLATFORMS.get(self.arch.machine, ""),
        }
        return _TOKEN.sub(lambda match: values[match.group(1) or match.group(2)], text)

    def _loader_cache(self) -> LoaderCache:
        if self._cache is None:
            node = self.root.lookup("/etc/ld.so.cache")
            data = node.host.read_bytes() if node is not None and node.is_file else b""
            self._cache = LoaderCache(parse_cache(data), self.arch.machine, self.hwcaps)
        return self._cache

    def _check_versions(self, linkage: Linkage) -> None:
        for loaded in linkage.objects:
            for need in loaded.elf.requires:
                provider = next((one for one in linkage.objects if need.library in one.names), None)
                if provider is None or provider.elf.defines is None or need.version in provider.elf.defines:
                    continue
                linkage.unversioned.append(
                    Unversioned(need.version, need.library, provider.node.path, loaded.path, need.weak)
                )


_GLIBC = re.compile(r"GLIBC_(\d+)\.(\d+)(?:\.\d+)?$")


def glibc_version(elf: Elf) -> tuple[int, int]:
    """The oldest glibc that has every version the file needs; (0, 0) if it needs none."""
    found = (0, 0)
    for need in elf.requires:
        match = _GLIBC.match(need.version)
        if match and not need.weak:
            found = max(found, (int(match[1]), int(match[2])))
    return found
