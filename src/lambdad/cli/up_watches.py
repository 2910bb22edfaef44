"""`lambdad up --watch`: directories that are deployed when the node is there, and again whenever a file changes.

Each is a `lambdad deploy --watch` in a process of its own: the node's own processes read no files of functions' makers
and speak with nobody. Rule: a watch ends with the process that started it, however that ends; it holds the other end of
the watch's standard input.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import typer

from lambdad.cli import main
from lambdad.cli.output import note
from lambdad.cli.watching import wait_for_change

_END_S = 10.0
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


@dataclass(frozen=True, slots=True)
class Watch:
    """name: of the function; None for that of the directory. layers: directories."""

    directory: Path
    name: str | None
    layers: tuple[Path, ...] = ()

    def command(self, endpoint: str) -> list[str]:
        """The arguments of `lambdad` that deploy it, and go on."""
        named = [] if self.name is None else ["--name", self.name]
        layers = [word for layer in self.layers for word in ("--layers", str(layer))]
        return ["deploy", str(self.directory), *named, *layers, "--endpoint", endpoint, "--watch"]


def parse_watches(watches: Sequence[str], layers: Sequence[Path]) -> tuple[Watch, ...]:
    """`DIR` or `DIR:NAME`. Raises typer.BadParameter for what is no directory."""
    if layers and not watches:
        raise typer.BadParameter("--watch-layer needs --watch: a layer alone cannot be called")
    for layer in layers:
        if not layer.is_dir():
            raise typer.BadParameter(f"--watch-layer {layer}: there is no such directory")
    return tuple(_parse(text, tuple(layer.absolute() for layer in layers)) for text in watches)


def _parse(text: str, layers: tuple[Path, ...]) -> Watch:
    directory, colon, name = text.rpartition(":")
    if not colon or Path(text).is_dir():
        directory, name = text, ""
    if not Path(directory).is_dir():
        raise typer.BadParameter(f"--watch {text}: there is no directory {directory}")
    return Watch(Path(directory).absolute(), name or None, layers)


class Watches:
    """The processes that watch, for as long as this is open."""

    def __init__(self, watches: Sequence[Watch]) -> None:
        self._watches = watches
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            with process:  # closes its standard input
                try:
                    process.wait(_END_S)
                except subprocess.TimeoutExpired:
                    process.kill()

    def start(self, host: str, port: int) -> None:
        """Begin to watch, now that a node listens there."""
        reached = _ANYWHERE.get(host, host)
        endpoint = f"http://[{reached}]:{port}" if ":" in reached else f"http://{reached}:{port}"
        for watch in self._watches:
            command = [sys.executable, "-m", __name__, *watch.command(endpoint)]
            self._processes.append(subprocess.Popen(command, stdin=subprocess.PIPE))


def watch_until_orphaned(arguments: Sequence[str]) -> int:
    """Run the command; if the directory cannot be deployed yet, again after it has changed. The exit status.

    Being terminated is as Ctrl-C: what it was building, and the tools that build it, do not outlive it.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    directory = Path(arguments[1])
    try:
        while (status := main.run(arguments)) == 1:
            note(f"waiting for a change of {directory}")
            wait_for_change(directory)
    except KeyboardInterrupt:
        return 130
    return status


def _end_with_parent() -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 4096):
            pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(watch_until_orphaned(sys.argv[1:]))
