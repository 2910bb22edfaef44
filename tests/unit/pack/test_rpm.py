"""Rpm packages from a repository: what is taken, what the base has already, and every way in which it can go wrong."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from tests.unit.pack.bases import make_base
from tests.unit.pack.elves import make_elf
from tests.unit.pack.rpms import make_rpm, package_xml, regular, write_repository

from lambdad.pack.cache import Cache
from lambdad.pack.errors import PackError
from lambdad.pack.lock import Pin
from lambdad.pack.recipe import RpmSource
from lambdad.pack.rpm import Rpm, check_signature, parse_wish
from lambdad.pack.rpm_version import Capability, Evr


class World:
    """A base, a cache, and one repository that `add` fills."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "base").mkdir()
        self.base = make_base(directory / "base")
        libraries = self.base.rootfs / "usr/lib/x86_64-linux-gnu"
        (libraries / "libc.so.6").write_bytes(make_elf(soname="libc.so.6", defines=["GLIBC_2.2.5", "GLIBC_2.36"]))
        self.cache = Cache(directory / "cache")
        self.packages: dict[str, bytes] = {}
        self.entries: list[str] = []
        self.filelists = ""

    def add(self, name: str, *, version: str = "1", **described) -> bytes:
        data = make_rpm(name, {f"/usr/share/{name}": regular(f"{name} {version}")})
        self.packages[f"{name}-{version}.rpm"] = data
        self.entries.append(package_xml(name, data, version=version, **described))
        return data

    def rpm(self, **source) -> Rpm:
        repository = self.directory / "repository"
        if not repository.exists():
            write_repository(repository, self.packages, *self.entries, filelists=self.filelists)
        return Rpm(self.base, self.cache, RpmSource(("repository",), **source), self.directory)

    def resolve(self, *names: str, **source) -> list[str]:
        return [pin.name for pin in self.rpm(**source).resolve(names)]


@pytest.fixture
def world(tmp_path) -> World:
    return World(tmp_path)


def test_the_closure_follows_names_libraries_and_paths(world):
    world.add("tool", requires=["libtool.so.1()(64bit)", "/usr/bin/helper", "data EQ 1"])
    world.add("libtool", provides=["libtool.so.1()(64bit)"])
    world.add("helper", files=["/usr/bin/helper"])
    world.add("data")
    world.add("unwanted")
    pins = {pin.name: pin.depends for pin in world.rpm().resolve(["tool"])}
    assert pins == {"tool": ("data", "helper", "libtool"), "libtool": (), "helper": (), "data": ()}


def test_what_the_base_has_is_not_taken(world):
    world.add(
        "tool",
        requires=[
            "libc.so.6()(64bit)", "libc.so.6(GLIBC_2.36)(64bit)", "/bin/sh", "rpmlib(PayloadIsZstd) EQ 5-1", "glibc",
            "rtld(GNU_HASH)", "config(tool) EQ 1-1", "ours",
        ],
    )  # fmt: skip
    world.add("glibc", provides=["libc.so.6()(64bit)"], files=["/bin/sh"])
    assert world.resolve("tool", installed=("ours",)) == ["tool"]


def test_a_symbol_version_that_the_bases_library_lacks_is_named_with_who_needs_it(world):
    world.add("tool", requires=["libc.so.6(GLIBC_2.99)(64bit)"])
    with pytest.raises(PackError, match=r"no repository has libc.so.6\(GLIBC_2.99\)\(64bit\), which tool needs"):
        world.resolve("tool")


def test_the_newest_version_is_taken_unless_another_is_asked_for(world):
    for version in ("1.9", "1.10", "1.2"):
        world.add("tool", version=version)
    assert [pin.version for pin in world.rpm().resolve(["tool"])] == ["1.10-1"]
    assert [pin.version for pin in world.rpm().resolve(["tool < 1.10"])] == ["1.9-1"]


def test_rich_wishes_are_met_where_they_can_be_and_conditions_are_not(world):
    world.add("tool", requires=["(first or second)", "(third if something)", "(fourth and fifth)"])
    for name in ("second", "third", "fourth", "fifth"):
        world.add(name)
    assert world.resolve("tool") == ["fifth", "fourth", "second", "tool"]


def test_a_path_that_only_the_long_list_names_is_found_there(world):
    world.add("tool", requires=["/usr/share/words"])
    data = world.add("words")
    digest = hashlib.sha256(data).hexdigest()
    world.filelists = f'<package pkgid="{digest}" name="words"><file>/usr/share/words</file></package>'
    assert world.resolve("tool") == ["tool", "words"]


