"""Which root a function from a zip gets, which interpreter is in it, and what is said of one that cannot run there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.unit.pack.bases import make_base
from tests.unit.pack.elves import make_elf

from lambdad.node.zip_root import BaseUnusable, ZipRoot
from lambdad.runtimes.runtime import NodeRuntime, ProvidedRuntime, PythonRuntime
from lambdad.sandbox.spec import Bind, DirectoryRoot, HostRoot

MACHINE = {"x86_64": 62, "aarch64": 183}[os.uname().machine]
PROVIDED = ProvidedRuntime("provided.al2023")


def python(prefix: str) -> PythonRuntime:
    return PythonRuntime(
        identifier="python3.11",
        version="3.11.7",
        interpreter=f"{prefix}/bin/python3.11",
        prefix=prefix,
        soabi="cpython-311-x86_64-linux-gnu",
        runtime_dir="/somewhere/runtime",
    )


def install(prefix: Path, *needed: str) -> PythonRuntime:
    """An interpreter of the host that needs these libraries."""
    (prefix / "bin").mkdir(parents=True)
    loader = "/lib/ld-loader.so"
    (prefix / "bin/python3.11").write_bytes(make_elf(needed=needed, interpreter=loader, machine=MACHINE))
    return python(str(prefix))


@pytest.fixture
def base(tmp_path):
    directory = tmp_path / "base"
    directory.mkdir()
    made = make_base(directory)
    (made.rootfs / "usr/lib/ld-loader.so").write_bytes(make_elf(machine=MACHINE))
    (made.rootfs / "usr/lib64").mkdir()
    (made.rootfs / "lib64").symlink_to("usr/lib64")
    return made


def give_interpreter(rootfs: Path, name: str) -> None:
    (rootfs / "usr/bin" / name).write_text("an interpreter")
    (rootfs / "var/lang/bin").mkdir(parents=True)
    (rootfs / "var/lang/bin" / name).symlink_to(f"/usr/bin/{name}")


def test_without_a_base_the_root_is_the_hosts_and_every_runtime_runs():
    root = ZipRoot(None)
    assert root.spec == HostRoot() and not root.is_base
    assert root.why_not(python("/usr")) is None and root.why_not(PROVIDED) is None
    mounts = (Bind("/usr", "/var/lang"),)
    assert root.mounts(python("/usr"), mounts) == mounts


def test_with_a_base_the_root_is_its_directory(base):
    assert ZipRoot(base.directory).spec == DirectoryRoot(str(base.rootfs.resolve()))
    assert ZipRoot(base.rootfs).spec == DirectoryRoot(str(base.rootfs.resolve())), "a plain root file system will do"
    assert ZipRoot(base.directory).why_not(PROVIDED) is None


def test_a_directory_that_is_no_root_is_refused_with_the_command_that_makes_one(tmp_path):
    with pytest.raises(BaseUnusable, match=r"no /bin/sh.*lambdad base build"):
        ZipRoot(tmp_path)


def test_a_link_of_the_base_never_leads_to_the_hosts_files(base):
    (base.rootfs / "bin").unlink()
    (base.rootfs / "bin").symlink_to("/../../../../../../bin")
    with pytest.raises(BaseUnusable, match="no /bin/sh"):
        ZipRoot(base.directory)


def test_the_hosts_own_python_is_not_shown_on_a_base(base):
    why = ZipRoot(base.directory).why_not(python("/usr"))
    assert why is not None and "part of the host's /usr" in why and "--include" in why


def test_an_interpreter_that_the_bases_libraries_carry_is_shown(base, tmp_path):
    (base.rootfs / "usr/lib64/libown.so.1").write_bytes(make_elf(soname="libown.so.1", machine=MACHINE))
    runtime = install(tmp_path / "python", "libown.so.1")
    root = ZipRoot(base.directory)
    assert root.why_not(runtime) is None
    mounts = (Bind(runtime.prefix, runtime.prefix), Bind(runtime.prefix, "/var/lang"), Bind("/code", "/var/task"))
    assert root.mounts(runtime, mounts) == mounts


def test_a_library_that_the_base_lacks_is_named(base, tmp_path):
    runtime = install(tmp_path / "python", "libmissing.so.9")
    why = ZipRoot(base.directory).why_not(runtime)
    assert why is not None and "lacks libmissing.so.9" in why


def test_a_broken_interpreter_is_said_to_be_one(base, tmp_path):
    runtime = install(tmp_path / "python")
    Path(runtime.interpreter).write_bytes(b"\x7fELF broken")
    why = ZipRoot(base.directory).why_not(runtime)
    assert why is not None and "cannot be read" in why


def test_the_bases_own_interpreter_is_used_instead_of_the_hosts(base):
    give_interpreter(base.rootfs, "python3.11")
    root = ZipRoot(base.directory)
    runtime = python("/usr")
    assert root.why_not(runtime) is None
    code = (Bind("/runtime", "/var/runtime"), Bind("/code", "/var/task"))
    assert root.mounts(runtime, (Bind("/usr", "/var/lang"), *code)) == code


def test_node_is_looked_for_in_the_same_way(base):
    runtime = NodeRuntime(
        identifier="nodejs20.x", version="20.1.0", interpreter="/usr/bin/node", prefix="/usr", runtime_dir="/runtime"
    )
    why = ZipRoot(base.directory).why_not(runtime)
    assert why is not None and why.startswith("nodejs20.x")
    give_interpreter(base.rootfs, "node")
    assert ZipRoot(base.directory).why_not(runtime) is None
