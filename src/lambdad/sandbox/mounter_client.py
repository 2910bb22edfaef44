"""The driver's side of the mounter: starts it, asks it, starts another if it ended."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, assert_never

from lambdad.sandbox.identity import Identity
from lambdad.sandbox.interface import SandboxError
from lambdad.sandbox.packets import Requests, packet_pair
from lambdad.sandbox.spec import Bind, DirectoryRoot, HostRoot, Overlay, SandboxSpec


class NativeVolume:
    """A volume of the native driver. slot: whose ids its files have; they stay with it from sandbox to sandbox."""

    def __init__(self, mounter: MounterClient, number: int, slot: int, size_mb: int) -> None:
        self.size_mb = size_mb
        self.number = number
        self.slot = slot
        self._mounter = mounter
        self._is_closed = False

    async def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            await self._mounter.drop(self)


class MounterClient:
    """state_dir: the driver's. keeps_in_memory: whether volumes are tmpfs; set if disks cannot be had."""

    def __init__(self, state_dir: Path, identity: Identity, slots: int) -> None:
        self.keeps_in_memory = False
        self._state_dir = state_dir
        self._identity = identity
        self._slots = slots
        self._free_slots: list[int] = []
        self._slot_users: Counter[int] = Counter()
        self._next_slot = 0
        self._volumes: dict[int, NativeVolume] = {}
        self._next_number = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._requests: Requests | None = None

    def start(self) -> None:
        """Start the process. Raises OSError."""
        ours, theirs = packet_pair()
        with theirs:
            arguments = [str(theirs.fileno()), str(self._state_dir), *(self._identity.launcher_maps or ())]
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "lambdad.sandbox.mounter", *arguments],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                cwd="/",
            )
        self._requests = Requests(asyncio.get_running_loop(), ours)

    async def create(self, size_mb: int) -> NativeVolume:
        """A volume with ids of its own. Raises SandboxError."""
        return await self._create(self._take_slot(), size_mb, None)

    async def create_like(self, original: NativeVolume, *, with_files: bool) -> NativeVolume:
        """A volume with the ids of another one, which was captured, and with its files. Raises SandboxError."""
        return await self._create(original.slot, original.size_mb, original.number if with_files else None)

    async def capture(self, volume: NativeVolume) -> bool:
        """Keep what is in it now for `create_like`, for as long as it is open; False if it is empty."""
        answer, _ = await self._ask({"do": "capture", "volume": volume.number})
        return bool(answer["has_files"])

    async def _create(self, slot: int, size_mb: int, like: int | None) -> NativeVolume:
        self._next_number += 1
        volume = NativeVolume(self, self._next_number, slot, size_mb)
        self._volumes[volume.number] = volume
        self._slot_users[slot] += 1
        request = {
            "do": "create",
            "volume": volume.number,
            "size_mb": size_mb,
            "owner": self._identity.owner(slot),
            "in_memory": self.keeps_in_memory,
            "like": like,
        }
        try:
            await self._ask(request)
        except BaseException:
            await volume.close()
            raise
        return volume

    async def drop(self, volume: NativeVolume) -> None:
        """What `NativeVolume.close` does."""
        if self._volumes.pop(volume.number, None) is None:
            return
        if self._requests is not None:
            with contextlib.suppress(ConnectionError):  # a mounter that has ended took its volumes along
                await self._requests.send({"do": "drop", "volume": volume.number})
        self._slot_users[volume.slot] -= 1
        if not self._slot_users[volume.slot]:
            del self._slot_users[volume.slot]
            self._free_slots.append(volume.slot)

    async def mount(self, spec: SandboxSpec, volume: NativeVolume) -> tuple[list[bool], list[int]]:
        """The root if `spec` brings one, each of its mounts, and the volume, as descriptors that the caller closes.

        Returns for each of the spec's mounts whether it is a directory, and the descriptors. Raises SandboxError.
        """
        request = {
            "do": "mount",
            "volume": volume.number,
            "root": _root_path(spec.root),
            "mounts": [_lowers(mount) for mount in spec.mounts],
            "targets": [mount.target for mount in spec.mounts],
        }
        answer, fds = await self._ask(request)
        return answer["directories"], fds

    async def close(self) -> None:
        """Free every volume and end the process."""
        if self._requests is None or self._process is None:
            return
        for volume in list(self._volumes.values()):
            await volume.close()
        self._requests.close()
        self._process.wait()
        self._requests = self._process = None

    async def _ask(self, request: dict[str, Any]) -> tuple[dict[str, Any], list[int]]:
        if self._requests is None or self._process is None:
            raise SandboxError("the driver is not open")
        if self._requests.is_closed:
            self._process.kill()
            self._process.wait()
            self.start()
        try:
            answer, fds = await self._requests.send(request)
        except ConnectionError as error:
            raise SandboxError(f"{request['do']}: {error}") from error
        if "error" in answer:
            raise SandboxError(f"{request['do']} failed: {answer['error']}")
        return answer, fds

    def _take_slot(self) -> int:
        if self._free_slots:
            return self._free_slots.pop()
        if self._next_slot >= self._slots:
            raise SandboxError(f"all {self._slots} ranges of user ids are in use")
        self._next_slot += 1
        return self._next_slot - 1


def _root_path(root: HostRoot | DirectoryRoot) -> str | None:
    match root:
        case HostRoot():
            return None
        case DirectoryRoot(path):
            return path
        case _:
            assert_never(root)


def _lowers(mount: Bind | Overlay) -> Sequence[str]:
    match mount:
        case Bind(source, _):
            return [source]
        case Overlay(lowers, _):
            return list(lowers)
        case _:
            assert_never(mount)
