"""FUSE messages as the kernel writes and reads them (include/uapi/linux/fuse.h)."""

from __future__ import annotations

import errno
import struct

import pytest

from lambdad.block import fuse_protocol as fuse


def request(opcode: int, body: bytes = b"", unique: int = 9) -> bytes:
    return struct.pack("<IIQQIIIHH", 40 + len(body), opcode, unique, 1, 0, 0, 77, 0, 0) + body


INIT = struct.pack("<IIII", 7, 45, 131_072, 0xFFFFFFFF) + struct.pack("<I11I", 0x80, *(0,) * 11)


def test_requests_are_understood() -> None:
    assert fuse.parse_request(request(15, struct.pack("<QQIIQII", 0, 8192, 4096, 0, 0, 0, 0))) == fuse.Read(
        9, 8192, 4096
    )
    assert fuse.parse_request(request(3, bytes(16))) == fuse.GetAttributes(9)
    assert fuse.parse_request(request(17)) == fuse.StatFileSystem(9)
    assert fuse.parse_request(request(36, struct.pack("<Q", 5))) == fuse.Interrupt(5)
    assert fuse.parse_request(request(2, bytes(8))) == fuse.Ignored()
    assert fuse.parse_request(request(14, bytes(8))) == fuse.Unsupported(9, 14)
    init = fuse.parse_request(request(26, INIT))
    assert isinstance(init, fuse.Init)
    assert init.can_resend


@pytest.mark.parametrize(
    "data", [b"", bytes(39), bytes(40), request(15), request(36, b"x"), request(26), request(3) + b"x"]
)
def test_what_the_kernel_cannot_have_sent_is_a_violation(data: bytes) -> None:
    with pytest.raises(fuse.FuseViolation):
        fuse.parse_request(data)


def test_a_kernel_without_extended_flags_cannot_resend() -> None:
    old = fuse.parse_request(request(26, struct.pack("<IIII", 7, 31, 131_072, 0xFFFF)))
    assert isinstance(old, fuse.Init)
    assert not old.can_resend
    assert len(fuse.reply_init(old)) == 16 + 64


def test_a_kernel_that_is_too_old_is_told_apart() -> None:
    with pytest.raises(fuse.FuseViolation, match="too old"):
        fuse.reply_init(fuse.Init(1, 7, 30, 0, 0, 0))


def test_replies_have_the_kernels_sizes() -> None:
    init = fuse.parse_request(request(26, INIT))
    assert isinstance(init, fuse.Init)
    for reply, size in (
        (fuse.reply_init(init), 16 + 64),
        (fuse.reply_attributes(9, 10**12), 16 + 104),
        (fuse.reply_statfs(9, 10**12), 16 + 80),
        (fuse.reply_error(9, errno.EIO), 16),
        (fuse.notify_resend(), 16),
        (fuse.reply_header(9, 0), 16),
    ):
        assert len(reply) == size
        assert struct.unpack_from("<I", reply)[0] == size
    assert struct.unpack_from("<IiQ", fuse.reply_error(9, errno.EIO)) == (16, -5, 9)
    assert struct.unpack_from("<Q", fuse.reply_attributes(9, 10**12), 16 + 16 + 8)[0] == 10**12
    assert fuse.reply_unsupported(fuse.Unsupported(9, 14)) == fuse.reply_error(9, errno.ENOSYS)
    assert struct.unpack_from("<I", fuse.reply_header(9, 4096))[0] == 16 + 4096
