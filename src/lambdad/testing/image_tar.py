"""Layers of images, made in code: what tests feed to the builder."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping

NANO = 1_000_000_000


class LayerBuilder:
    """One layer, entry by entry. Paths without leading slash. mtime: nanoseconds."""

    def __init__(self) -> None:
        self._bytes = io.BytesIO()
        self._tar = tarfile.open(fileobj=self._bytes, mode="w", format=tarfile.PAX_FORMAT)  # noqa: SIM115

    def file(
        self,
        path: str,
        data: bytes = b"",
        *,
        mode: int = 0o644,
        uid: int = 0,
        gid: int = 0,
        mtime: int = 0,
        xattrs: Mapping[str, bytes] | None = None,
    ) -> LayerBuilder:
        info = self._info(path, tarfile.REGTYPE, mode, uid, gid, mtime, xattrs)
        info.size = len(data)
        self._tar.addfile(info, io.BytesIO(data))
        return self

    def directory(
        self,
        path: str,
        *,
        mode: int = 0o755,
        uid: int = 0,
        gid: int = 0,
        mtime: int = 0,
        xattrs: Mapping[str, bytes] | None = None,
    ) -> LayerBuilder:
        self._tar.addfile(self._info(path, tarfile.DIRTYPE, mode, uid, gid, mtime, xattrs))
        return self

    def symlink(self, path: str, target: str, *, mtime: int = 0) -> LayerBuilder:
        return self._link(path, target, tarfile.SYMTYPE, mtime)

    def hardlink(self, path: str, target: str) -> LayerBuilder:
        return self._link(path, target, tarfile.LNKTYPE, 0)

    def special(self, path: str, kind: bytes) -> LayerBuilder:
        """A fifo or device node: one of tarfile's types."""
        self._tar.addfile(self._info(path, kind, 0o644, 0, 0, 0, None))
        return self

    def sparse(self, path: str, size: int, segments: list[tuple[int, bytes]]) -> LayerBuilder:
        """A sparse file in pax format 0.1: its data by offset."""
        info = self._info(path, tarfile.REGTYPE, 0o644, 0, 0, 0, None)
        data = b"".join(part for _, part in segments)
        info.size = len(data)
        places = ",".join(f"{offset},{len(part)}" for offset, part in segments)
        info.pax_headers = {"GNU.sparse.size": str(size), "GNU.sparse.map": places}
        self._tar.addfile(info, io.BytesIO(data))
        return self

    def whiteout(self, path: str) -> LayerBuilder:
        parent, _, name = path.rpartition("/")
        return self.file(f"{parent}/.wh.{name}" if parent else f".wh.{name}")

    def opaque(self, path: str) -> LayerBuilder:
        return self.file(f"{path}/.wh..wh..opq" if path else ".wh..wh..opq")

    def build(self) -> bytes:
        """The uncompressed tar."""
        self._tar.close()
        return self._bytes.getvalue()

    def _link(self, path: str, target: str, kind: bytes, mtime: int) -> LayerBuilder:
        info = self._info(path, kind, 0o777, 0, 0, mtime, None)
        info.linkname = target
        self._tar.addfile(info)
        return self

    def _info(
        self,
        path: str,
        kind: bytes,
        mode: int,
        uid: int,
        gid: int,
        mtime: int,
        xattrs: Mapping[str, bytes] | None,
    ) -> tarfile.TarInfo:
        info = tarfile.TarInfo(path)
        info.type, info.mode, info.uid, info.gid = kind, mode, uid, gid
        seconds, nanoseconds = divmod(mtime, NANO)
        info.mtime = seconds
        headers = {
            f"SCHILY.xattr.{name}": value.decode("utf-8", "surrogateescape") for name, value in (xattrs or {}).items()
        }
        if nanoseconds:
            headers["mtime"] = f"{seconds}.{nanoseconds:09d}"
        info.pax_headers = headers
        return info
