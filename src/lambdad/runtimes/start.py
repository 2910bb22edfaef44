"""How a function's runtime process is started: mounts, environment, and a fork or a program.

It looks into the function's own trees and nothing else, and changes nothing; the sandbox driver does the rest.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import assert_never

from lambdad.model.environment import EnvironmentSpec
from lambdad.runtimes.environment import AwsAccess, build_environment
from lambdad.runtimes.java_tree import CLASSES
from lambdad.runtimes.runtime import (
    LANGUAGE_DIRECTORY,
    LAYERS_DIRECTORY,
    RUNTIME_DIRECTORY,
    TASK_DIRECTORY,
    JavaRuntime,
    ManagedRuntime,
    NodeRuntime,
    ProvidedRuntime,
    PythonRuntime,
    RubyRuntime,
    Runtime,
)
from lambdad.sandbox.spec import Bind, Exec, Fork, Overlay, ZygoteSpec

_WRAPPER_SCRIPT = """
wrapper=$1
shift
if [ ! -f "$wrapper" ]; then echo "$wrapper: does not exist"; exit 127; fi
if [ ! -x "$wrapper" ]; then echo "$wrapper: is not an executable"; exit 126; fi
exec "$wrapper" "$@"
"""
"""The words and exit codes are those of AWS's own runtimes."""

_READ_AT_START = re.compile(
    r"LD_.*|GLIBC_TUNABLES|MALLOC_.*|LC_.*|LANGUAGE|OPENSSL_.*|SSL_CERT_.*"
    r"|PYTHON(?!PATH$|UNBUFFERED$|DONTWRITEBYTECODE$).*"
)
"""Variables that a process reads once, when it starts: a fork of a zygote would not see the function's own."""

_EXTENSION_MODULE = re.compile(r".*\.(cpython-[^.]*|abi3)\.so")


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What the worker puts into a `SandboxSpec`."""

    start: Exec | Fork
    mounts: tuple[Bind | Overlay, ...]
    environment: Mapping[str, str]
    working_directory: str


@dataclass(frozen=True, slots=True)
class InvalidEntrypoint:
    """There is nothing to start: an error of the function, reported as `Runtime.InvalidEntrypoint`."""

    message: str


def prepare_start(
    runtime: Runtime,
    spec: EnvironmentSpec,
    *,
    task_dir: str,
    layer_dirs: tuple[str, ...],
    log_stream: str,
    access: AwsAccess,
    zygotes: frozenset[str] = frozenset(),
    initialization_type: str = "on-demand",
) -> Start | InvalidEntrypoint:
    """How to run `spec` under `runtime`.

    task_dir, layer_dirs: unpacked trees on the host; the layers in the order of the configuration (a later one wins).
    zygotes: names of the zygotes that are there to fork from.
    """
    environment = build_environment(
        runtime, spec, log_stream=log_stream, access=access, initialization_type=initialization_type
    )
    start = _start(runtime, spec, task_dir, layer_dirs, zygotes)
    if isinstance(start, InvalidEntrypoint):
        return start
    return Start(
        start=start,
        mounts=(*runtime_binds(runtime), *_code_mounts(task_dir, layer_dirs)),
        environment=environment,
        working_directory=TASK_DIRECTORY,
    )


def zygote_spec(runtime: PythonRuntime) -> ZygoteSpec:
    """The zygote of a Python runtime; its name is the runtime's identifier. `Catalogue.ensure` must have succeeded."""
    return ZygoteSpec(
        name=runtime.identifier,
        interpreter=runtime.interpreter,
        entry=f"{runtime.runtime_dir}/bootstrap.py",
        binds=runtime_binds(runtime),
        path=(runtime.runtime_dir,),
    )


def runtime_binds(runtime: Runtime) -> tuple[Bind, ...]:
    """What a sandbox of this runtime sees besides its root and the function: interpreter and client."""
    match runtime:
        case PythonRuntime() | NodeRuntime() | RubyRuntime() | JavaRuntime():
            binds = [Bind(runtime.prefix, LANGUAGE_DIRECTORY), Bind(runtime.runtime_dir, RUNTIME_DIRECTORY)]
            if not f"{runtime.prefix}/".startswith("/usr/"):
                # Forks of the zygote know the interpreter's files by their own path; /usr is in every root.
                binds.insert(0, Bind(runtime.prefix, runtime.prefix))
            return tuple(binds)
        case ProvidedRuntime():
            return ()
        case _:
            assert_never(runtime)


