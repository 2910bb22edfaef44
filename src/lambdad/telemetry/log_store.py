"""Function logs on disk: writers for sandboxes, readers for people. Format: docs/formats/function-log.md.

No daemon and no timer: a writer keeps records until it has many or is told to `flush`, and opens its file only then, so
a thousand idle sandboxes hold no descriptor. Readers look at the files alone; they may run in another process, and a
file may be renamed or removed under them at any time. The log of a function never fails an invocation: what cannot be
written is counted and reported in the log itself.
"""

from __future__ import annotations

import contextlib
import heapq
import os
import shutil
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from lambdad.model.arn import Namespace
from lambdad.telemetry.function_log import LogFormatter, LogsDropped
from lambdad.telemetry.log_files import CURRENT, PREVIOUS, decode_name, encode_name, encode_record
from lambdad.telemetry.log_reader import LogFile, LogRecord, list_files, new_records, read_between

SWEEP_S = 3600.0
"""Between two sweeps, of each process that owns log files: what nobody writes or reads any more goes, too. CloudWatch
takes up to three days with what has expired."""
_CLOCK_SLACK_MS = 3_600_000
"""A file whose last write is this much older than what is asked for is not read: its clock may have been set back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLimits:
    """file_bytes: at which a stream's file is rotated. buffer_bytes: kept in memory before a write.
    group_bytes, group_files: of all streams of a function together.
    rate_bytes, burst_bytes: what one stream may write a second, and at once.
    """

    file_bytes: int = 8 * 1024 * 1024
    buffer_bytes: int = 64 * 1024
    group_bytes: int = 256 * 1024 * 1024
    group_files: int = 1024
    rate_bytes: int = 1024 * 1024
    burst_bytes: int = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """bytes: on disk. last_write_ms: since the epoch."""

    name: str
    bytes: int
    last_write_ms: int


class LogWriter:
    """The log of one sandbox. Not for two threads."""

    __slots__ = ("_allowance", "_buffer", "_dropped", "_formatter", "_limits", "_path", "_refilled_ms", "_store")

    def __init__(self, store: LogStore, path: Path, limits: LogLimits, formatter: LogFormatter) -> None:
        self._store = store
        self._path = path
        self._limits = limits
        self._formatter = formatter
        self._buffer = bytearray()
        self._allowance = float(limits.burst_bytes)
        self._refilled_ms = 0
        self._dropped = [0, 0]

    def append(self, timestamp_ms: int, message: bytes) -> None:
        """Add a record; written at once only when many are waiting. Never raises."""
        if not self._may_take(timestamp_ms, len(message)):
            self._count_dropped(len(message))
            return
        if self._dropped[0]:
            self._report_dropped(timestamp_ms)
        self._buffer += encode_record(timestamp_ms, message)
        if len(self._buffer) >= self._limits.buffer_bytes:
            self.flush()

    def flush(self) -> None:
        """Hand everything to the kernel. Never raises: what cannot be written is counted as dropped."""
        if not self._buffer:
            return
        data = bytes(self._buffer)
        self._buffer.clear()
        try:
            self.write(data)
        except OSError:
            self._dropped[0] += data.count(b"\n")
            self._dropped[1] += len(data)

    def close(self) -> None:
        """Flush, and be forgotten by the store. Idempotent."""
        if self._dropped[0]:
            self._report_dropped(self._refilled_ms)
        self.flush()
        self._store.forget(self)

    def _may_take(self, now_ms: int, size: int) -> bool:
        """A token bucket on the records' own times."""
        elapsed = min(max(now_ms - self._refilled_ms, 0), 1_000_000)
        self._refilled_ms = now_ms
        grown = self._allowance + elapsed * self._limits.rate_bytes / 1000
        self._allowance = min(grown, float(self._limits.burst_bytes))
        if size > self._allowance:
            return False
        self._allowance -= size
        return True

    def _count_dropped(self, size: int) -> None:
        self._dropped[0] += 1
        self._dropped[1] += size

    def _report_dropped(self, now_ms: int) -> None:
        records, size = self._dropped
        self._dropped = [0, 0]
        event = LogsDropped(reason="The function wrote more than its log takes", records=records, bytes=size)
        text = self._formatter.format(event, now_ms)
        if text is not None:
            self._buffer += encode_record(now_ms, text)

    def write(self, data: bytes) -> None:
        """Encoded records, past the buffer. Raises OSError."""
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            descriptor = os.open(self._path, flags, 0o644)
        except FileNotFoundError:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path, flags, 0o644)
        try:
            size = os.fstat(descriptor).st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                data = b"\n" + data
            written = os.write(descriptor, data)
            if written < len(data):
                raise OSError("the disk took a part of a record")
        finally:
            os.close(descriptor)
        if size + len(data) >= self._limits.file_bytes:
            self._path.replace(self._path.with_name(self._path.name.removesuffix(CURRENT) + PREVIOUS))
            self._store.trim(self._path.parent)


