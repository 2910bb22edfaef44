"""Makes the origin of chunks as far away as the benchmark says, and writes down what is read from it.

Python loads this file by its name from PYTHONPATH, in every process of the node that is measured: the program itself
needs no switch for benchmarks. BENCH_ORIGIN_DELAY: seconds before each answer. BENCH_ORIGIN_LOG: a file that gets a
line for each read: path below the origin, bytes.
"""

from __future__ import annotations

import asyncio
import importlib.abc
import importlib.machinery
import os
import sys
from collections.abc import Sequence
from types import ModuleType

_MODULE = "lambdad.chunks.objects"
_DELAY = float(os.environ["BENCH_ORIGIN_DELAY"])
_LOG = os.open(os.environ["BENCH_ORIGIN_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)


def _slow_down(module: ModuleType) -> None:
    objects = module.DirectoryObjects
    read = objects.get

    async def get(self: object, path: str) -> bytes:
        await asyncio.sleep(_DELAY)
        data: bytes = await read(self, path)
        os.write(_LOG, f"{path} {len(data)}\n".encode())
        return data

    objects.get = get


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the one module as everybody else would, and changes it once it is loaded."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != _MODULE:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            _slow_down(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


sys.meta_path.insert(0, _Finder())
