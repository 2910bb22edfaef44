"""A real `lambdad up` in a process of its own, for tests, demonstrations and benchmarks.

    with LocalNode.start(data_dir) as node:
        node.client().list_functions()

Speaks to the node as any client does. It is not a way to look inside it.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import boto3
from botocore.config import Config

from lambdad.testing.leftovers import Holdings, describe_leftovers, list_holdings
from lambdad.testing.waiting import wait_until

HEALTH_PATH = "/_lambdad/health"
REGION = "us-east-1"

_INVENTED_KEY = "invented/for/the/local/node"


class NodeFailed(Exception):
    """The node did not start, or did not stop in time. The text ends with what it printed."""


class LocalNode:
    """A running node.

    endpoint: URL without a trailing slash. log: the file that holds its standard output and error.
    process: the `lambdad up` process, the parent of its worker.
    """

    def __init__(self, process: subprocess.Popen[bytes], data_dir: Path, port: int, log: Path) -> None:
        self.process = process
        self.data_dir = data_dir
        self.port = port
        self.log = log
        self.endpoint = f"http://127.0.0.1:{port}"

    @classmethod
    def start(
        cls,
        data_dir: Path,
        *,
        command: Sequence[str] = (sys.executable, "-m", "lambdad"),
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        timeout: float = 60.0,
    ) -> Self:
        """Start it on a free port of the loopback interface and wait until it is healthy.

        command: the `lambdad` to run. arguments: added to `up`. timeout: seconds. Raises `NodeFailed`.
        """
        port = free_port()
        data_dir.mkdir(parents=True, exist_ok=True)
        log = data_dir.with_name(data_dir.name + ".log")
        line = [*command, "up", "--host", "127.0.0.1", "--port", str(port), "--data-dir", str(data_dir), *arguments]
        with log.open("ab") as output:
            process = subprocess.Popen(
                line,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(os.environ if environment is None else environment),
                start_new_session=True,  # a Ctrl-C at the terminal is the test's, not the node's
            )
        node = cls(process, data_dir, port, log)
        try:
            node.wait_until_healthy(timeout)
        except BaseException:
            node.kill()
            raise
        return node

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.stop()

    def wait_until_healthy(self, timeout: float = 60.0) -> None:
        """Return when the health endpoint answers 200. timeout: seconds. Raises `NodeFailed`."""
        try:
            wait_until(lambda: self.process.poll() is not None or self._is_healthy(), "a healthy lambdad up", timeout)
        except TimeoutError as error:
            raise NodeFailed(f"{error}.\n{self.output_tail()}") from None
        if self.process.poll() is not None:
            raise NodeFailed(f"lambdad up ended with {self.process.returncode}.\n{self.output_tail()}")

    def client(self, **options: Any) -> Any:
        """A boto3 client of the Lambda API with invented credentials. options: for `botocore.config.Config`."""
        settings = {"retries": {"max_attempts": 0}, "read_timeout": 900, "max_pool_connections": 128, **options}
        return boto3.client(
            "lambda",
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
            aws_secret_access_key=_INVENTED_KEY,
            config=Config(**settings),
        )

    def holdings(self) -> Holdings:
        """What the node and its sandboxes hold of the host now."""
        return list_holdings(self.data_dir, self.process.pid)

    def stop(self, timeout: float = 60.0) -> list[str]:
        """SIGTERM, wait for the end, and say what is left, a sentence each (nothing, if all is well).

        timeout: seconds, then it is killed and `NodeFailed` raised.
        """
        held = self.holdings()
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise NodeFailed(f"lambdad up did not stop within {timeout:.0f} s.\n{self.output_tail()}") from None
        left = describe_leftovers(self.data_dir, held)
        if code != 0:
            left.append(f"exit code {code} after SIGTERM; its last words:\n{self.output_tail()}")
        return left

    def kill(self) -> None:
        """SIGKILL to the node and to everything that it started, as a crash of the machine would do."""
        held = self.holdings()
        self.process.kill()  # first: it would start the others again
        self.process.wait()
        for process in held.processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)

    def output_tail(self, lines: int = 40) -> str:
        """The last lines that the node printed."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _is_healthy(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", HEALTH_PATH)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def free_port() -> int:
    """A TCP port of the loopback interface that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
