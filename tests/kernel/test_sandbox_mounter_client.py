"""The driver's side of a real mounter."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from lambdad.sandbox.identity import RootIdentity
from lambdad.sandbox.interface import SandboxError
from lambdad.sandbox.mounter_client import MounterClient
from lambdad.sandbox.spec import Bind, DirectoryRoot, Exec, Overlay, SandboxSpec
from lambdad.testing.probes import can_mount_loop, can_mount_overlay, skip_unless

pytestmark = [pytest.mark.kernel, skip_unless(can_mount_loop(), can_mount_overlay())]


def _with_mounter(directory: Path, scenario: Callable[[MounterClient], Awaitable[None]], slots: int = 10) -> None:
    async def run() -> None:
        mounter = MounterClient(directory, RootIdentity(), slots)
        mounter.start()
        try:
            await scenario(mounter)
        finally:
            await mounter.close()
            await mounter.close()

    asyncio.run(run())


def _spec(**changes: object) -> SandboxSpec:
    fields: dict[str, object] = {"memory_bytes": 1, "cpus": 1.0, "pids": 1, "files": 1}
    return SandboxSpec(start=Exec(("x",)), **fields | changes)  # type: ignore[arg-type]


def test_ids_are_used_again_when_their_volume_is_closed(tmp_path: Path) -> None:
    async def scenario(mounter: MounterClient) -> None:
        first, second = await mounter.create(16), await mounter.create(16)
        assert first.slot != second.slot
        with pytest.raises(SandboxError, match="all 2 ranges of user ids are in use"):
            await mounter.create(16)
        await first.close()
        third = await mounter.create(16)
        assert (third.slot, third.size_mb) == (first.slot, 16)

    _with_mounter(tmp_path, scenario, slots=2)


def test_mounts_come_as_root_then_mounts_then_volume(tmp_path: Path) -> None:
    for name in ("root", "bind", "top", "bottom"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_text("")
    (tmp_path / "file").write_text("")

    async def scenario(mounter: MounterClient) -> None:
        volume = await mounter.create(16)
        mounts = (
            Bind(str(tmp_path / "bind"), "/a"),
            Overlay((str(tmp_path / "top"), str(tmp_path / "bottom")), "/b"),
            Bind(str(tmp_path / "file"), "/c"),
        )
        kinds, fds = await mounter.mount(_spec(root=DirectoryRoot(str(tmp_path / "root")), mounts=mounts), volume)
        assert kinds == [True, True, False]
        assert [os.path.exists(f"/proc/self/fd/{fds[at]}/{name}") for at, name in ((0, "root"), (1, "bind"))] == [
            True
        ] * 2
        assert [name for name in ("top", "bottom") if os.path.exists(f"/proc/self/fd/{fds[2]}/{name}")] == [
            "top",
            "bottom",
        ]
        assert os.fstat(fds[4]).st_uid == RootIdentity().owner(volume.slot)[0]
        for fd in fds:
            os.close(fd)

    (tmp_path / "state").mkdir()
    _with_mounter(tmp_path / "state", scenario)


def test_a_failed_mount_names_its_reason_and_the_volume_stays(tmp_path: Path) -> None:
    async def scenario(mounter: MounterClient) -> None:
        volume = await mounter.create(16)
        with pytest.raises(SandboxError, match=r"mount failed: .*No such file"):
            await mounter.mount(_spec(mounts=(Bind("/no/such", "/a"),)), volume)
        _, fds = await mounter.mount(_spec(), volume)
        os.close(*fds)

    _with_mounter(tmp_path, scenario)


def test_what_is_asked_before_it_is_started_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="not open"):
        asyncio.run(MounterClient(tmp_path, RootIdentity(), 1).create(16))
