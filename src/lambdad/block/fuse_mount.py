"""Mounting a FUSE file and shaking hands with the kernel: done once, by the process that keeps the descriptor.

Small on purpose, and free of asyncio: the supervisor imports it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from lambdad.block import fuse_protocol as protocol
from lambdad.linux import syscalls

_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOATIME = 1, 2, 4, 1024
_MNT_FORCE = 1


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
        except BaseException:
            unmount(path)
            raise
    except BaseException:
        os.close(descriptor)
        raise
    return FuseMount(path, descriptor, init.can_resend)


def unmount(path: str) -> None:
    """Take the mount away even if somebody uses it: readers get an error instead of hanging. Idempotent."""
    for flags in (_MNT_FORCE, syscalls.MNT_DETACH):
        try:
            syscalls.umount(path, flags)
        except OSError:
            continue
        return
