"""The whole way, with the real tools: a base from Debian, git as a layer, twice the same bytes, no leak.

One base and one layer are built for the whole file. Needs root, mmdebstrap and a Debian mirror.
"""

from __future__ import annotations

import shutil

import pytest
from tests.kernel.pack_base import unless_the_host_cannot
from tests.unit.pack.bases import NotingProgress

from lambdad.pack.archive import write_zip
from lambdad.pack.base import Base
from lambdad.pack.build import Builder, Built, environment_of
from lambdad.pack.cache import Cache
from lambdad.pack.check import Severity, check_linkage, check_paths
from lambdad.pack.elf import read_elf
from lambdad.pack.errors import PackError
from lambdad.pack.leaks import find_leaks
from lambdad.pack.manifest import file_digest
from lambdad.pack.recipe import parse_recipe
from lambdad.pack.resolver import Resolver
from lambdad.pack.sandboxed import SandboxRunner
from lambdad.pack.target import LIBRARY_PATH
from lambdad.testing.loader_oracle import compare_with_loader, supported_hwcaps

pytestmark = [pytest.mark.kernel, pytest.mark.slow]
RECIPE = """
name = "git"
[packages]
apt = ["git"]
[[stages]]
name = "git"
test = "git --version && git init -q /tmp/r && test -d /tmp/r/.git/hooks"
"""


@pytest.fixture(scope="module")
def cache(pack_cache: Cache) -> Cache:
    return pack_cache


@pytest.fixture(scope="module")
def base(debian_base: Base) -> Base:
    return debian_base


def builder(base: Base, cache: Cache) -> Builder:
    return Builder(parse_recipe(RECIPE), cache.root, base, cache, SandboxRunner(), NotingProgress())


@pytest.fixture(scope="module")
def git(base, cache) -> Built:
    one = builder(base, cache)
    with unless_the_host_cannot():
        lock = one.resolve()
    return one.build(lock)


def test_the_base_has_aws_paths_and_its_own_libraries_first(base):
    command = "id -un; ls -d /var/task /opt; head -c 4 /lib64/libc.so.6"
    done = SandboxRunner().run(base.rootfs, (), command, {"PATH": "/usr/bin"})
    assert done.status == 0, done.output
    assert done.output.splitlines()[0] == "sbx_user1051" and "\x7fELF" in done.output


def test_git_is_small_complete_and_works_from_opt_without_wrappers(git):
    assert git.manifest.size <= 35 * 1024 * 1024
    assert sum(entry.kind == "link" for entry in git.manifest.files) > 100
    names = {package.name: package.wanted_by for package in git.manifest.packages}
    assert names["apt:libexpat1"] == ("git", "libexpat1")


def test_a_build_from_the_lock_has_the_same_bytes(git, base, cache, tmp_path):
    write_zip(git.tree, git.manifest.files, tmp_path / "first.zip")
    other = Cache(tmp_path / "cache")
    shutil.copytree(cache.downloads, other.downloads, dirs_exist_ok=True)
    again = builder(base, other).build(git.lock)
    write_zip(again.tree, again.manifest.files, tmp_path / "second.zip")
    assert again.reused == ()
    assert file_digest(tmp_path / "first.zip") == file_digest(tmp_path / "second.zip")
    assert again.manifest == git.manifest


def test_every_elf_file_of_the_layer_links_as_ld_so_links_it(git, base):
    root = base.root(git.tree)
    resolver = Resolver(root, base.arch, library_path=LIBRARY_PATH, hwcaps=supported_hwcaps())
    linked = check_linkage(resolver, list(root.walk("/opt")))
    assert linked.findings == () and linked.programs > 5 and linked.libraries > 1
    comparison = compare_with_loader(base, git.tree)
    assert comparison.differences == () and comparison.files > 10 and comparison.names > 50


def test_programs_find_the_layers_libraries_by_rpath_even_without_environment(git, base):
    helper = read_elf(git.tree / "lib/git-core/git-remote-http")
    assert helper.rpath is not None and helper.runpath is None
    done = SandboxRunner().run(base.rootfs, (git.tree,), "/opt/lib/git-core/git-remote-http 2>&1 | grep usage", {})
    assert "usage: git remote-curl" in done.output


def test_paths_and_links_are_sound(git, base):
    resolver = Resolver(base.root(git.tree), base.arch)
    findings = check_paths(resolver, git.manifest.files)
    assert [finding for finding in findings if finding.severity is not Severity.NOTE] == []


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_nothing_is_looked_for_at_its_old_place(git, base):
    command = git.manifest.tests[0][1]
    done = SandboxRunner().trace(base.rootfs, (git.tree,), command, environment_of(git.manifest))
    assert find_leaks(done.trace or "", git.manifest.files, base.arch).leaks == ()


def test_an_unknown_package_is_refused_with_names_that_are_close(base, cache):
    with pytest.raises(PackError, match=r"did you mean .*imagemagick"):
        recipe = parse_recipe('name = "x"\n[packages]\napt = ["imagemagik"]')
        Builder(recipe, cache.root, base, cache, SandboxRunner(), NotingProgress()).resolve()


def test_packages_that_conflict_are_named_with_what_they_conflict_with(base, cache):
    with pytest.raises(PackError, match=r"exim4-daemon-light : Conflicts: mail-transport-agent"):
        recipe = parse_recipe('name = "x"\n[packages]\napt = ["exim4-daemon-light", "postfix"]')
        Builder(recipe, cache.root, base, cache, SandboxRunner(), NotingProgress()).resolve()