class LogStore:
    """The logs below one directory.

    floor: before which time, in milliseconds, the log of a group may be removed, by the path of the group's folder
    below the directory; asked when a group is looked through.
    """

    def __init__(
        self, directory: Path, limits: LogLimits | None = None, floor: Callable[[Path], int] | None = None
    ) -> None:
        self._directory = directory
        self._floor = floor
        self._limits = limits if limits is not None else LogLimits()
        self._open: dict[LogWriter, None] = {}

    def open(self, namespace: Namespace, group: str, stream: str, formatter: LogFormatter | None = None) -> LogWriter:
        """A writer for a stream; its file appears with its first record. group: the function's name.

        formatter: how `platform.logsDropped` is written.
        """
        folder = self._folder(namespace, group)
        # A name chosen by chance picks the streams at whose birth the group is looked through.
        if zlib.crc32(stream.encode()) % 16 == 0:
            self.trim(folder)
        path = folder / f"{encode_name(stream)}{CURRENT}"
        writer = LogWriter(self, path, self._limits, formatter if formatter is not None else LogFormatter())
        self._open[writer] = None
        return writer

    def flush(self) -> None:
        """Flush all writers."""
        for writer in list(self._open):
            writer.flush()

    def close(self) -> None:
        """Close all writers."""
        for writer in list(self._open):
            writer.close()

    def forget(self, writer: LogWriter) -> None:
        """For `LogWriter.close`."""
        self._open.pop(writer, None)

    def trim(self, folder: Path) -> None:
        """Remove the files of a group that have expired, and then those that were written to the longest ago, until the
        group is within its bounds.
        """
        files = sorted(list_files(folder), key=lambda file: file.modified_ns)
        floor_ns = 0 if self._floor is None else self._floor(folder.relative_to(self._directory)) * 1_000_000
        size = sum(file.size for file in files)
        count = len(files)
        for file in files:
            is_within = size <= self._limits.group_bytes and count <= self._limits.group_files
            if is_within and file.modified_ns >= floor_ns:
                return
            with contextlib.suppress(OSError):
                file.path.unlink()
            size -= file.size
            count -= 1

    def sweep(self) -> None:
        """`trim` every group there is; for a thread, and now and then."""
        for account in _folders(self._directory):
            for region in _folders(account):
                for group in _folders(region):
                    self.trim(group)

    def groups(self, namespace: Namespace) -> list[str]:
        """The functions that have logs, sorted."""
        try:
            folders = list(self._region(namespace).iterdir())
        except OSError:
            return []
        return sorted(decode_name(folder.name) for folder in folders)

    def streams(self, namespace: Namespace, group: str) -> list[StreamInfo]:
        """The streams of a group, the one written to last first."""
        sizes: dict[str, int] = {}
        times: dict[str, int] = {}
        for file in list_files(self._folder(namespace, group)):
            name = decode_name(file.stream)
            sizes[name] = sizes.get(name, 0) + file.size
            times[name] = max(times.get(name, 0), file.modified_ns // 1_000_000)
        found = [StreamInfo(name, size, times[name]) for name, size in sizes.items()]
        return sorted(found, key=lambda info: (-info.last_write_ms, info.name))

    def put(self, namespace: Namespace, group: str, stream: str, records: Iterable[tuple[int, bytes]]) -> None:
        """Records of a stream, at once and whatever their rate; none of them make an empty stream. Raises OSError."""
        path = self._folder(namespace, group) / f"{encode_name(stream)}{CURRENT}"
        writer = LogWriter(self, path, self._limits, LogFormatter())
        writer.write(b"".join(encode_record(moment, message) for moment, message in records))

    def delete_stream(self, namespace: Namespace, group: str, stream: str) -> None:
        """Remove a stream's files; nothing happens if there are none."""
        for suffix in (CURRENT, PREVIOUS):
            (self._folder(namespace, group) / f"{encode_name(stream)}{suffix}").unlink(missing_ok=True)

    def delete(self, namespace: Namespace, group: str) -> None:
        """Remove a group's logs; nothing happens if there are none."""
        shutil.rmtree(self._folder(namespace, group), ignore_errors=True)

    def read(
        self,
        namespace: Namespace,
        group: str,
        *,
        since_ms: int = 0,
        until_ms: int | None = None,
        limit: int = 10_000,
        stream: str | None = None,
    ) -> list[LogRecord]:
        """The first `limit` records with since <= time < until of all streams, by time; `stream` narrows it to one."""
        return list(islice(self._merged(namespace, group, since_ms, until_ms, stream), limit))

    def tail(self, namespace: Namespace, group: str, *, since_ms: int = 0, limit: int = 100) -> list[LogRecord]:
        """The last `limit` records since a time, by time."""
        newest = heapq.nlargest(
            limit,
            enumerate(self._merged(namespace, group, since_ms, None, None)),
            key=lambda numbered: (numbered[1].timestamp_ms, numbered[0]),
        )
        return [record for _, record in reversed(newest)]

    def news(
        self, namespace: Namespace, group: str, positions: dict[tuple[int, int], int], since_ms: int
    ) -> list[LogRecord]:
        """What came since the last look, stream by stream. positions: bytes seen of each file; brought up to date."""
        return new_records(self._folder(namespace, group), positions, since_ms)

    async def follow(
        self, namespace: Namespace, group: str, *, since_ms: int, wait: Callable[[], Awaitable[None]]
    ) -> AsyncIterator[LogRecord]:
        """Records since a time, and those to come, for ever. `wait` is awaited between looks, and paces them.

        Within one look records come by time.
        """
        folder = self._folder(namespace, group)
        positions: dict[tuple[int, int], int] = {}
        while True:
            for record in sorted(new_records(folder, positions, since_ms), key=lambda record: record.timestamp_ms):
                yield record
            await wait()

    def _merged(
        self, namespace: Namespace, group: str, since_ms: int, until_ms: int | None, stream: str | None
    ) -> Iterator[LogRecord]:
        wanted = None if stream is None else encode_name(stream)
        by_stream: dict[str, list[LogFile]] = {}
        for file in list_files(self._folder(namespace, group)):
            is_recent = file.modified_ns // 1_000_000 >= since_ms - _CLOCK_SLACK_MS
            if is_recent and wanted in (None, file.stream):
                by_stream.setdefault(file.stream, []).append(file)
        sources = [read_between(files, since_ms, until_ms) for files in by_stream.values()]
        return heapq.merge(*sources, key=lambda record: record.timestamp_ms)

    def _folder(self, namespace: Namespace, group: str) -> Path:
        return self._region(namespace) / encode_name(group)

    def _region(self, namespace: Namespace) -> Path:
        return self._directory / encode_name(namespace.account) / encode_name(namespace.region)


def _folders(directory: Path) -> list[Path]:
    """The directories in a directory; none if it is none, or goes meanwhile."""
    try:
        return [path for path in directory.iterdir() if path.is_dir() and not path.is_symlink()]
    except OSError:
        return []
