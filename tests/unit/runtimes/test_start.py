"""How functions are started: fork or program, mounts, bootstrap, wrapper."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.runtimes.test_environment import NODE, PYTHON, SPEC

from lambdad.runtimes.environment import AwsAccess
from lambdad.runtimes.runtime import JavaRuntime, ProvidedRuntime, RubyRuntime, Runtime
from lambdad.runtimes.start import InvalidEntrypoint, Start, find_bootstrap, prepare_start, zygote_spec
from lambdad.sandbox.spec import Bind, Exec, Fork, Overlay, ZygoteSpec

ZYGOTES = frozenset({"python3.11"})
PROVIDED = ProvidedRuntime("provided.al2023")


def _start(
    runtime: Runtime,
    task: Path,
    layers: tuple[Path, ...] = (),
    environment: dict[str, str] | None = None,
    zygotes: frozenset[str] = ZYGOTES,
) -> Start:
    started = prepare_start(
        runtime,
        replace(SPEC, environment=environment or {}),
        task_dir=str(task),
        layer_dirs=tuple(str(layer) for layer in layers),
        log_stream="s",
        access=AwsAccess(),
        zygotes=zygotes,
    )
    assert isinstance(started, Start)
    return started


def _tree(path: Path, *files: str) -> Path:
    path.mkdir()
    for file in files:
        (path / file).parent.mkdir(parents=True, exist_ok=True)
        (path / file).write_text("")
    return path


BOOTED = Exec(("/var/lang/bin/python3.11", "-S", "/var/runtime/bootstrap.py"))


def test_python_is_forked_where_there_is_a_zygote_and_booted_elsewhere(tmp_path: Path) -> None:
    task = _tree(tmp_path / "task", "app.py")
    assert _start(PYTHON, task).start == Fork("python3.11")
    assert _start(PYTHON, task, zygotes=frozenset()).start == BOOTED


@pytest.mark.parametrize(
    "name", ["LD_PRELOAD", "LD_LIBRARY_PATH", "PYTHONHASHSEED", "PYTHONWARNINGS", "LC_ALL", "MALLOC_ARENA_MAX"]
)
def test_variables_that_are_read_when_a_process_starts_need_one_that_starts(tmp_path: Path, name: str) -> None:
    assert _start(PYTHON, _tree(tmp_path / "task"), environment={name: "1"}).start == BOOTED


@pytest.mark.parametrize("name", ["PYTHONPATH", "PYTHONUNBUFFERED", "PATH", "TZ", "LANG", "MINE", "HTTPS_PROXY"])
def test_other_variables_do_not(tmp_path: Path, name: str) -> None:
    assert _start(PYTHON, _tree(tmp_path / "task"), environment={name: "1"}).start == Fork("python3.11")


@pytest.mark.parametrize(
    ("files", "is_forked"),
    [
        (("lib/helper.py", "pkg/libdeep.so", "_cffi.cpython-311-x86_64-linux-gnu.so", "x.abi3.so"), True),
        (("lib/libz.so.1",), False),
        (("libx.so",), False),
    ],
)
def test_libraries_for_the_linker_need_a_process_of_their_own(
    tmp_path: Path, files: tuple[str, ...], is_forked: bool
) -> None:
    expected: Exec | Fork = Fork("python3.11") if is_forked else BOOTED
    assert _start(PYTHON, _tree(tmp_path / "task", *files)).start == expected


def test_a_layer_with_libraries_needs_a_process_of_its_own(tmp_path: Path) -> None:
    layer = _tree(tmp_path / "layer", "lib/libpq.so.5")
    assert _start(PYTHON, _tree(tmp_path / "task"), (layer,)).start == BOOTED


def test_a_sandbox_sees_interpreter_client_function_and_layers(tmp_path: Path) -> None:
    task, one, two = (_tree(tmp_path / name) for name in ("task", "one", "two"))
    assert _start(PYTHON, task, (one, two)).mounts == (
        Bind("/x", "/x"),
        Bind("/x", "/var/lang"),
        Bind("/r", "/var/runtime"),
        Bind(str(task), "/var/task"),
        Overlay((str(two), str(one)), "/opt"),
    )
    assert _start(PYTHON, task, (one,)).mounts[-1] == Bind(str(one), "/opt")
    assert _start(PYTHON, task).mounts[-1] == Bind(str(task), "/var/task")
    assert _start(PYTHON, task).working_directory == "/var/task"


@pytest.mark.parametrize("prefix", ["/usr", "/usr/local"])
def test_an_interpreter_of_the_system_is_not_mounted_twice(tmp_path: Path, prefix: str) -> None:
    mounts = _start(replace(PYTHON, prefix=prefix), _tree(tmp_path / "task")).mounts
    assert mounts[0] == Bind(prefix, "/var/lang")


def test_a_zygote_has_the_sandboxes_binds() -> None:
    assert zygote_spec(PYTHON) == ZygoteSpec(
        name="python3.11",
        interpreter="/p",
        entry="/r/bootstrap.py",
        binds=(Bind("/x", "/x"), Bind("/x", "/var/lang"), Bind("/r", "/var/runtime")),
        path=("/r",),
    )


def test_node_is_started_with_heaps_for_the_functions_memory(tmp_path: Path) -> None:
    node = replace(NODE, interpreter="/usr/bin/node20", prefix="/usr")
    assert _start(node, _tree(tmp_path / "task")).start == Exec(
        (
            "/var/lang/bin/node20",
            "--expose-gc",
            "--max-http-header-size=81920",
            "--max-semi-space-size=12",
            "--max-old-space-size=230",
            "/var/runtime/index.mjs",
        )
    )


def test_ruby_and_java_are_started_from_their_own_prefix(tmp_path: Path) -> None:
    ruby = RubyRuntime(
        identifier="ruby3.1", version="3.1.7", interpreter="/x/bin/ruby3.1", prefix="/x", runtime_dir="/"
    )
    assert _start(ruby, _tree(tmp_path / "ruby")).start == Exec(("/var/lang/bin/ruby3.1", "/var/runtime/bootstrap.rb"))
    java = JavaRuntime(identifier="java17", version="17.0.1", interpreter="/j/bin/java", prefix="/j", runtime_dir="/t")
    started = _start(java, _tree(tmp_path / "java"))
    options = ("-Xmx204m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
    assert started.start == Exec(("/var/lang/bin/java", *options, "-cp", "/var/runtime/classes", "lambdad.Main"))
    assert Bind("/j", "/var/lang") in started.mounts


def test_the_bootstrap_of_the_function_comes_before_that_of_a_layer(tmp_path: Path) -> None:
    task, layer = _tree(tmp_path / "task", "bootstrap"), _tree(tmp_path / "layer", "bootstrap")
    assert find_bootstrap(str(task), (str(layer),)) == "/var/task/bootstrap"
    assert _start(PROVIDED, task, (layer,)).start == Exec(("/var/task/bootstrap",))
    (task / "bootstrap").unlink()
    assert _start(PROVIDED, task, (layer,)).start == Exec(("/opt/bootstrap",))
    assert _start(PROVIDED, task, (layer,)).mounts == (Bind(str(task), "/var/task"), Bind(str(layer), "/opt"))


def test_no_bootstrap_is_an_error_of_the_function_in_aws_words(tmp_path: Path) -> None:
    started = prepare_start(
        PROVIDED,
        SPEC,
        task_dir=str(_tree(tmp_path / "task", "bootstrap.sh")),
        layer_dirs=(),
        log_stream="s",
        access=AwsAccess(),
    )
    assert started == InvalidEntrypoint("Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]")


def test_a_wrapper_gets_the_runtimes_command_as_its_arguments(tmp_path: Path) -> None:
    wrapper = tmp_path / "wrapper"
    wrapper.write_text('#!/bin/sh\nprintf "%s|" "$0" "$@"\n')
    wrapper.chmod(0o755)
    started = _start(PYTHON, _tree(tmp_path / "task"), environment={"AWS_LAMBDA_EXEC_WRAPPER": str(wrapper)})
    assert isinstance(started.start, Exec)
    done = subprocess.run(started.start.argv, stdout=subprocess.PIPE, timeout=60, check=True)
    assert done.stdout.decode() == "|".join((str(wrapper), *BOOTED.argv)) + "|"


@pytest.mark.parametrize(("mode", "status", "text"), [(None, 127, "does not exist"), (0o644, 126, "not an executable")])
def test_a_wrapper_that_cannot_run_says_why(tmp_path: Path, mode: int | None, status: int, text: str) -> None:
    wrapper = tmp_path / "wrapper"
    if mode is not None:
        wrapper.write_text("")
        wrapper.chmod(mode)
    started = _start(PYTHON, _tree(tmp_path / "task"), environment={"AWS_LAMBDA_EXEC_WRAPPER": str(wrapper)})
    assert isinstance(started.start, Exec)
    done = subprocess.run(started.start.argv, stdout=subprocess.PIPE, timeout=60, check=False)
    assert done.returncode == status
    assert done.stdout.decode().startswith(f"{wrapper}: ") and text in done.stdout.decode()


def test_provided_runtimes_know_no_wrapper(tmp_path: Path) -> None:
    task = _tree(tmp_path / "task", "bootstrap")
    assert _start(PROVIDED, task, environment={"AWS_LAMBDA_EXEC_WRAPPER": "/x"}).start == Exec(("/var/task/bootstrap",))