def runtime_command(runtime: ManagedRuntime, memory_mb: int) -> tuple[str, ...]:
    """The program that a booted sandbox runs. memory_mb: the function's memory, for V8's heaps."""
    match runtime:
        case PythonRuntime():
            # -S: the host's site-packages and its .pth files are none of the function's business.
            return (f"{LANGUAGE_DIRECTORY}/bin/python{runtime.minor}", "-S", f"{RUNTIME_DIRECTORY}/bootstrap.py")
        case NodeRuntime():
            interpreter = os.path.relpath(runtime.interpreter, runtime.prefix)
            return (
                f"{LANGUAGE_DIRECTORY}/{interpreter}",
                "--expose-gc",
                "--max-http-header-size=81920",
                f"--max-semi-space-size={memory_mb * 5 // 100}",
                f"--max-old-space-size={memory_mb * 90 // 100}",
                f"{RUNTIME_DIRECTORY}/index.mjs",
            )
        case RubyRuntime():
            interpreter = os.path.relpath(runtime.interpreter, runtime.prefix)
            return (f"{LANGUAGE_DIRECTORY}/{interpreter}", f"{RUNTIME_DIRECTORY}/bootstrap.rb")
        case JavaRuntime():
            return (f"{LANGUAGE_DIRECTORY}/bin/java", *java_options(memory_mb, f"{RUNTIME_DIRECTORY}/{CLASSES}"))
        case _:
            assert_never(runtime)


def java_options(memory_mb: int, classes: str) -> tuple[str, ...]:
    """What follows `java`. A fifth of the memory is left for what the JVM needs besides the heap, as on AWS."""
    heap = (f"-Xmx{memory_mb * 8 // 10}m",) if memory_mb else ()
    return (*heap, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", classes, "lambdad.Main")


def find_bootstrap(task_dir: str, layer_dirs: tuple[str, ...]) -> str | None:
    """Where the sandbox will find `bootstrap`: AWS looks in the function first, then in its layers."""
    if os.path.lexists(f"{task_dir}/bootstrap"):
        return f"{TASK_DIRECTORY}/bootstrap"
    if any(os.path.lexists(f"{layer}/bootstrap") for layer in layer_dirs):
        return f"{LAYERS_DIRECTORY}/bootstrap"
    return None


def _start(
    runtime: Runtime,
    spec: EnvironmentSpec,
    task_dir: str,
    layer_dirs: tuple[str, ...],
    zygotes: frozenset[str],
) -> Exec | Fork | InvalidEntrypoint:
    match runtime:
        case ProvidedRuntime():
            bootstrap = find_bootstrap(task_dir, layer_dirs)
            if bootstrap is None:
                places = f"{TASK_DIRECTORY}/bootstrap {LAYERS_DIRECTORY}/bootstrap"
                return InvalidEntrypoint(f"Couldn't find valid bootstrap(s): [{places}]")
            return Exec((bootstrap,))
        case PythonRuntime() | NodeRuntime() | RubyRuntime() | JavaRuntime():
            command = runtime_command(runtime, spec.memory_mb)
            wrapper = spec.environment.get("AWS_LAMBDA_EXEC_WRAPPER")
            if wrapper:
                return Exec(("/bin/sh", "-c", _WRAPPER_SCRIPT, "bootstrap", wrapper, *command))
            if runtime.identifier in zygotes and not _needs_own_process(spec, task_dir, layer_dirs):
                return Fork(runtime.identifier)
            return Exec(command)
        case _:
            assert_never(runtime)


def _needs_own_process(spec: EnvironmentSpec, task_dir: str, layer_dirs: tuple[str, ...]) -> bool:
    """Whether the function counts on something that only a freshly executed process has.

    The dynamic linker looks into LD_LIBRARY_PATH as it was, and as those directories were, when the zygote started:
    a function or layer that brings shared libraries of its own must be booted.
    """
    if any(_READ_AT_START.fullmatch(name) for name in spec.environment):
        return True
    places = (task_dir, f"{task_dir}/lib", *(f"{layer}/lib" for layer in layer_dirs))
    return any(_is_shared_library(name) for place in places for name in _names(place))


def _is_shared_library(name: str) -> bool:
    """Extension modules are loaded by their path and do not count."""
    return ".so" in name and not _EXTENSION_MODULE.fullmatch(name)


def _names(directory: str) -> Iterable[str]:
    try:
        with os.scandir(directory) as entries:
            return [entry.name for entry in entries]
    except OSError:
        return ()


def _code_mounts(task_dir: str, layer_dirs: tuple[str, ...]) -> tuple[Bind | Overlay, ...]:
    task = Bind(task_dir, TASK_DIRECTORY)
    match layer_dirs:
        case ():
            return (task,)
        case (only,):
            return (task, Bind(only, LAYERS_DIRECTORY))
        case _:
            return (task, Overlay(tuple(reversed(layer_dirs)), LAYERS_DIRECTORY))
