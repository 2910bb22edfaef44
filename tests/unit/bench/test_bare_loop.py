"""The canned Runtime API serves AWS's real client."""

from __future__ import annotations

from pathlib import Path

from bench import functions
from bench.bare_loop import BareLoop


def test_the_loop_counts_every_response_of_the_runtime_and_rests_between_runs(tmp_path: Path) -> None:
    code = functions.write_code(tmp_path / "code", functions.ECHO)
    with BareLoop(code, functions.HANDLER, 2, functions.EVENT) as loop:
        first, second = loop.run(0.2), loop.run(0.2)
    for samples in (first, second):
        assert len(samples.handovers) >= 2
        assert samples.rate == len(samples.handovers) / samples.seconds
        assert min(samples.periods) > 0
