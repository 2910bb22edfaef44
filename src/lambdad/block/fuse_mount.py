"""Mounting a FUSE file and shaking hands with the kernel: done once, by the process that keeps the descriptor.

The kernel reads ahead in it by `READ_AHEAD_KB`, two chunks: with its own 128 KiB it asks four times for each chunk, and
for no chunk before the one in front of it is there. Measured, chunks in the disk cache: 330 MB/s, with 1024 KiB 570.

Small on purpose, and free of asyncio: the supervisor imports it.
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from lambdad.block import fuse_protocol as protocol
from lambdad.linux import syscalls

_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOATIME = 1, 2, 4, 1024
_MNT_FORCE = 1
READ_AHEAD_KB = 1024


@dataclass(frozen=True, slots=True)
class FuseMount:
    """descriptor: of /dev/fuse; as long as anybody holds it, the mount lives. can_resend: see `protocol.Init`."""

    path: str
    descriptor: int
    can_resend: bool


def mount_file(path: str) -> FuseMount:
    """Mount a FUSE file over the file `path`, which is made if it does not exist. Raises OSError, `FuseViolation`."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    descriptor = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    try:
        options = f"fd={descriptor},rootmode=100444,user_id=0,group_id=0,allow_other,max_read={protocol.READ_MAX}"
        flags = _MS_RDONLY | _MS_NOSUID | _MS_NODEV | _MS_NOATIME
        syscalls.mount("lambdad", path, "fuse.lambdad", flags, options)
        try:
            # The kernel has put INIT into the queue before mount(2) returned.
            init = protocol.parse_request(os.read(descriptor, protocol.BUFFER_SIZE))
            if not isinstance(init, protocol.Init):
                raise protocol.FuseViolation("the first request is not INIT")
            os.write(descriptor, protocol.reply_init(init))
            _read_ahead(path)
        except BaseException:
            unmount(path)
            raise
    except BaseException:
        os.close(descriptor)
        raise
    return FuseMount(path, descriptor, init.can_resend)


def set_read_ahead(device: str) -> None:
    """device: `MAJOR:MINOR` of a mounted file system."""
    with contextlib.suppress(OSError):
        # A matter of speed only: containers see /sys read-only.
        Path(f"/sys/class/bdi/{device}/read_ahead_kb").write_text(str(READ_AHEAD_KB))


def mount_points() -> list[tuple[str, str]]:
    """Device (`MAJOR:MINOR`) and path of every mount, in the order in which they were mounted."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        fields = [line.split(" ") for line in file]
    return [(found[2], _unescape(found[4])) for found in fields]


def _read_ahead(path: str) -> None:
    # Not by stat: nobody answers on the file yet, so it would wait for ever.
    folder, name = os.path.split(path)
    real = os.path.join(os.path.realpath(folder), name)
    for device, point in reversed(mount_points()):
        if point == real:
            set_read_ahead(device)
            return


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def unmount(path: str) -> None:
    """Take the mount away even if somebody uses it: readers get an error instead of hanging. Idempotent."""
    for flags in (_MNT_FORCE, syscalls.MNT_DETACH):
        try:
            syscalls.umount(path, flags)
        except OSError:
            continue
        return
