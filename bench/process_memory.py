"""What processes really occupy: PSS (shared pages divided among their users) and USS (pages of theirs alone).

Source: smaps_rollup in proc(5). Sandboxes are told from the platform by their PID namespace.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lambdad.testing.leftovers import descendants

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes."""

    pss: int
    uss: int

    def __add__(self, other: Memory) -> Memory:
        return Memory(self.pss + other.pss, self.uss + other.uss)


@dataclass(frozen=True, slots=True)
class NodeMemory:
    """sandboxes: one for each PID namespace below the node's own."""

    platform: Memory
    sandboxes: tuple[Memory, ...]


NOTHING = Memory(0, 0)


def measure_node(pid: int) -> NodeMemory:
    """The memory of the node whose first process is `pid`, and of each of its sandboxes."""
    own = _pid_namespace(pid)
    platform = NOTHING
    sandboxes: dict[str, Memory] = {}
    for process in (pid, *descendants(pid)):
        namespace, memory = _pid_namespace(process), _read_memory(process)
        if memory is None or not namespace:
            continue  # it has ended
        if namespace == own:
            platform += memory
        else:
            sandboxes[namespace] = sandboxes.get(namespace, NOTHING) + memory
    return NodeMemory(platform, tuple(sandboxes.values()))


def count_sandboxes(pid: int) -> int:
    """PID namespaces below that of the node."""
    return len({_pid_namespace(process) for process in descendants(pid)} - {_pid_namespace(pid), ""})


def parse_rollup(text: str) -> Memory:
    """The figures of an smaps_rollup."""
    sizes: dict[str, int] = {}
    for line in text.splitlines()[1:]:
        name, _, rest = line.partition(":")
        sizes[name] = int(rest.split()[0]) * 1024
    return Memory(_sum(sizes, ("Pss",)), _sum(sizes, ("Private_Clean", "Private_Dirty")))


def _sum(sizes: Mapping[str, int], names: Iterable[str]) -> int:
    return sum(sizes.get(name, 0) for name in names)


def _read_memory(pid: int) -> Memory | None:
    try:
        return parse_rollup((_PROC / str(pid) / "smaps_rollup").read_text())
    except (OSError, IndexError):
        return None


def _pid_namespace(pid: int) -> str:
    try:
        return str((_PROC / str(pid) / "ns" / "pid").readlink())
    except OSError:
        return ""
