"""Our resolver against the real ld.so, trap by trap, with programs that gcc builds."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from lambdad.pack.process import find_tool
from lambdad.pack.resolver import Resolver
from lambdad.pack.target import X86_64
from lambdad.pack.tree import Place, Root
from lambdad.testing.loader_oracle import supported_hwcaps, trace_many, why_no_sandbox

pytestmark = pytest.mark.kernel
LIBRARY_PATH = "/lib64:/usr/lib64:/opt/lib"


@pytest.fixture(scope="module", autouse=True)
def judge():
    reason = why_no_sandbox()
    if reason:
        pytest.skip(f"the real ld.so cannot be asked: {reason}")


class Workshop:
    """Builds libraries and programs into a directory that becomes /opt."""

    def __init__(self, layer: Path) -> None:
        self.layer = layer
        layer.chmod(0o755)
        self.count = 0

    def _compile(self, path: str, source: str, needs: list[str], flags: list[str]) -> None:
        output = self.layer / path
        output.parent.mkdir(parents=True, exist_ok=True)
        options = [f"-Wl,--no-as-needed,{flag}" for flag in flags]
        libraries = [str(self.layer / need) for need in needs]
        code = output.with_name(output.name + ".c")
        code.write_text(source)
        command = ["gcc", "-O0", "-o", str(output), str(code), "-Wl,--no-as-needed", *libraries, *options]
        command += ["-Wl,--allow-shlib-undefined", "-Wl,--unresolved-symbols=ignore-all"]
        subprocess.run(command if path.startswith("bin/") else [*command, "-shared", "-fPIC"], check=True, timeout=60)
        code.unlink()

    def library(self, path: str, needs: list[str] = (), *flags: str, soname: str | None = "") -> None:
        self.count += 1
        name = path.rpartition("/")[2] if soname == "" else soname
        more = [f"-soname,{name}"] if name else []
        self._compile(path, f"int f{self.count}(void) {{ return 0; }}\n", list(needs), [*more, *flags])

    def program(self, path: str, needs: list[str], *flags: str) -> None:
        self._compile(path, "int main(void) { return 0; }\n", needs, list(flags))

    def agree(self, *programs: str, library_path: str = LIBRARY_PATH) -> dict[str, dict[str, str | None]]:
        """Assert that ours and ld.so's answers are the same; the answers by program."""
        verdicts = trace_many(Path("/"), self.layer, [f"/opt/{program}" for program in programs], library_path)
        root = Root(Place("/", (Path("/"),)), Place("/opt", (self.layer,)))
        resolver = Resolver(root, X86_64, library_path=library_path, hwcaps=supported_hwcaps())
        answers = {}
        for program in programs:
            linkage = resolver.link_program(f"/opt/{program}")
            ours: dict[str, str | None] = {one.name: one.path for one in linkage.objects[1:]}
            ours |= {missing.name: None for missing in linkage.missing}
            verdict = verdicts[f"/opt/{program}"]
            assert {name: _plain(path) for name, path in ours.items()} == {
                name: _plain(path) for name, path in verdict.paths.items()
            }, (program, verdict.errors)
            assert bool(linkage.broken or any(not one.weak for one in linkage.unversioned)) == bool(verdict.errors)
            answers[program] = verdict.paths
        return answers


def _plain(path: str | None) -> str | None:
    return path and path.replace("//", "/")


@pytest.fixture
def workshop(tmp_path):
    return Workshop(tmp_path)


def test_runpath_is_not_inherited_and_rpath_is(workshop):
    workshop.library("lib1/libb.so")
    workshop.library("lib1/liba.so", ["lib1/libb.so"])
    workshop.program("bin/runpath", ["lib1/liba.so"], "--enable-new-dtags", "-rpath,$ORIGIN/../lib1")
    workshop.program("bin/rpath", ["lib1/liba.so"], "--disable-new-dtags", "-rpath,$ORIGIN/../lib1")
    answers = workshop.agree("bin/runpath", "bin/rpath")
    assert answers["bin/runpath"]["libb.so"] is None
    assert answers["bin/rpath"]["libb.so"] == "/opt/bin/../lib1/libb.so"


