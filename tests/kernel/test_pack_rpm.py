"""The whole way from rpm packages, with the real tools: rpmbuild and createrepo_c make a repository, a program of one
package uses the library of another, and the layer runs in the sandbox. gpg makes the keys.
"""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import subprocess
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.pack.bases import NotingProgress

from lambdad.pack.base import Base
from lambdad.pack.build import Builder
from lambdad.pack.cache import Cache
from lambdad.pack.errors import PackError
from lambdad.pack.recipe import parse_recipe
from lambdad.pack.rpm import check_signature
from lambdad.pack.sandboxed import SandboxRunner

TOOLS = ("rpmbuild", "rpmsign", "createrepo_c", "gpg", "gpgv", "gcc")
MISSING = [tool for tool in TOOLS if shutil.which(tool) is None]

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
]

SPEC = """
Name: {name}
Version: 1.2
Release: 3
Summary: {name}
License: MIT
{more}
%description
{name}
%install
{install}
%files
{files}
{scripts}
"""
GREET = 'int puts(const char *); const char *words(void) {{ return "{words}"; }}'
MAIN = """
#include <stdio.h>
const char *words(void);
int main(void) {
    char line[64] = "";
    FILE *file = fopen("/etc/greet/greet.conf", "r");
    if (!file || !fgets(line, sizeof line, file)) return 1;
    printf("%s %s", words(), line);
    return 0;
}
"""


