"""A directory as the zip that Lambda takes: in memory, the same bytes for the same files.

Names are sorted, times fixed, permissions and symbolic links kept. What only a developer needs is left out.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import stat
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lambdad.cli.errors import CliError
from lambdad.model.limits import UNZIPPED_MAX, ZIP_MAX

LEFT_OUT = frozenset({".git", "__pycache__", ".venv", "node_modules/.cache"})
"""Names of directories and files, or ends of their paths, that are no part of a function."""
_DATE = (1980, 1, 1, 0, 0, 0)
_FILES_MAX = 100_000
_COPY = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Bundle:
    """A zip ready to be uploaded. files: entries in it. largest: names in the directory with most bytes, unpacked."""

    content: bytes
    files: int
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
    files = unzipped = 0
    sizes: Counter[str] = Counter()
    try:
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, path, status in _walk(directory, ""):
                files += 1
                taken = status.st_size if stat.S_ISREG(status.st_mode) else 0
                unzipped += taken
                sizes[name.partition("/")[0]] += taken
                if unzipped > UNZIPPED_MAX:
                    raise CliError(_too_large(f"{directory} holds more than {UNZIPPED_MAX >> 20} MB"))
                if files > _FILES_MAX:
                    raise CliError(f"{directory} holds more than {_FILES_MAX} files")
                _add(archive, name, path, status)
    except OSError as error:
        raise CliError(f"cannot read {error.filename}: {error.strerror}") from None
    except UnicodeEncodeError:
        raise CliError(f"a file name under {directory} is not valid UTF-8") from None
    if files == 0:
        raise CliError(f"{directory} is empty")
    content = buffer.getvalue()
    if len(content) > ZIP_MAX:
        raise CliError(_too_large(f"the zip of {directory} has {len(content) / (1 << 20):.1f} MB; AWS takes 50 MB"))
    return Bundle(content, files, tuple(sizes.most_common(3)))


def _too_large(what: str) -> str:
    return f"{what}: move libraries to a layer (`lambdad layer build`) or deploy a container image (`--image`)"


def _walk(directory: Path, prefix: str) -> Iterator[tuple[str, Path, os.stat_result]]:
    """Files, links and empty directories, by name."""
    with os.scandir(directory) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        name = prefix + entry.name
        if entry.name in LEFT_OUT or any(name == end or name.endswith(f"/{end}") for end in LEFT_OUT):
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
    info.external_attr = (stat.S_IFMT(status.st_mode) | stat.S_IMODE(status.st_mode) & 0o777) << 16
    if stat.S_ISDIR(status.st_mode):
        info.external_attr |= 0x10
        archive.writestr(info, b"")
        return
    info.compress_type = zipfile.ZIP_DEFLATED
    info.file_size = status.st_size
    with path.open("rb") as source, archive.open(info, "w") as target:
        while block := source.read(_COPY):
            target.write(block)