def test_a_library_with_runpath_ignores_its_ancestors_rpath(workshop):
    workshop.library("lib1/libb.so")
    workshop.library("lib1/liba.so", ["lib1/libb.so"], "--enable-new-dtags", "-rpath,/nowhere")
    workshop.program("bin/p", ["lib1/liba.so"], "--disable-new-dtags", "-rpath,/opt/lib1")
    assert workshop.agree("bin/p")["bin/p"]["libb.so"] is None


def test_rpath_library_path_and_runpath_come_in_this_order(workshop):
    for place in ("r", "e", "n"):
        workshop.library(f"{place}/libx.so")
    workshop.program("bin/rpath", ["r/libx.so"], "--disable-new-dtags", "-rpath,/opt/r")
    workshop.program("bin/runpath", ["n/libx.so"], "--enable-new-dtags", "-rpath,/opt/n")
    answers = workshop.agree("bin/rpath", "bin/runpath", library_path="/opt/e")
    assert (answers["bin/rpath"]["libx.so"], answers["bin/runpath"]["libx.so"]) == ("/opt/r/libx.so", "/opt/e/libx.so")
    workshop.agree("bin/rpath", "bin/runpath", library_path="")


def test_origin_follows_the_program_and_not_the_library(workshop):
    workshop.library("real/libb.so")
    workshop.library("real/liba.so", ["real/libb.so"], "--enable-new-dtags", "-rpath,$ORIGIN")
    (workshop.layer / "links").mkdir()
    (workshop.layer / "links/liba.so").symlink_to("../real/liba.so")
    workshop.program("bin/through-links", ["real/liba.so"], "--disable-new-dtags", "-rpath,/opt/links")
    workshop.program("bin/real", ["real/liba.so"], "--disable-new-dtags", "-rpath,$ORIGIN/../real")
    (workshop.layer / "links/p").symlink_to("../bin/real")
    answers = workshop.agree("bin/through-links", "links/p")
    assert answers["bin/through-links"]["libb.so"] is None
    assert answers["links/p"]["libb.so"] is not None


def test_better_builds_for_this_processor_come_first(workshop):
    workshop.library("lib1/libx.so")
    for level in X86_64.hwcaps:
        workshop.library(f"lib1/glibc-hwcaps/{level}/libx.so")
    workshop.program("bin/p", ["lib1/libx.so"], "--disable-new-dtags", "-rpath,/opt/lib1")
    workshop.agree("bin/p")


def test_files_of_another_machine_are_passed_over(workshop):
    workshop.library("lib1/libx.so")
    workshop.library("wrong/libx.so")
    path = workshop.layer / "wrong/libx.so"
    data = bytearray(path.read_bytes())
    data[18:20] = (183).to_bytes(2, "little")
    path.write_bytes(data)
    workshop.program("bin/p", ["lib1/libx.so"], "--disable-new-dtags", "-rpath,/opt/wrong:/opt/lib1")
    assert workshop.agree("bin/p")["bin/p"]["libx.so"] == "/opt/lib1/libx.so"


@pytest.mark.parametrize("content", [b"libx.so.1", b"", b"\x7fELF", b"#!/bin/sh\n" + b"echo\n" * 100, None])
def test_a_file_that_is_no_library_ends_the_start(workshop, content):
    workshop.library("lib1/libx.so")
    workshop.program("bin/p", ["lib1/libx.so"], "--disable-new-dtags", "-rpath,/opt/bad:/opt/lib1")
    (workshop.layer / "bad").mkdir()
    if content is None:
        (workshop.layer / "bad/libx.so").mkdir()
    else:
        (workshop.layer / "bad/libx.so").write_bytes(content)
    linkage = Resolver(
        Root(Place("/", (Path("/"),)), Place("/opt", (workshop.layer,))), X86_64, library_path=LIBRARY_PATH
    ).link_program("/opt/bin/p")
    verdict = trace_many(Path("/"), workshop.layer, ["/opt/bin/p"], LIBRARY_PATH)["/opt/bin/p"]
    assert linkage.broken and verdict.errors
    assert linkage.broken[0].reason in " ".join(verdict.errors)


