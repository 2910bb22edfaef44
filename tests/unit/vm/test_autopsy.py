"""What is asked of a QEMU whose guest stands still."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

from tests.vm import autopsy

ANSWERS = {
    "info status": b"VM status: running\r\n",
    "info registers -a": b"CPU#0\r\nRIP=ffffffff81e0bd6b RFL=00000246\r\nXMM00=00\r\n",
}


class Monitor:
    """Speaks as QEMU's monitor does. asked: the commands it got."""

    def __init__(self, path: Path) -> None:
        self.asked: list[str] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with self._listener, self._listener.accept()[0] as connection:
            connection.sendall(b"QEMU 7.2 monitor\r\n(qemu) ")
            for command in connection.makefile("r"):
                self.asked.append(command.strip())
                connection.sendall(command.encode() + ANSWERS.get(command.strip(), b"") + b"(qemu) ")

    def join(self) -> None:
        self._thread.join()


def test_threads_and_registers_are_told_and_the_interrupt_comes_last(tmp_path: Path) -> None:
    monitor = Monitor(tmp_path / "monitor")
    lines = list(autopsy.examine(os.getpid(), tmp_path / "monitor"))
    monitor.join()
    assert monitor.asked == ["info status", "info registers -a", "info registers -a", "nmi"]
    assert any(line.startswith(f"thread {os.getpid()} ") for line in lines)
    assert "RIP=ffffffff81e0bd6b RFL=00000246" in lines
    assert "VM status: running" in lines
    assert not any("XMM00" in line for line in lines)


def test_a_monitor_that_is_not_there_is_a_line(tmp_path: Path) -> None:
    assert list(autopsy.examine(os.getpid(), tmp_path / "monitor"))[-1].startswith("QEMU's monitor does not answer")
