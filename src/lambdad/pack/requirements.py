"""Reads requirements files, so that pip is never given a line that makes it run somebody's code.

`--only-binary=:all:` keeps pip from building what it finds in an index. It does not cover what a line names itself: a
directory, a repository, an archive of source are built, which runs them, and `--no-binary` in a file takes the whole
protection back. So pip gets a copy that has what is known to be harmless: requirements by name, wheels by address, and
options of the index. Rule: what is not known is refused, with its place and the reason.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lambdad.pack.errors import PackError

DEPTH_MAX = 10
LINES_MAX = 10_000
_TEXT_MAX = 1024 * 1024
_LINE_MAX = 4096
_COMMENT = re.compile(r"(^|\s+)#.*$")
_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_EXTRAS = r"(?:\s*\[[A-Za-z0-9._,\s-]*\])?"
_VERSIONS = r"[\s()<>=!~,.*+A-Za-z0-9_-]*"
_MARKER = r"(?:;[^@#$\\]*)?"
_HASHES = r"(?:\s+--hash[= ]sha(?:256|384|512):[0-9a-f]+)*"
_BY_NAME = re.compile(rf"{_NAME}{_EXTRAS}(?:\s*[(<>=!~]{_VERSIONS})?\s*{_MARKER}{_HASHES}\s*", re.ASCII)
_WHEEL = re.compile(
    rf"(?:{_NAME}{_EXTRAS}\s*@\s*)?(?:https://|file:///|\.{{0,2}}/)\S+\.whl(?:#sha256=[0-9a-f]{{64}})?\s*{_MARKER}",
    re.ASCII,
)
_ARCHIVE = re.compile(r"[^;\[<>=!~\s]*\.(?:zip|whl|egg|tar|tgz|tbz|tbz2|txz|tlz|gz|bz2|xz|lz|lzma)\b", re.IGNORECASE)
"""pip takes a name that ends so for a file where it runs."""
_NESTED = re.compile(r"(?P<option>-r|--requirement|-c|--constraint)[=\s]\s*(?P<file>\S+)")
_LINKS = re.compile(r"(?:-f|--find-links)[=\s]\s*(?P<place>\S+)")
_HARMLESS = re.compile(
    r"(?:(?:-i|--index-url|--extra-index-url|--trusted-host)[=\s]\s*\S+|--pre|--no-index|--prefer-binary|--require-hashes"
    r"|--only-binary[=\s]\s*:all:)"
)


@dataclass(slots=True)
class Requirements:
    """lines: of what is wanted, with options. constraints: lines of a constraints file."""

    lines: list[str] = field(default_factory=list)
    constraints: list[str] = field(default_factory=list)

    def arguments(self, scratch: Path) -> list[str]:
        """Write what pip is to read into `scratch`, and name it for pip's command line."""
        found = []
        for option, name, lines in (("-r", "wanted.txt", self.lines), ("-c", "constraints.txt", self.constraints)):
            if lines:
                (scratch / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
                found += [option, str(scratch / name)]
        return found


def read_requirements(path: Path) -> Requirements:
    """Of a file and those that it names. Raises PackError for lines that are not known to be harmless."""
    found = Requirements()
    _read(path, found, found.lines, DEPTH_MAX)
    return found


def named_requirements(lines: Sequence[str], place: str) -> Requirements:
    """Of a list, such as a project's dependencies. place: for errors. Raises PackError."""
    for line in lines:
        if not _is_name(line.strip()):
            raise _refusal(place, line)
    return Requirements(lines=[line.strip() for line in lines])


def _read(path: Path, found: Requirements, lines: list[str], depth: int) -> None:
    if depth == 0:
        raise PackError(f"{path}: files name each other more than {DEPTH_MAX} deep")
    try:
        with path.open("rb") as file:
            text = file.read(_TEXT_MAX + 1).decode("utf-8-sig")
    except OSError as error:
        raise PackError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise PackError(f"{path} is not UTF-8") from None
    if len(text) > _TEXT_MAX:
        raise PackError(f"{path} has more than {_TEXT_MAX} bytes")
    for line in _logical_lines(text):
        if len(found.lines) + len(found.constraints) > LINES_MAX:
            raise PackError(f"{path}: more than {LINES_MAX} requirements")
        nested = _NESTED.fullmatch(line)
        if nested is not None:
            kind = found.constraints if nested["option"] in ("-c", "--constraint") else lines
            _read(path.parent / nested["file"], found, kind, depth - 1)
        else:
            lines.append(_checked(line, path))


def _logical_lines(text: str) -> list[str]:
    """Without comments and line continuations."""
    joined = re.sub(r"\\\n", " ", text.replace("\r\n", "\n"))
    return [line for raw in joined.split("\n") if (line := _COMMENT.sub("", raw).strip())]


def _checked(line: str, path: Path) -> str:
    if len(line) > _LINE_MAX:
        raise PackError(f"{path}: a line of more than {_LINE_MAX} characters")
    links = _LINKS.fullmatch(line)
    if links is not None:
        beside = path.parent / links["place"]  # pip looks beside the file that names it, which ours is not
        return f"--find-links {beside.absolute() if beside.exists() else links['place']}"
    if _is_name(line) or _HARMLESS.fullmatch(line):
        return line
    if _WHEEL.fullmatch(line):
        local = not line.startswith(("https://", "file:///")) and "@" not in line
        return str((path.parent / line).absolute()) if local else line
    raise _refusal(str(path), line)


def _is_name(line: str) -> bool:
    return len(line) <= _LINE_MAX and _ARCHIVE.match(line) is None and _BY_NAME.fullmatch(line) is not None


def _refusal(place: str, line: str) -> PackError:
    return PackError(
        f"{place}: {line[:200]!r} is neither a package by name nor a wheel: directories, repositories and archives of "
        "source would be run to build them. Build a wheel of it, and name that"
    )
