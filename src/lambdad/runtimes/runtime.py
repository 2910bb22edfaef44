"""The managed runtimes as values: what a function's `Runtime` means on this host.

A runtime is an interpreter of the host with a client of the Runtime API for it, AWS's own where that can be had, or
nothing but a place to look for `bootstrap` (`provided`). Where interpreters come from is `catalogue.py`; what a process
is given is `start.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

PROVIDED_IDENTIFIERS = ("provided", "provided.al2", "provided.al2023")

RUNTIME_DIRECTORY = "/var/runtime"
"""Where a sandbox sees `runtime_dir`."""
TASK_DIRECTORY = "/var/task"
LAYERS_DIRECTORY = "/opt"
LANGUAGE_DIRECTORY = "/var/lang"
"""Where a sandbox sees the interpreter's prefix, besides its own path."""


class RuntimeMissing(Exception):
    """No such runtime on this host. The text says how to get it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Interpreted:
    """interpreter, prefix: absolute paths on the host, links resolved.

    runtime_dir: host directory shown at /var/runtime; it exists once `Catalogue.ensure` has succeeded.
    """

    identifier: str
    version: str
    interpreter: str
    prefix: str
    runtime_dir: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonRuntime(_Interpreted):
    """CPython with AWS's `awslambdaric`.

    identifier: `python3.11`. version: `3.11.7`. soabi: ABI tag of extension modules, `cpython-311-x86_64-linux-gnu`.
    """

    soabi: str

    @property
    def minor(self) -> str:
        """`3.11`."""
        return ".".join(self.version.split(".")[:2])


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRuntime(_Interpreted):
    """Node.js with AWS's `aws-lambda-ric` and our transport in place of its native addon.

    identifier: `nodejs20.x`. version: `20.20.2`.
    """

    @property
    def major(self) -> int:
        return int(self.version.split(".")[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class RubyRuntime(_Interpreted):
    """CRuby with our own client: AWS's is a gem.

    identifier: `ruby3.2`. version: `3.2.4`.
    """

    @property
    def abi(self) -> str:
        """What directories of gems are named after: `3.2.0`."""
        return f"{self.version.rpartition('.')[0]}.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class JavaRuntime(_Interpreted):
    """A JVM with our own client: AWS's is in Maven's repositories.

    identifier: `java21`. version: `21.0.5`. interpreter: the program `java`. prefix: its JAVA_HOME.
    """


@dataclass(frozen=True, slots=True)
class ProvidedRuntime:
    """The function, or a layer, brings an executable named `bootstrap`."""

    identifier: str


ManagedRuntime = PythonRuntime | NodeRuntime | RubyRuntime | JavaRuntime
"""Those with an interpreter of the host."""

Runtime = ManagedRuntime | ProvidedRuntime
