"""A directory as the zip that Lambda takes: in memory, the same bytes for the same files.

Names are sorted, times fixed, symbolic links kept, permissions those that every user needs: who may run a file is kept,
what an umask made of the rest is not. What only a developer needs is left out.
"""

from __future__ import annotations

import base64
import hashlib
import io
import itertools
import os
import stat
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lambdad.cli.errors import CliError
from lambdad.model.limits import UNZIPPED_MAX, ZIP_MAX

LEFT_OUT = frozenset({".git", "__pycache__", ".venv", "node_modules/.cache"})
"""Names of directories and files, or ends of their paths, that are no part of a function."""
_DATE = (1980, 1, 1, 0, 0, 0)
_FILES_MAX = 100_000
_SHOWN = 5
_COPY = 1024 * 1024
_Entry = tuple[str, Path, os.stat_result]
"""Name in the zip, place, and what it is."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A zip ready to be uploaded. files: entries in it. unzipped: bytes, unpacked.

    largest: what takes most of them: names in the directory, and below node_modules the packages.
    """

    content: bytes
    files: int
    unzipped: int = 0
    largest: tuple[tuple[str, int], ...] = ()

    @property
    def code_sha256(self) -> str:
        """As `CodeSha256` of a function's configuration."""
        return base64.b64encode(hashlib.sha256(self.content).digest()).decode()


def bundle_directory(directory: Path) -> Bundle:
    """Zip a directory. Raises CliError for what cannot be deployed: no files, too large, sockets and devices."""
    if not directory.is_dir():
        raise CliError(f"{directory} is not a directory")
    buffer = io.BytesIO()
    try:
        entries = list(itertools.islice(_walk(directory, ""), _FILES_MAX + 1))
        if len(entries) > _FILES_MAX:
            raise CliError(f"{directory} holds more than {_FILES_MAX} files")
        sizes = _sizes(entries)
        unzipped, largest = sizes.total(), tuple(sizes.most_common(_SHOWN))
        if unzipped > UNZIPPED_MAX:
            taken = f"AWS takes {_megabytes(UNZIPPED_MAX)} unpacked, layers included"
            raise CliError(_too_large(f"{directory} holds {_megabytes(unzipped)}; {taken}", largest))
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, path, status in entries:
                _add(archive, name, path, status)
    except OSError as error:
        raise CliError(f"cannot read {error.filename}: {error.strerror}") from None
    except UnicodeEncodeError:
        raise CliError(f"a file name under {directory} is not valid UTF-8") from None
    if not entries:
        raise CliError(f"{directory} is empty")
    content = buffer.getvalue()
    if len(content) > ZIP_MAX:
        what = f"the zip of {directory} has {_megabytes(len(content))}; AWS takes {_megabytes(ZIP_MAX)}"
        raise CliError(_too_large(what, largest))
    return Bundle(content, len(entries), unzipped, largest)


def is_left_out(path: str) -> bool:
    """Whether it is no part of a function, or below what is none."""
    return any(f"/{end}/" in f"/{path}/" for end in LEFT_OUT)


def describe_sizes(bundle: Bundle) -> str:
    """What is large, against the 250 MB that a function and its layers may have."""
    unzipped = f"unpacked {_megabytes(bundle.unzipped)} of {_megabytes(UNZIPPED_MAX)}"
    return f"the zip has {_megabytes(len(bundle.content))}, {unzipped}; largest: {_describe_largest(bundle.largest)}"


def _describe_largest(largest: Sequence[tuple[str, int]]) -> str:
    """`numpy 61.2 MB (24 %), ...`"""
    return ", ".join(f"{name} {_megabytes(taken)} ({taken * 100 // UNZIPPED_MAX} %)" for name, taken in largest)


def _sizes(entries: Sequence[_Entry]) -> Counter[str]:
    sizes: Counter[str] = Counter()
    for name, _, status in entries:
        sizes[_part(name)] += status.st_size if stat.S_ISREG(status.st_mode) else 0
    return sizes


def _part(name: str) -> str:
    """The name that a file counts for: `lib`, `node_modules/left-pad`, `node_modules/@scope/name`."""
    parts = name.split("/")
    if parts[0] != "node_modules" or len(parts) < 3:
        return parts[0]
    return "/".join(parts[: 3 if parts[1].startswith("@") else 2])


def _megabytes(count: int) -> str:
    return f"{count / (1 << 20):.1f} MB"


def _too_large(what: str, largest: Sequence[tuple[str, int]]) -> str:
    advice = "move libraries to a layer (`lambdad layer build`) or deploy a container image (`--image`)"
    return f"{what}: {advice}. Largest: {_describe_largest(largest)}"


def _walk(directory: Path, prefix: str) -> Iterator[_Entry]:
    """Files, links and empty directories, by name."""
    with os.scandir(directory) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        name = prefix + entry.name
        if is_left_out(name):
            continue
        status = entry.stat(follow_symlinks=False)
        path = Path(entry.path)
        if stat.S_ISDIR(status.st_mode):
            before = False
            for found in _walk(path, f"{name}/"):
                before = True
                yield found
            if not before and not any(path.iterdir()):
                yield f"{name}/", path, status
        elif stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode):
            yield name, path, status
        else:
            raise CliError(f"{path} is neither a file, a directory nor a symbolic link")


def _add(archive: zipfile.ZipFile, name: str, path: Path, status: os.stat_result) -> None:
    info = zipfile.ZipInfo(name, _DATE)
    info.create_system = 3
    if stat.S_ISLNK(status.st_mode):
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, os.fsencode(path.readlink()))
        return
    is_run = status.st_mode & stat.S_IXUSR or stat.S_ISDIR(status.st_mode)
    info.external_attr = (stat.S_IFMT(status.st_mode) | (0o755 if is_run else 0o644)) << 16
    if stat.S_ISDIR(status.st_mode):
        info.external_attr |= 0x10
        archive.writestr(info, b"")
        return
    info.compress_type = zipfile.ZIP_DEFLATED
    info.file_size = status.st_size
    with path.open("rb") as source, archive.open(info, "w") as target:
        while block := source.read(_COPY):
            target.write(block)
