"""The layout of the data directory.

run/        lock, worker.sock
state/      lambdad.db, events.db, blobs/, keys: the API process's, nobody else reads it
logs/       function logs: the worker writes, the API reads
destinations/ what functions send to `file` destinations: the API writes, people read
worker/     unpacked code, runtimes, sandboxes: the worker's
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Paths:
    """Where things are in the data directory `root`."""

    root: Path

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def state(self) -> Path:
        return self.root / "state"

    @property
    def database(self) -> Path:
        return self.state / "lambdad.db"

    @property
    def events_database(self) -> Path:
        return self.state / "events.db"

    @property
    def destinations(self) -> Path:
        return self.root / "destinations"

    @property
    def blobs(self) -> Path:
        return self.state / "blobs"

    @property
    def chunks(self) -> Path:
        """Pieces of container images."""
        return self.state / "chunks"

    @property
    def keys(self) -> Path:
        """The key ring that seals the manifests of images."""
        return self.state / "keys"

    @property
    def access_keys(self) -> Path:
        """The keys that callers sign with."""
        return self.state / "access-keys.json"

    @property
    def spool(self) -> Path:
        """Temporary files of image builds."""
        return self.state / "spool"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def log_groups(self) -> Path:
        """What clients have said of log groups: the API writes, the worker reads how long logs are kept."""
        return self.state / "log-groups"

    @property
    def client_logs(self) -> Path:
        """What clients have put into log groups."""
        return self.state / "client-logs"

    @property
    def worker(self) -> Path:
        return self.root / "worker"

    def make_state(self) -> None:
        """The directories of the API process."""
        self.destinations.mkdir(mode=0o755, parents=True, exist_ok=True)
        self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        for place in (self.blobs, self.chunks, self.keys):
            place.mkdir(mode=0o700, exist_ok=True)

    def make_worker(self) -> None:
        """The directories of the worker."""
        self.worker.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.logs.mkdir(mode=0o755, parents=True, exist_ok=True)


class SocketPlace:
    """The worker's socket, by a path short enough for the kernel wherever the data directory is."""

    def __init__(self, paths: Paths) -> None:
        self._directory = os.open(paths.run, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    @property
    def path(self) -> str:
        return f"/proc/self/fd/{self._directory}/worker.sock"

    def close(self) -> None:
        os.close(self._directory)
