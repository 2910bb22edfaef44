"""What every benchmark is given: a place for its files, how long to measure, and a node when it asks for one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lambdad.testing.local_node import LocalNode


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much to measure. seconds: of each program in each round. functions: sizes of an account, ascending."""

    rounds: int
    seconds: float
    cold_starts: int
    idle_sandboxes: tuple[int, ...]
    functions: tuple[int, ...]


FULL = Effort(rounds=5, seconds=2.0, cold_starts=60, idle_sandboxes=(1, 100, 1000), functions=(100, 1_000, 10_000))
QUICK = Effort(rounds=1, seconds=0.5, cold_starts=5, idle_sandboxes=(1, 20), functions=(1, 20))


@dataclass(frozen=True, slots=True)
class Setup:
    """directory: temporary, removed afterwards."""

    directory: Path
    effort: Effort

    @contextmanager
    def node(self, name: str, settings: str = "") -> Iterator[LocalNode]:
        """A node of its own. settings: TOML for `--config`. Raises `RuntimeError` if it leaves anything behind."""
        configuration = self.directory / f"{name}.toml"
        configuration.write_text(settings)
        with LocalNode.start(self.directory / name, arguments=["--config", str(configuration)]) as node:
            yield node
            left = node.stop()
        if left:
            raise RuntimeError("the node left something behind:\n" + "\n".join(left))
