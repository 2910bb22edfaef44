"""lambdad's own log: one line for each event, an action and its fields, for a terminal or as JSON.

It is not the log of functions (`log_store.py`), and it holds no secret: fields whose names speak of one are masked, and
payloads, environments and headers are never fields. The standard library's logging lies underneath, so that libraries
speak through the same handler.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import time
import traceback
from collections.abc import Mapping
from typing import TextIO

import orjson

from lambdad.telemetry.actions import Action

LEVELS = ("debug", "info", "warning", "error")
FIELD_MAX = 2_000
"""Characters of one field's value; the rest is cut and said to be."""
FRAMES_MAX = 12

_ROOT = "lambdad"
_SECRET = re.compile(
    r"(secret|token|password|passwd|authorization|credential|signature|private|payload)", re.IGNORECASE
)
_PLAIN = re.compile(r"[!#-<>-\[\]-~]+")
_COLOURS = {
    logging.DEBUG: "90",
    logging.INFO: "36",
    logging.WARNING: "33",
    logging.ERROR: "31",
    logging.CRITICAL: "31;1",
}
_NAMES = {logging.DEBUG: "debug", logging.INFO: "info", logging.WARNING: "warn", logging.ERROR: "error"}


class Logger:
    """Writes events. Cheap to share; `configure` makes one."""

    __slots__ = ("_logger",)

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def debug(self, action: Action, **fields: object) -> None:
        self._write(logging.DEBUG, action, fields)

    def info(self, action: Action, **fields: object) -> None:
        self._write(logging.INFO, action, fields)

    def warning(self, action: Action, **fields: object) -> None:
        self._write(logging.WARNING, action, fields)

    def error(self, action: Action, **fields: object) -> None:
        self._write(logging.ERROR, action, fields)

    def exception(self, action: Action, error: BaseException, **fields: object) -> None:
        """An error of ours: with its type, its text and where it came from, newest frame first."""
        described = {**fields, "error": f"{type(error).__name__}: {error}", "at": describe_stack(error)}
        self._write(logging.ERROR, action, described)

    def _write(self, level: int, action: str, fields: Mapping[str, object]) -> None:
        if self._logger.isEnabledFor(level):
            self._logger.log(level, "%s", action, extra={"action": action, "fields": fields})


def configure(level: str, *, as_json: bool, name: str, stream: TextIO | None = None) -> Logger:
    """Send this process's log to `stream` (standard error by default). name: which of our processes this is.

    Called again it replaces what it set. Other libraries are heard from `warning` on. Raises ValueError for a level
    that is not one of `LEVELS`.
    """
    if level not in LEVELS:
        raise ValueError(f"the log level is {level!r}; it must be one of {', '.join(LEVELS)}")
    target = sys.stderr if stream is None else stream
    handler = logging.StreamHandler(target)
    has_colour = target.isatty() and not os.environ.get("NO_COLOR")
    handler.setFormatter(JsonFormatter(name) if as_json else TerminalFormatter(name, has_colour=has_colour))
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old.formatter, (JsonFormatter, TerminalFormatter))]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logger = logging.getLogger(_ROOT)
    logger.setLevel(level.upper())
    logger.disabled = False  # a library that configures logging switches off what is there
    return Logger(logger)


def silent() -> Logger:
    """A logger that says nothing, for tests and tools."""
    logger = logging.Logger("silent", logging.CRITICAL + 1)
    logger.addHandler(logging.NullHandler())
    return Logger(logger)


def describe_stack(error: BaseException) -> str:
    """`file.py:12 function < caller.py:7 caller`, newest first, on one line."""
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES_MAX:]
    return " < ".join(f"{os.path.basename(frame.filename)}:{frame.lineno} {frame.name}" for frame in reversed(frames))


class TerminalFormatter(logging.Formatter):
    """`12:59:59.123 info  worker  sandbox.failed environment=… error="…"`."""

    def __init__(self, process: str, *, has_colour: bool) -> None:
        super().__init__()
        self._process = process
        self._has_colour = has_colour

    def format(self, record: logging.LogRecord) -> str:
        action, fields = _event(record)
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        level = f"{_NAMES.get(record.levelno, record.levelname.lower()):5}"
        if self._has_colour:
            level = f"\x1b[{_COLOURS.get(record.levelno, '0')}m{level}\x1b[0m"
            action = f"\x1b[1m{action}\x1b[0m"
        line = f"{clock}.{int(record.msecs):03d} {level} {self._process:6} {action}"
        return line + "".join(f" {name}={_quoted(value)}" for name, value in fields.items())


class JsonFormatter(logging.Formatter):
    """One object: time, level, process, action, and the fields beside them."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        action, fields = _event(record)
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        head = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "level": _NAMES.get(record.levelno, record.levelname.lower()),
            "process": self._process,
            "action": action,
        }
        return orjson.dumps({**fields, **head}, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def _event(record: logging.LogRecord) -> tuple[str, dict[str, object]]:
    """Action and safe fields of a record of ours, or of a library's."""
    action = record.__dict__.get("action")
    fields = record.__dict__.get("fields")
    if isinstance(action, str) and isinstance(fields, Mapping):
        return action, {str(name): _safe(str(name), value) for name, value in fields.items()}
    other: dict[str, object] = {"logger": record.name, "message": _cut(record.getMessage())}
    if record.exc_info is not None and record.exc_info[1] is not None:
        error = record.exc_info[1]
        other |= {"error": _cut(f"{type(error).__name__}: {error}"), "at": describe_stack(error)}
    return "library.message", other


def _safe(name: str, value: object) -> object:
    if _SECRET.search(name):
        return "***"
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return _cut(value if isinstance(value, str) else repr(value) if isinstance(value, bytes) else str(value))


def _cut(text: str) -> str:
    return text if len(text) <= FIELD_MAX else f"{text[:FIELD_MAX]}… ({len(text)} characters)"


def _quoted(value: object) -> str:
    """A value that cannot end the line, or look like another field."""
    text = str(value)
    return text if _PLAIN.fullmatch(text) else orjson.dumps(text.encode("utf-8", "replace").decode()).decode()
