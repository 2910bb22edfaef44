"""The memory that building an image of a million files takes: `python -m bench.images.million FILES FORMAT SPOOL`.

A process of its own, so that its peak is the build's. The archive is made as it is read; the image goes nowhere.
Prints JSON: seconds, bytes at the peak beyond those of the start, bytes of the image, files.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.figures import AtMost, Measurement, Row
from bench.setup import FULL, Setup
from lambdad.image.build import BuildOptions, Format, build_image
from lambdad.image.flatten import LayerReader
from lambdad.image.limits import Limits
from lambdad.image.oci import ImageConfig, ImageRuntimeConfig, Platform
from lambdad.image.sources import OpenImage
from lambdad.image.tar import TarReader

FILES = 1_000_000
QUICK_FILES = 20_000
_FORMATS: tuple[Format, ...] = ("erofs", "ext4")
_PER_DIRECTORY = 1000
_MIB = 1024 * 1024
_TIMEOUT_S = 3600


def measure_many_files(setup: Setup) -> Measurement:
    """Needs neither root nor the corpus."""
    files = FILES if setup.effort is FULL else QUICK_FILES
    rows = []
    for kind in _FORMATS:
        command = [sys.executable, "-m", "bench.images.million", str(files), kind, str(setup.directory)]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=_TIMEOUT_S)
        found: dict[str, float] = json.loads(done.stdout)
        rows += [
            Row(f"{kind}: memory of the build at its peak", found["peak"] / _MIB, "MiB", AtMost(512)),
            Row(f"{kind}: the build, with making its archive", found["seconds"], "s"),
        ]
    note = f"{files:,} files of 8 lines in directories of a thousand; without the interpreter and its modules."
    return Measurement(name="image-million", rows=tuple(rows), notes=(note,))


class _ManyFiles:
    """One layer of so many files, as an `ImageSource`."""

    def __init__(self, files: int) -> None:
        self._files = files

    @contextmanager
    def open(self, platform: Platform, limits: Limits) -> Iterator[OpenImage]:
        @contextmanager
        def layer() -> Iterator[LayerReader]:
            yield TarReader(_archive(self._files), limits)

        yield OpenImage(None, ImageConfig(platform, ImageRuntimeConfig(), ()), (layer,))


class _Nowhere:
    """A sink that keeps nothing."""

    def write(self, data: memoryview, /) -> object:
        return None


def _archive(files: int) -> Iterator[bytes]:
    for first in range(0, files, _PER_DIRECTORY):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
            directory = tarfile.TarInfo(f"d{first:07d}")
            directory.type, directory.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(directory)
            for number in range(first, min(first + _PER_DIRECTORY, files)):
                content = b"%d\n" % number * 8
                info = tarfile.TarInfo(f"{directory.name}/file-{number:07d}.txt")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
            end = tar.offset  # before the blocks of zeros that end an archive
        yield out.getvalue()[:end]
    yield bytes(1024)


def _build(files: int, kind: Format, spool: str) -> dict[str, float]:
    began, base = time.perf_counter(), _peak()
    built = build_image(_ManyFiles(files), Platform("amd64"), _Nowhere(), BuildOptions(format=kind, spool=spool))
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "peak": _peak() - base, "image": built.size, "files": built.files}


def _peak() -> int:
    """Of this program: what getrusage tells includes the one that started it."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split(maxsplit=1)[0]) * 1024


if __name__ == "__main__":
    print(json.dumps(_build(int(sys.argv[1]), "ext4" if sys.argv[2] == "ext4" else "erofs", sys.argv[3])))