def test_an_unknown_package_is_refused_with_names_that_are_close(world):
    world.add("imagemagick")
    with pytest.raises(PackError, match="no repository has imagemagik; did you mean imagemagick"):
        world.resolve("imagemagik")


def test_a_version_that_is_not_there_is_refused_with_those_that_are(world):
    world.add("tool", version="1")
    with pytest.raises(PackError, match=r"no repository has tool >= 2; there is tool 1-1"):
        world.resolve("tool >= 2")


def test_two_wishes_that_cannot_both_be_met_conflict_and_both_are_named(world):
    world.add("lib", version="1")
    world.add("lib", version="2")
    world.add("tool", requires=["lib EQ 1-1"])
    with pytest.raises(PackError, match=r"lib 2-1 is wanted already and is not lib = 1-1, which tool needs"):
        world.resolve("lib", "tool")


def test_packages_that_need_each_other_end(world):
    world.add("one", requires=["two"])
    world.add("two", requires=["one"])
    assert world.resolve("one") == ["one", "two"]


def test_a_locked_package_comes_from_the_cache_and_never_with_other_bytes(world):
    world.add("tool")
    rpm = world.rpm()
    (pin,) = rpm.resolve(["tool"])
    (world.directory / "repository/tool-1.rpm").write_bytes(b"other bytes")
    assert rpm.files([pin])[0].read_bytes() == world.packages["tool-1.rpm"], "the cache"
    with pytest.raises(PackError, match="is not what the metadata names"):
        Rpm(world.base, Cache(world.directory / "other"), RpmSource(("repository",)), world.directory).files([pin])


def test_a_locked_package_that_no_repository_has_any_more_says_what_to_do(world):
    world.add("tool")
    pin = Pin(source="rpm", name="tool", version="0-1", filename="tool-0-1.x86_64.rpm", sha256="0" * 64)
    with pytest.raises(PackError, match=r"tool-0-1.x86_64.rpm .*--update"):
        world.rpm().files([pin])


def test_a_list_that_repomd_does_not_name_is_refused(world):
    world.add("tool")
    rpm = world.rpm()
    (world.directory / "repository/repodata/primary.xml.z").write_bytes(b"<metadata/>")
    with pytest.raises(PackError, match=r"is not what repomd\.xml names"):
        rpm.resolve(["tool"])


def test_rpm_packages_need_a_repository(world):
    with pytest.raises(PackError, match="need a repository"):
        Rpm(world.base, world.cache, RpmSource(), world.directory).resolve(["tool"])


def test_a_directory_without_metadata_is_named(world):
    with pytest.raises(PackError, match=r"repomd.xml cannot be read"):
        Rpm(world.base, world.cache, RpmSource(("nothing",)), world.directory).resolve(["tool"])


@contextmanager
def served(directory: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(directory))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_repository_may_be_an_address(world):
    world.add("tool", requires=["data"])
    world.add("data")
    world.rpm()
    with served(world.directory / "repository") as address:
        over_http = Rpm(world.base, world.cache, RpmSource((address + "/",)), world.directory)
        pins = over_http.resolve(["tool"])
        assert [path.read_bytes()[:4] for path in over_http.files(pins)] == [b"\xed\xab\xee\xdb"] * 2
        with pytest.raises(PackError, match=r"answered 404: is the repository's address right"):
            Rpm(world.base, world.cache, RpmSource((address + "/none",)), world.directory).resolve(["tool"])


def test_a_package_without_a_signature_is_refused_if_the_recipe_names_a_key(world):
    world.add("tool")
    (world.directory / "key.asc").write_text("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA\n-----END")
    with pytest.raises(PackError, match="tool is not signed, and the recipe names a key"):
        world.resolve("tool", key="key.asc")


def test_a_key_that_is_none_is_refused(world, tmp_path):
    (tmp_path / "package.rpm").write_bytes(make_rpm("tool", {}))
    with pytest.raises(PackError, match="not signed"):
        check_signature(tmp_path / "package.rpm", tmp_path / "missing", world.cache)


@pytest.mark.parametrize(
    ("text", "wish"),
    [
        ("tool", Capability("tool")),
        ("tool >= 1:2-3", Capability("tool", "GE", Evr(1, "2", "3"))),
        ("lib.so.1(V_1)(64bit)", Capability("lib.so.1(V_1)(64bit)")),
    ],
)
def test_a_wish_is_read_as_rpm_writes_it(text, wish):
    assert parse_wish(text) == wish


def test_what_is_no_wish_is_refused():
    with pytest.raises(PackError, match="not a package that rpm could name"):
        parse_wish("two words of nothing")