def run(*argv: str, cwd: Path, **environment: str) -> None:
    done = subprocess.run(
        argv, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


def rpmbuild(directory: Path, name: str, install: str, files: str, *, more: str = "", scripts: str = "") -> None:
    spec = directory / f"{name}.spec"
    spec.write_text(SPEC.format(name=name, more=more, install=textwrap.dedent(install), files=files, scripts=scripts))
    payload = "w3.zstdio" if name == "greet" else "w2.xzdio"
    defines = {"_topdir": str(directory), "_binary_payload": payload}
    defines |= {"debug_package": "%{nil}", "_build_id_links": "none"}
    options = [word for key, value in defines.items() for word in ("--define", f"{key} {value}")]
    run("rpmbuild", "--quiet", "-bb", *options, str(spec), cwd=directory)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address of a repository on loopback, and the directory with its key and packages."""
    directory = tmp_path_factory.mktemp("rpm")
    (directory / "lib.c").write_text(GREET.format(words="hello from"))
    (directory / "main.c").write_text(MAIN)
    rpmbuild(
        directory,
        "libgreet",
        f"""
        mkdir -p %{{buildroot}}/usr/lib64
        gcc -shared -fPIC -Wl,-soname,libgreet.so.1 -o %{{buildroot}}/usr/lib64/libgreet.so.1.0 {directory}/lib.c
        ln -s libgreet.so.1.0 %{{buildroot}}/usr/lib64/libgreet.so.1
        """,
        "/usr/lib64/libgreet.so.1\n/usr/lib64/libgreet.so.1.0",
        scripts="%post -p /sbin/ldconfig",
    )
    rpmbuild(
        directory,
        "greet",
        f"""
        mkdir -p %{{buildroot}}/usr/bin %{{buildroot}}/etc/greet
        gcc -shared -fPIC -Wl,-soname,libgreet.so.1 -o libgreet.so {directory}/lib.c
        gcc -o %{{buildroot}}/usr/bin/greet {directory}/main.c libgreet.so
        echo "/etc/greet" > %{{buildroot}}/etc/greet/greet.conf
        ln %{{buildroot}}/etc/greet/greet.conf %{{buildroot}}/etc/greet/same.conf
        """,
        "/usr/bin/greet\n/etc/greet",
        scripts="%post\nuseradd greet",
    )
    _sign(directory)
    run("createrepo_c", "--quiet", str(directory / "RPMS"), cwd=directory)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(directory / "RPMS"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", directory
        server.shutdown()
        thread.join()


def _sign(directory: Path) -> None:
    home = directory / "gnupg"
    home.mkdir(mode=0o700)
    gpg = ("gpg", "--batch", "--homedir", str(home), "--pinentry-mode", "loopback", "--passphrase", "")
    try:
        run(*gpg, "--quick-generate-key", "layers@test", "rsa2048", "sign", "never", cwd=directory)
        run(*gpg, "--armor", "--output", str(directory / "key.asc"), "--export", "layers@test", cwd=directory)
        run(*gpg, "--quick-generate-key", "other@test", "rsa2048", "sign", "never", cwd=directory)
        run(*gpg, "--armor", "--output", str(directory / "other.asc"), "--export", "other@test", cwd=directory)
        packages = [str(path) for path in sorted((directory / "RPMS").rglob("*.rpm"))]
        defines = ["--define", "_gpg_name layers@test", "--define", f"__gpg {shutil.which('gpg')}"]
        run("rpmsign", *defines, "--addsign", *packages, cwd=directory, GNUPGHOME=str(home))
    finally:
        subprocess.run(("gpgconf", "--homedir", str(home), "--kill", "all"), check=False, capture_output=True)


def builder(base: Base, cache: Cache, directory: Path, recipe: str) -> Builder:
    return Builder(parse_recipe(recipe), directory, base, cache, SandboxRunner(), NotingProgress())


def recipe(address: str, *, key: str = "key.asc", package: str = "greet") -> str:
    return f"""
        name = "greet"
        [rpm]
        repositories = ["{address}"]
        key = "{key}"
        [packages]
        rpm = ["{package}"]
        [[stages]]
        name = "greet"
        test = "greet && readlink /opt/lib64/libgreet.so.1"
    """


def test_an_rpm_program_runs_from_opt_with_the_library_of_another_package(repository, debian_base, pack_cache):
    address, directory = repository
    one = builder(debian_base, pack_cache, directory, recipe(address))
    lock = one.resolve()
    assert [(pin.name, pin.version, pin.depends) for pin in lock.of("rpm")] == [
        ("greet", "1.2-3", ("libgreet",)),
        ("libgreet", "1.2-3", ()),
    ], "glibc is the base's"
    built = one.build(lock)
    output = one.run_test(built.tree, "greet", "greet")
    assert output == "hello from /opt/greet\n", "the path in the file moved, and the one in the program"
    paths = {entry.path: entry.package for entry in built.manifest.files if entry.kind != "directory"}
    assert paths["bin/greet"] == "rpm:greet" and paths["lib64/libgreet.so.1.0"] == "rpm:libgreet"
    assert "scripts of rpm packages were not run: greet" in built.manifest.notes
    again = builder(debian_base, Cache(pack_cache.root / "again"), directory, recipe(address)).build(lock)
    assert again.manifest == built.manifest, "the same lock gives the same bytes"


def test_a_package_that_another_key_signed_is_refused(repository, debian_base, pack_cache):
    address, directory = repository
    with pytest.raises(PackError, match=r"greet is not signed by other\.asc"):
        builder(debian_base, pack_cache, directory, recipe(address, key="other.asc")).resolve()


def test_a_signed_package_whose_bytes_changed_is_refused(repository, pack_cache, tmp_path):
    _, directory = repository
    (package,) = (directory / "RPMS").rglob("libgreet*.rpm")
    check_signature(package, directory / "key.asc", pack_cache)
    data = package.read_bytes()
    changed = tmp_path / "changed.rpm"
    changed.write_bytes(data.replace(b"libgreet.so.1", b"libevil00.so.1"[:13], 1))
    with pytest.raises(PackError, match="not signed by"):
        check_signature(changed, directory / "key.asc", pack_cache)


def test_the_real_metadata_names_what_is_unknown(repository, debian_base, pack_cache):
    address, directory = repository
    with pytest.raises(PackError, match="no repository has gret; did you mean greet"):
        builder(debian_base, pack_cache, directory, recipe(address, package="gret")).resolve()
