"""PSS and USS from smaps_rollup, of real processes too."""

from __future__ import annotations

import os

from bench.process_memory import Memory, count_sandboxes, measure_node, parse_rollup

ROLLUP = """5581a1000000-7ffe000000 ---p 00000000 00:00 0                          [rollup]
Rss:                9000 kB
Pss:                4096 kB
Pss_Anon:           1000 kB
Private_Clean:        24 kB
Private_Dirty:      1000 kB
"""


def test_a_rollup_gives_proportional_and_private_bytes() -> None:
    assert parse_rollup(ROLLUP) == Memory(pss=4096 * 1024, uss=1024 * 1024)


def test_a_process_without_sandboxes_is_all_platform() -> None:
    memory = measure_node(os.getpid())
    assert memory.platform.pss >= memory.platform.uss > 0
    assert memory.sandboxes == ()
    assert count_sandboxes(os.getpid()) == 0
