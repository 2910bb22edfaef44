"""The agent alone, with a socket for the supervisor: what it refuses, and when it ends."""

from __future__ import annotations

import array
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from lambdad.block.messages import Configure, Message, Refused, Serve, encode_message, parse_message

DEADLINE_S = 60.0


def start() -> tuple[subprocess.Popen[bytes], socket.socket]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        command = [sys.executable, "-m", "lambdad.block.agent", str(theirs.fileno())]
        process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stderr=subprocess.DEVNULL)
    ours.settimeout(DEADLINE_S)
    return process, ours


def send(supervisor: socket.socket, message: Message, descriptor: int | None = None) -> None:
    ancillary = []
    if descriptor is not None:
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]).tobytes())]
    supervisor.sendmsg([encode_message(message)], ancillary)


def test_it_ends_when_the_supervisor_is_gone(tmp_path: Path) -> None:
    for configured in (False, True):
        process, supervisor = start()
        if configured:
            send(supervisor, Configure(origin_directory=str(tmp_path)))
        supervisor.close()
        assert process.wait(DEADLINE_S) == 0


@pytest.mark.parametrize(
    ("manifest", "digest", "key", "reason"),
    [
        (None, "0" * 64, "00" * 32, "No such file"),
        (b"", "0" * 64, "00" * 32, "too few"),
        (b"x" * 500, "0" * 64, "00" * 32, "manifest"),
        (b"", "0" * 64, "no hex", "hex"),
    ],
)
def test_manifests_that_are_not_there_or_not_valid_are_refused_and_the_agent_lives(
    manifest: bytes | None, digest: str, key: str, reason: str, tmp_path: Path
) -> None:
    process, supervisor = start()
    send(supervisor, Configure(origin_directory=str(tmp_path / "origin")))
    path = tmp_path / "manifest"
    if manifest is not None:
        path.write_bytes(manifest)
    for _ in range(2):
        read_end, write_end = os.pipe()
        request = Serve(id="m", path="/p", manifest_path=str(path), digest=digest, key=key, can_resend=True)
        send(supervisor, request, read_end)
        os.close(read_end)
        message = parse_message(supervisor.recv(100_000))
        assert isinstance(message, Refused)
        assert reason in message.reason
        os.close(write_end)
    supervisor.close()
    assert process.wait(DEADLINE_S) == 0
