"""AWS's own Node.js runtime client, complete with its C++ addon, built once into a cache. For tests.

`lambdad.runtimes.node_tree` takes the same package without the addon. Here the sources that the package brings are
compiled as its install scripts would, but for the libcurl in it: the system's shared library is linked, so that two
seconds of g++ do what minutes of autotools do. Nothing of the package is run while it is built.
"""

from __future__ import annotations

import ctypes.util
import shutil
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path

from lambdad.runtimes.tree_cache import TreeError
from lambdad.testing.kept import content_key, obtain
from lambdad.testing.npm_package import NpmPackage, unpack_package

_TIMEOUT_S = 300.0

CLIENT = NpmPackage(
    "aws-lambda-ric",
    "3.3.0",
    "sha512-9p06TbKVK4a050NY/vYOxhMHvnIiUu5o1W0//q6yNLSqA/c91pn4BOj3C3sRTpplkUNsGJdU5qWyU2STo6L8hA==",
)
_ADDON_API = NpmPackage(
    "node-addon-api",
    "6.1.0",
    "sha512-+eawOlIgy680F0kBzPUNFhMZGtJ1YmqM6l4+Crf4IkImjYrO/mqPwRMh352g23uIaQKFItcQ64I7KMaJxHgAVA==",
)
_HEADERS = NpmPackage(
    "node-api-headers",
    "1.9.0",
    "sha512-2oNILP4jXwRB4ywnYKjVk1YyJ96n2D4EOVJO6S3oYZ5PtbJrw3Yt9TpAuX3nBLMuzn74rnfGQrv13pS9vC+YiA==",
)
_CPP = "aws-lambda-cpp-0.2.8"
_CURL = "curl-7_83_1"
_VERSION = """
#include "aws/lambda-runtime/version.h"
namespace aws { namespace lambda_runtime {
unsigned get_version_major() { return 0; }
unsigned get_version_minor() { return 2; }
unsigned get_version_patch() { return 8; }
char const* get_version() { return "0.2.8"; }
} }
"""
"""What cmake makes of version.cpp.in."""


def why_no_client() -> str:
    """Why it cannot be built on this machine; empty if it can."""
    for tool in ("node", "npm", "g++"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed: AWS's Node.js client is compiled with it"
    if ctypes.util.find_library("curl") is None:
        return "libcurl4 is not installed: AWS's Node.js client is linked to it"
    return ""


def build_client() -> Path:
    """The directory of the package, with its addon in it. Needs npm's registry the first time. Raises `TreeError`."""
    made_of = repr((CLIENT, _ADDON_API, _HEADERS, _CPP, _CURL, _VERSION))
    return obtain(CLIENT.name, content_key([made_of.encode()]), _build)


def _build(work: Path) -> None:
    sources = work / "sources"
    sources.mkdir()
    for package in (CLIENT, _ADDON_API, _HEADERS):
        unpack_package(package, sources).rename(sources / package.name)
    client = sources / CLIENT.name
    for archive in (f"{_CPP}.tar.gz", f"{_CURL}.tar.gz"):
        with tarfile.open(client / "deps" / archive) as tar:
            tar.extractall(sources, filter="data")
    for name in ("uv.h", "v8.h", "node.h"):  # included, and not used
        (sources / name).touch()
    (sources / "version.cpp").write_text(_VERSION)
    _compile(sources, client)
    for name in ("bin", "dist", "package.json", "LICENSE"):
        (client / name).rename(work / name)
    shutil.rmtree(sources)


def _compile(sources: Path, client: Path) -> None:
    runtime = sources / _CPP
    include = (
        sources,
        sources / _ADDON_API.name,
        sources / _HEADERS.name / "include",
        runtime / "include",
        sources / f"curl-{_CURL}" / "include",
    )
    units = (client / "src/rapid-client.cc", runtime / "src/runtime.cpp", runtime / "src/logging.cpp")
    _run(
        (
            *("g++", "-std=c++17", "-O1", "-fPIC", "-shared", "-fexceptions", "-Wno-attributes"),
            *("-DBUILDING_NODE_EXTENSION", *(f"-I{path}" for path in include)),
            *("-o", str(client / "dist/rapid-client.node"), *map(str, units), str(sources / "version.cpp")),
            f"-l:{ctypes.util.find_library('curl')}",
        ),
        sources,
    )


def _run(command: Sequence[str], directory: Path) -> None:
    try:
        done = subprocess.run(
            command, cwd=directory, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_TIMEOUT_S
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise TreeError(f"AWS's Node.js client cannot be built: {command[0]}: {error}") from None
    if done.returncode != 0:
        raise TreeError(f"AWS's Node.js client cannot be built: {command[0]}:\n{(done.stdout + done.stderr)[-2000:]}")
