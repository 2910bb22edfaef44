"""Every runtime that the project proves by the conformance suite: ours, AWS's clients, and the examples.

Each is a row of the table in docs/runtimes.md, which `scripts/runtime_table.py` writes; tests hold runs of their own
against it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lambdad.pack.archive import extract_zip
from lambdad.runtimes.java_tree import CLASSES
from lambdad.runtimes.runtime import JavaRuntime
from lambdad.testing.aws_node_client import build_client, why_no_client
from lambdad.testing.example_layers import obtain_layer, why_no_layers
from lambdad.testing.examples import BUILDS, EXAMPLES, BuildFailed, build_conformance
from lambdad.testing.runtime_subject import Subject, catalogue_of_host, managed_subject

_BUILD_LIMIT_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenRuntime:
    """name: as in the table. why_missing: what this host lacks for it; empty if nothing.

    make: builds it, with the conformance function, in a directory that is not there yet; `layer-*` appear beside it.
    Raises `TreeError`, `RuntimeMissing`, `BuildFailed`, `LayerFailed`. needs_sandbox: it finds its files at /opt.
    """

    name: str
    why_missing: Callable[[], str]
    make: Callable[[Path], Subject]
    needs_sandbox: bool = False


def proven_clients() -> tuple[ProvenRuntime, ...]:
    """Ours and AWS's, in the order of the table."""
    return (
        ProvenRuntime(name="lambdad, Python", why_missing=_nothing, make=_our_python),
        ProvenRuntime(name="lambdad, Node.js", why_missing=_needs("node"), make=_our_node("index.handler")),
        ProvenRuntime(
            name="lambdad, Node.js, `streamifyResponse`", why_missing=_needs("node"), make=_our_node("index.stream")
        ),
        ProvenRuntime(name="lambdad, Ruby", why_missing=_needs("ruby"), make=_our_ruby),
        ProvenRuntime(name="lambdad, Java", why_missing=_needs("javac"), make=_our_java),
        ProvenRuntime(name="AWS's `awslambdaric`", why_missing=_nothing, make=_awslambdaric),
        ProvenRuntime(name="AWS's `aws-lambda-ric`", why_missing=why_no_client, make=_aws_lambda_ric("index.handler")),
        ProvenRuntime(
            name="AWS's `aws-lambda-ric`, `streamifyResponse`",
            why_missing=why_no_client,
            make=_aws_lambda_ric("index.stream"),
        ),
    )


def proven_examples() -> tuple[ProvenRuntime, ...]:
    """In the order of the table; how each is named there is `example_name`."""
    return tuple(
        ProvenRuntime(
            name=example_name(language),
            why_missing=why_no_layers if example.layers else _needs(example.tool),
            make=_example(language),
            needs_sandbox=bool(example.layers),
        )
        for language, example in BUILDS.items()
    )


def example_name(language: str) -> str:
    return f"`examples/hello-{language}`"


def _example(language: str) -> Callable[[Path], Subject]:
    def make(directory: Path) -> Subject:
        build_conformance(language, directory)
        layers = []
        for number, recipe in enumerate(BUILDS[language].layers):
            layers.append(directory.with_name(f"layer-{number}"))
            layers[-1].mkdir()
            extract_zip(obtain_layer(recipe), layers[-1])
        return Subject(task=directory.absolute(), layers=tuple(layers))

    return make


def _our_python(directory: Path) -> Subject:
    build_conformance("python", directory)
    minor = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    return managed_subject(catalogue_of_host(), minor, directory, "app.handler")


def _our_node(handler: str) -> Callable[[Path], Subject]:
    def make(directory: Path) -> Subject:
        build_conformance("node", directory)
        return _managed("nodejs", directory, handler)

    return make


def _our_ruby(directory: Path) -> Subject:
    build_conformance("ruby", directory)
    return _managed("ruby", directory, "function.handler")


def _our_java(directory: Path) -> Subject:
    shutil.copytree(EXAMPLES / "hello-java-managed" / "conformance", directory)  # the runtime has what it is built with
    subject = _managed("java", directory, "Hello::handler")
    assert isinstance(subject.runtime, JavaRuntime)
    command = ["javac", "-cp", f"{subject.runtime.runtime_dir}/{CLASSES}", "--release", "11", "Hello.java"]
    try:
        subprocess.run(command, cwd=directory, capture_output=True, text=True, check=True, timeout=_BUILD_LIMIT_S)
    except subprocess.SubprocessError as error:
        raise BuildFailed(f"javac: {getattr(error, 'stderr', '') or error}") from None
    return subject


def _managed(family: str, directory: Path, handler: str) -> Subject:
    """Under the newest runtime of a family that this host has itself."""
    catalogue = catalogue_of_host()
    newest = [name for name in catalogue.identifiers() if name.startswith(family)][-1]
    return managed_subject(catalogue, newest, directory, handler)


def _awslambdaric(directory: Path) -> Subject:
    """With the C++ transport of its wheel."""
    build_conformance("python", directory)
    return _started_by(directory, f'exec "{sys.executable}" -m awslambdaric "$_HANDLER"', "app.handler")


def _aws_lambda_ric(handler: str) -> Callable[[Path], Subject]:
    def make(directory: Path) -> Subject:
        build_conformance("node", directory)
        return _started_by(directory, f'exec node "{build_client()}/bin/index.mjs" "$_HANDLER"', handler)

    return make


def _started_by(directory: Path, line: str, handler: str) -> Subject:
    """A bootstrap of one line of shell."""
    program = directory / "bootstrap"
    program.write_text(f"#!/bin/sh\n{line}\n")
    program.chmod(0o755)
    return Subject(task=directory.absolute(), program=program.absolute(), handler=handler)


def _needs(tool: str) -> Callable[[], str]:
    return lambda: "" if shutil.which(tool) else f"{tool} is not installed"


def _nothing() -> str:
    return ""
