"""What a further program is told if it cannot be executed; what it may do is told by the conformance suite."""

from __future__ import annotations

import os
from pathlib import Path

from lambdad.sandbox.inside.program import execute


def test_why_a_program_cannot_be_executed_is_said_in_the_words_of_aws(tmp_path: Path) -> None:
    plain, binary = tmp_path / "plain", tmp_path / "binary"
    plain.write_text("#!/bin/sh\n")
    binary.write_bytes(b"\x7fELF and no more")
    binary.chmod(0o755)
    cases = {
        plain: f"PermissionDenied fork/exec {plain}: permission denied",
        binary: f"UnknownError fork/exec {binary}: exec format error",
        tmp_path / "gone": f"UnknownError fork/exec {tmp_path / 'gone'}: no such file or directory",
    }
    for path, expected in cases.items():
        ours, theirs = os.pipe()
        execute([str(path)], {}, theirs)
        assert os.read(ours, 4096).decode() == expected
        os.close(ours)
        os.close(theirs)
