"""Reading the function log of one group: the files there are, their records, what is new in them.

A file may be renamed (rotated) or removed at any moment by the process that writes it; a reader then goes on under the
new name or stops there, and never raises. No file stays open between two records, so any number can be merged.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lambdad.telemetry.log_files import CURRENT, PREVIOUS, decode_name, decode_record, stream_of

_READ = 64 * 1024
_LINE_MAX = 2 * 256 * 1024 + 64
"""An escaped record of the greatest size; what is longer was not written by us."""


@dataclass(frozen=True, slots=True)
class LogRecord:
    """timestamp_ms: since the epoch. message: as it was written; `text` is for people."""

    timestamp_ms: int
    stream: str
    message: bytes

    @property
    def text(self) -> str:
        """What is not UTF-8 is replaced."""
        return self.message.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFile:
    """stream: encoded. identity: device and inode, which a rename does not change. modified_ns: since the epoch."""

    path: Path
    stream: str
    is_current: bool
    identity: tuple[int, int]
    size: int
    modified_ns: int


def list_files(folder: Path) -> list[LogFile]:
    """The log files of a group, older files of a stream before newer ones. None if there is no such folder."""
    found = []
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            stream = stream_of(entry.name)
            if stream is None or not entry.is_file(follow_symlinks=False):
                continue
            with contextlib.suppress(OSError):
                status = entry.stat(follow_symlinks=False)
                found.append(
                    LogFile(
                        path=Path(entry.path),
                        stream=stream,
                        is_current=entry.name.endswith(CURRENT),
                        identity=(status.st_dev, status.st_ino),
                        size=status.st_size,
                        modified_ns=status.st_mtime_ns,
                    )
                )
    return sorted(found, key=lambda file: (file.stream, file.is_current))


def read_between(files: Iterable[LogFile], since_ms: int, until_ms: int | None) -> Iterator[LogRecord]:
    """The records of one stream with since <= time < until; `files` in their order."""
    for file in files:
        for line, _ in _lines(file, 0):
            decoded = decode_record(line)
            if decoded is None or decoded[0] < since_ms:
                continue
            if until_ms is not None and decoded[0] >= until_ms:
                return
            yield LogRecord(decoded[0], decode_name(file.stream), decoded[1])


def new_records(folder: Path, positions: dict[tuple[int, int], int], since_ms: int) -> list[LogRecord]:
    """What came since the last look. positions: bytes seen of each file by its identity; brought up to date."""
    records = []
    seen = set()
    for file in list_files(folder):
        seen.add(file.identity)
        position = positions.get(file.identity, 0)
        if position > file.size:
            position = 0  # another file got the number of one that was removed
        for line, end in _lines(file, position):
            position = end
            decoded = decode_record(line)
            if decoded is not None and decoded[0] >= since_ms:
                records.append(LogRecord(decoded[0], decode_name(file.stream), decoded[1]))
        positions[file.identity] = position
    for identity in positions.keys() - seen:
        del positions[identity]
    return records


def _lines(file: LogFile, start: int) -> Iterator[tuple[bytes, int]]:
    """Complete lines from a position on, each with the position after it."""
    rest = b""
    position = start
    while data := _block(file, position + len(rest)):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            position += len(line) + 1
            yield line, position
        if len(rest) > _LINE_MAX:
            position += len(rest)
            rest = b""


def _block(file: LogFile, position: int) -> bytes:
    """Bytes at a position; none at the end, or when the file is gone."""
    for path in (file.path, file.path.with_name(f"{file.stream}{PREVIOUS}")):
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                status = os.fstat(descriptor)
                if (status.st_dev, status.st_ino) == file.identity:
                    return os.pread(descriptor, _READ, position)
            finally:
                os.close(descriptor)
    return b""
