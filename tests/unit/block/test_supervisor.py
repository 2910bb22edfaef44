"""The supervisor's decisions, with pipes for worker and agent: it never needs FUSE to be told apart."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

from lambdad.block.messages import Configure, Drop, Lost, Refused, Serve, encode_message, parse_message
from lambdad.block.supervisor import RESTARTS_MAX

DEADLINE_S = 60.0


def start() -> tuple[subprocess.Popen[bytes], socket.socket]:
    """A real supervisor and the worker's end of its socket."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        command = [sys.executable, "-m", "lambdad.block.supervisor", str(theirs.fileno())]
        process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stderr=subprocess.DEVNULL)
    ours.settimeout(DEADLINE_S)
    return process, ours


def test_it_ends_when_the_worker_is_gone() -> None:
    process, worker = start()
    worker.close()
    assert process.wait(DEADLINE_S) == 0


def test_an_agent_that_cannot_even_start_is_given_up_after_a_few_attempts() -> None:
    """No origin is configured: every agent ends at once."""
    process, worker = start()
    worker.send(encode_message(Configure()))
    message = parse_message(worker.recv(100_000))
    assert isinstance(message, Lost)
    assert f"died {RESTARTS_MAX + 1} times" in message.reason
    assert process.wait(DEADLINE_S) == 0
    worker.close()


def test_what_cannot_be_mounted_is_refused_and_what_is_not_there_can_be_dropped(tmp_path: Path) -> None:
    process, worker = start()
    worker.send(encode_message(Configure(origin_directory=str(tmp_path))))
    worker.send(encode_message(Drop("unknown")))
    path = str(tmp_path / "no" / "disk")
    worker.send(encode_message(Serve(id="m", path=path, manifest_path="/m", digest="0", key="")))
    message = parse_message(worker.recv(100_000))
    assert isinstance(message, Refused)
    assert message.id == "m"
    assert path in message.reason
    worker.close()
    assert process.wait(DEADLINE_S) == 0
