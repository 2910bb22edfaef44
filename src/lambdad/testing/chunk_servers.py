"""Real servers for tests of the chunk tiers: Redis and S3, on free ports of the loopback address."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

_DEADLINE_S = 60.0


def find_redis() -> str | None:
    """Path of a Redis or Valkey server, or None."""
    return shutil.which("redis-server") or shutil.which("valkey-server")


@dataclass(frozen=True, slots=True)
class RedisServer:
    """address: `host:port`."""

    address: str
    process: subprocess.Popen[bytes]

    def pause(self) -> None:
        """It keeps its connections and answers nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def run_redis(program: str, password: str = "", certificates: Path | None = None) -> Iterator[RedisServer]:
    """An empty server without persistence, gone at the end.

    certificates: a directory of `testing.certificates`; then it speaks TLS alone.
    """
    port = free_port()
    command = [program, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--maxmemory", "256mb"]
    if certificates is None:
        command += ["--port", str(port)]
    else:
        command += ["--port", "0", "--tls-port", str(port), "--tls-auth-clients", "no"]
        command += ["--tls-cert-file", str(certificates / "server-cert.pem")]
        command += ["--tls-key-file", str(certificates / "server-key.pem")]
        command += ["--tls-ca-cert-file", str(certificates / "ca-cert.pem")]
    if password:
        command += ["--requirepass", password]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(lambda: _pings(port, certificates), f"Redis on port {port}")
        yield RedisServer(f"127.0.0.1:{port}", process)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
        process.wait()


def free_port() -> int:
    """A port that nobody listens on now; somebody else may be faster."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True, slots=True)
class S3Server:
    """endpoint: URL. bucket: an existing, empty bucket. Any credentials are taken."""

    endpoint: str
    bucket: str
    process: subprocess.Popen[bytes]


@contextmanager
def run_s3(program: str) -> Iterator[S3Server]:
    """moto's S3 server (`moto_server`) as a process of its own, with one bucket."""
    port = free_port()
    environment = {**os.environ, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    process = subprocess.Popen(
        [program, "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    endpoint = f"http://127.0.0.1:{port}"
    try:
        _wait_for(lambda: _answers(port), f"S3 on port {port}")
        assert _request(port, "PUT", "/chunks", {"Authorization": _ANY_SIGNATURE}) == 200
        yield S3Server(endpoint, "chunks", process)
    finally:
        process.kill()
        process.wait()


# moto tells services apart by the scope of the signature, which it does not check.
_ANY_SIGNATURE = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"


def _wait_for(is_there: object, what: str) -> None:
    assert callable(is_there)
    deadline = time.monotonic() + _DEADLINE_S
    while not is_there():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come up within {_DEADLINE_S:.0f} s")
        time.sleep(0.02)


def _pings(port: int, certificates: Path | None) -> bool:
    """Whether a server answers, be it that it wants a password."""
    try:
        with ExitStack() as stack:
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
            if certificates is not None:
                context = ssl.create_default_context(cafile=certificates / "ca-cert.pem")
                connection = stack.enter_context(context.wrap_socket(connection, server_hostname="127.0.0.1"))
            connection.sendall(b"*1\r\n$4\r\nPING\r\n")
            return connection.recv(7) in (b"+PONG\r\n", b"-NOAUTH")
    except OSError:
        return False


def _request(port: int, method: str, path: str, headers: dict[str, str]) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_DEADLINE_S)
    try:
        connection.request(method, path, headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


def _answers(port: int) -> bool:
    try:
        return _request(port, "GET", "/moto-api/", {}) > 0
    except (OSError, http.client.HTTPException):
        return False
