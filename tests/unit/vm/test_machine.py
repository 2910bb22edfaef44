"""How long a guest may take, with a program in QEMU's place."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.vm import machine
from tests.vm.guest_image import GuestImage

NOWHERE = GuestImage(kernel=Path("k"), initramfs=Path("i"), disk=Path("d"), debian=Path("t"))


@pytest.fixture
def qemu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shell script that is started as QEMU would be; its body is the test's to write."""
    program = tmp_path / machine.QEMU
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setattr(machine, "QEMU", str(program))
    return program


def run(program: Path, body: str, patience: machine.Patience) -> list[str]:
    program.write_text(f"#!/bin/sh\n{body}\n")
    lines: list[str] = []
    try:
        machine.run_guest(machine.EMULATION, NOWHERE, machine.Hardware(), patience, lines.append)
    except machine.GuestTimeout as error:
        lines.append(f"{type(error).__name__}: {error}")
    return lines


def test_lines_come_as_they_are_and_the_last_one_needs_no_end(qemu: Path) -> None:
    assert run(qemu, r"printf 'one\r\ntwo\nthree'", machine.Patience(60, 60)) == ["one", "two", "three"]


def test_a_guest_that_falls_silent_is_looked_at_and_killed(qemu: Path) -> None:
    lines = run(qemu, "echo up; exec sleep 600", machine.Patience(60, 0.5, last_words=0.1))
    assert lines[0] == "up"
    assert "stands still" in lines[1]
    assert any(line.startswith("thread ") and "sleep" in line for line in lines)
    assert lines[-1] == "GuestSilent: the guest was killed: it had said nothing for 0 s"


def test_a_guest_that_talks_for_ever_is_killed_when_its_time_is_up(qemu: Path) -> None:
    lines = run(qemu, "while printf .; do :; done", machine.Patience(1, 60, last_words=0.1))
    assert lines[-1] == "GuestTimeout: the guest was killed after 1 s"
