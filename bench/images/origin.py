"""The origin of the measured nodes: a directory behind a delay, with a log of what was read from it."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DELAYS_MS = (0.0, 2.75, 36.0)
"""A directory as it is; the paper's cache tier; the paper's object store."""
_HOOK = Path(__file__).parent / "slow_origin"


@dataclass(frozen=True, slots=True)
class OriginLog:
    """The log of one measured process tree."""

    path: Path

    def environment(self, delay_ms: float) -> dict[str, str]:
        """What to start Python with, so that its origin is so far away."""
        paths = [str(_HOOK), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(path for path in paths if path),
            "BENCH_ORIGIN_DELAY": str(delay_ms / 1000),
            "BENCH_ORIGIN_LOG": str(self.path),
        }

    def clear(self) -> None:
        self.path.write_bytes(b"")

    def chunks(self) -> tuple[Counter[str], int]:
        """How often each chunk was read, and the bytes of all these reads."""
        times: Counter[str] = Counter()
        total = 0
        for line in self.path.read_text().splitlines():
            path, _, size = line.rpartition(" ")
            if "/chunks/" in path:
                times[path] += 1
                total += int(size)
        return times, total


@contextlib.contextmanager
def origin_log() -> Iterator[OriginLog]:
    """A log that every user may write to: a node has processes of several."""
    with tempfile.NamedTemporaryFile(prefix="lambdad-origin-", suffix=".log") as file:
        path = Path(file.name)
        path.chmod(0o666)
        yield OriginLog(path)


def drop_caches() -> None:
    """Everything that the kernel keeps of files. Needs root."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3\n")