def test_chains_of_links_loops_and_missing_ones(workshop):
    workshop.library("lib1/libx.so.1.2.3", soname="libx.so.1")
    (workshop.layer / "lib1/libx.so.1").symlink_to("libx.so.1.2")
    (workshop.layer / "lib1/libx.so.1.2").symlink_to("libx.so.1.2.3")
    workshop.library("lib1/liby.so.1.0", soname="liby.so.1")
    (workshop.layer / "loop").mkdir()
    (workshop.layer / "loop/libx.so.1").symlink_to("libx.so.1")
    workshop.program("bin/p", ["lib1/libx.so.1.2.3"], "--disable-new-dtags", "-rpath,/opt/loop:/opt/lib1")
    workshop.program("bin/q", ["lib1/liby.so.1.0"], "--disable-new-dtags", "-rpath,/opt/lib1")
    answers = workshop.agree("bin/p", "bin/q")
    assert answers["bin/p"]["libx.so.1"] is None  # a loop ends the search of its list
    assert answers["bin/q"]["liby.so.1"] is None


def test_a_library_without_soname_is_needed_by_its_path(workshop):
    workshop.library("lib1/libx.so", soname=None)
    workshop.program("bin/p", ["lib1/libx.so"])
    program = workshop.layer / "bin/p"
    built = str(workshop.layer / "lib1/libx.so")
    rename = [find_tool("patchelf", "patchelf"), "--replace-needed", built, "/opt/bin/../lib1/libx.so", str(program)]
    subprocess.run(rename, check=True, timeout=60)
    assert "/opt/bin/../lib1/libx.so" in workshop.agree("bin/p")["bin/p"]


def test_libraries_that_need_each_other(workshop):
    workshop.library("lib1/liba.so")
    workshop.library("lib1/libb.so", ["lib1/liba.so"])
    workshop.library("lib1/liba.so", ["lib1/libb.so"])
    workshop.program("bin/p", ["lib1/liba.so"], "--disable-new-dtags", "-rpath,/opt/lib1")
    workshop.agree("bin/p")


def test_the_first_library_of_a_soname_serves_everyone(workshop):
    workshop.library("lib2/libx.so")
    workshop.library("lib1/libx-other.so", soname="libx.so")
    workshop.library("lib1/libb.so", ["lib2/libx.so"], "--disable-new-dtags", "-rpath,/opt/lib2")
    os.link(workshop.layer / "lib1/libx-other.so", workshop.layer / "lib1/libx.so")
    workshop.program("bin/p", ["lib1/libx-other.so", "lib1/libb.so"], "--disable-new-dtags", "-rpath,/opt/lib1")
    answers = workshop.agree("bin/p")
    assert answers["bin/p"]["libx.so"] == "/opt/lib1/libx.so"


def test_versions_that_the_library_does_not_have(workshop):
    script = workshop.layer / "versions"
    script.write_text("V_1 { global: *; };\n")
    workshop.library("lib1/libv.so", [], f"--version-script={script}")
    source = workshop.layer / "user.c"
    source.write_text("int f1(void); int main(void) { return f1(); }\n")
    (workshop.layer / "bin").mkdir()
    command = ["gcc", "-o", str(workshop.layer / "bin/p"), str(source), str(workshop.layer / "lib1/libv.so")]
    subprocess.run([*command, "-Wl,--disable-new-dtags,-rpath,/opt/lib1"], check=True, timeout=60)
    workshop.agree("bin/p")
    script.write_text("V_2 { global: *; };\n")
    workshop.count = 0
    workshop.library("lib1/libv.so", [], f"--version-script={script}")
    workshop.agree("bin/p")


def test_every_program_of_this_machine_links_as_ld_so_links_it(tmp_path):
    """A sample of the host's own programs, under Lambda's order of directories."""
    tmp_path.chmod(0o755)
    programs = []
    for path in sorted(Path("/usr/bin").iterdir()):
        if path.is_file() and not path.is_symlink() and path.stat().st_mode & 0o6000 == 0 and len(programs) < 150:
            with path.open("rb") as stream:
                if stream.read(5) == b"\x7fELF\x02":
                    programs.append(str(path))
    root = Root(Place("/", (Path("/"),)), Place("/opt", (tmp_path,)))
    resolver = Resolver(root, X86_64, library_path=LIBRARY_PATH, hwcaps=supported_hwcaps())
    verdicts = trace_many(Path("/"), tmp_path, programs, LIBRARY_PATH)
    compared = 0
    for program in programs:
        if not resolver.read(resolver.root.lookup(program)).interpreter:
            continue
        ours = {one.name: one.path for one in resolver.link_program(program).objects[1:]}
        assert ours == {name: path for name, path in verdicts[program].paths.items() if path}, program
        compared += 1
    assert compared > 20
