"""The mounter: a process beside the worker that makes mounts and volumes for it, one request after the other.

It takes the slow system calls off the worker's event loop, sees the host's mounts as they are now (the launchers do
not), and without root it holds the user namespace that may mount at all. Run as `python -m lambdad.sandbox.mounter FD
DIRECTORY [UID_MAP GID_MAP]`; ends when the other end of FD is closed. Requests and answers are JSON packets, mounts
are descriptors.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from lambdad.linux import mounts, syscalls
from lambdad.sandbox.volume import MemoryStore, Store, TemplateStores

MESSAGE_MAX = 128 * 1024
_QUIET_S = 0.005
"""A cold start is over by then, or waits for something else."""


class Mounter:
    """Answers requests. directory: for the nameless files of volumes; own: one for mounts that have to be somewhere."""

    def __init__(self, directory: Path, own: Path) -> None:
        self._own = own
        self._templates = TemplateStores(directory)
        self._stores: dict[int, Store] = {}

    def answer(self, request: dict[str, Any]) -> tuple[dict[str, Any], list[int]]:
        """What the request's `do` says. Raises OSError, ValueError. The caller closes the descriptors."""
        match request["do"]:
            case "create":
                owner = (int(request["owner"][0]), int(request["owner"][1]))
                self._stores[request["volume"]] = self._create(request["volume"], request["size_mb"], owner, request)
                return {}, []
            case "capture":
                return {"has_files": self._templates.capture(request["volume"], self._store(request["volume"]))}, []
            case "drop":
                store = self._stores.pop(request["volume"], None)
                self._templates.forget(request["volume"])
                if store is not None:
                    store.close()
                return {}, []
            case "mount":
                return self._mount(request)
            case unknown:
                raise ValueError(f"no such request: {unknown}")

    def prepare(self) -> bool:
        """Use a quiet moment to make what will be asked for; False if nothing is to be done."""
        try:
            return self._templates.prepare()
        except OSError:
            return False  # whoever asks for one will be told

    def _create(self, number: int, size_mb: int, owner: tuple[int, int], request: dict[str, Any]) -> Store:
        if request["in_memory"]:
            return MemoryStore(self._own / str(number), size_mb, owner)
        if request["like"] is not None:
            return self._templates.create_like(request["like"])
        return self._templates.create(size_mb, owner)

    def _store(self, number: int) -> Store:
        store = self._stores.get(number)
        if store is None:
            raise ValueError("the volume went away with an earlier mounter")
        return store

    def _mount(self, request: dict[str, Any]) -> tuple[dict[str, Any], list[int]]:
        """The root, if there is one, then each of `mounts`, then the volume for /tmp."""
        fds: list[int] = []
        kinds: list[bool] = []
        try:
            for lowers in request["mounts"]:
                kinds.append(Path(lowers[0]).is_dir())
                fds.append(mounts.merge_read_only(lowers))
            if request["root"] is not None:
                directories = ["/proc", "/dev", "/tmp"]
                directories += [target for target, kind in zip(request["targets"], kinds, strict=True) if kind]
                files = [target for target, kind in zip(request["targets"], kinds, strict=True) if not kind]
                scratch = self._own / "scratch"
                scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
                fds.insert(0, mounts.root_with_mount_points(request["root"], directories, files, str(scratch)))
            fds.append(self._store(request["volume"]).mount())
        except (OSError, ValueError):
            for fd in fds:
                os.close(fd)
            raise
        return {"directories": kinds}, fds


def serve(connection: socket.socket, mounter: Mounter) -> None:
    """Answer until the other end is closed; prepare while nothing is asked."""
    while True:
        while not select.select([connection], [], [], _QUIET_S)[0] and mounter.prepare():
            pass
        data = connection.recv(MESSAGE_MAX)
        if not data:
            return
        fds: list[int] = []
        try:
            answer, fds = mounter.answer(json.loads(data))
        except (OSError, ValueError) as error:
            answer = {"error": str(error)}
        socket.send_fds(connection, [json.dumps(answer).encode()], fds)
        for fd in fds:
            os.close(fd)


def enter_user_namespace(maps: tuple[str, str]) -> None:
    """Without root: become the one user of a user namespace, with mounts of its own that follow the host's."""
    syscalls.unshare(syscalls.CLONE_NEWUSER | syscalls.CLONE_NEWNS)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(maps[0])
    Path("/proc/self/gid_map").write_text(maps[1])
    syscalls.mount("", "/", "", syscalls.MS_REC | syscalls.MS_SLAVE)


def main(arguments: list[str]) -> None:
    connection = socket.socket(fileno=int(arguments[1]))
    directory = Path(arguments[2])
    # A worker that is stopped from a terminal ends its mounter by closing the connection, when it is done with it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if len(arguments) > 3:
        try:
            enter_user_namespace((arguments[3], arguments[4]))
        except OSError as error:
            sys.exit(f"lambdad: what mounts for sandboxes cannot start: {error}")
    with connection:
        serve(connection, Mounter(directory, directory / "volumes"))


if __name__ == "__main__":
    main(sys.argv)
