"""A build turned inside out: the image writer runs in a thread, and its bytes are iterated here.

For whoever uploads an image while it is being written: at most `PIECES_AHEAD` MiB wait between the two.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator

from lambdad.image.build import BuildOptions, BuiltImage, Format, build_image
from lambdad.image.errors import BuildCancelled
from lambdad.image.oci import Platform
from lambdad.image.sources import ImageSource

PIECES_AHEAD = 8
"""Pieces (1 MiB) of the image that may wait for whoever takes them."""
EROFS_ON_FILES = (6, 12)
"""The first kernel that mounts EROFS straight from a file; older ones get ext4, for a loop device."""
_LOOK_S = 1.0


def format_for(release: str) -> Format:
    """The file system to build for a kernel, by its release as `uname -r` says it."""
    major, _, rest = release.partition(".")
    minor = rest.split(".")[0].split("-")[0]
    return "erofs" if (int(major), int(minor)) >= EROFS_ON_FILES else "ext4"


class ImagePieces:
    """The bytes of an image, in order, to be iterated once. What the build raises comes out of the iteration."""

    def __init__(self, source: ImageSource, platform: Platform, options: BuildOptions) -> None:
        self._source = source
        self._platform = platform
        self._options = options
        self._queue: queue.Queue[bytes | BaseException | None] = queue.Queue(PIECES_AHEAD)
        self._is_over = threading.Event()
        self._built: BuiltImage | None = None

    @property
    def built(self) -> BuiltImage:
        """What was built, once every piece has been taken."""
        assert self._built is not None
        return self._built

    def __iter__(self) -> Iterator[bytes]:
        threading.Thread(target=self._run, daemon=True).start()
        try:
            while (piece := self._queue.get()) is not None:
                if isinstance(piece, BaseException):
                    raise piece
                yield piece
        finally:
            self._is_over.set()

    def write(self, data: memoryview, /) -> None:
        """Called by the image writer."""
        self._put(bytes(data))

    def _run(self) -> None:
        try:
            self._built = build_image(self._source, self._platform, self, self._options)
            self._put(None)
        except BaseException as error:
            if not self._is_over.is_set():
                self._queue.put(error)

    def _put(self, piece: bytes | None) -> None:
        while True:
            if self._is_over.is_set():
                raise BuildCancelled("nobody wants the image any more")
            try:
                self._queue.put(piece, timeout=_LOOK_S)
            except queue.Full:
                continue
            return
