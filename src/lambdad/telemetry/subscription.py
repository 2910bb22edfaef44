"""What an extension asks of the Telemetry API, or of the older Logs API: parsed and checked. Pure.

Source: "Lambda Telemetry API reference" and "Using the Lambda Logs API", AWS Lambda Developer Guide.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import orjson

TYPES = ("platform", "function", "extension")
TELEMETRY_SCHEMAS = ("2022-07-01", "2022-12-13", "2025-01-29")
LOGS_SCHEMAS = ("2020-08-15", "2021-03-18")

ITEMS_MIN, ITEMS_MAX = 1_000, 10_000
BYTES_MIN, BYTES_MAX = 262_144, 1_048_576
TIMEOUT_MIN_MS, TIMEOUT_MAX_MS, TIMEOUT_DEFAULT_MS = 25, 30_000, 1_000

HOST = "sandbox.localdomain"
"""The name of the sandbox for itself: telemetry goes to a listener inside and nowhere else."""
RESERVED_PORT = 9001
"""Where the Runtime API is."""
PATH_MAX = 2_048


class InvalidSubscription(Exception):
    """The text says everything that is wrong, joined by `; `, as AWS does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """types: of `TYPES`. path: of the HTTP destination, None for TCP. max_items, max_bytes, timeout: of one batch.

    timeout: seconds.
    """

    schema: str
    types: tuple[str, ...]
    port: int
    path: str | None
    max_items: int = ITEMS_MAX
    max_bytes: int = BYTES_MIN
    timeout: float = TIMEOUT_DEFAULT_MS / 1000

    @property
    def is_logs_api(self) -> bool:
        return self.schema in LOGS_SCHEMAS

    @property
    def has_objects(self) -> bool:
        """Whether what a function logs as JSON is delivered as an object and not as text."""
        return self.schema >= "2022-12-13"


def parse_subscription(body: bytes, *, is_logs_api: bool) -> Subscription:
    """The subscription that a request's body asks for. Raises InvalidSubscription."""
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidSubscription(f"the body is not JSON: {error}") from None
    if not isinstance(request, dict):
        raise InvalidSubscription("the body must be a JSON object")
    problems: list[str] = []
    schemas = LOGS_SCHEMAS if is_logs_api else TELEMETRY_SCHEMAS
    schema = request.get("schemaVersion", schemas[0])
    if schema not in schemas:
        problems.append(f"schemaVersion should be one of {', '.join(schemas)}")
    types = _types(request.get("types"), problems)
    port, path = _destination(request.get("destination"), problems)
    items, size, timeout_ms = _buffering(request.get("buffering"), problems)
    if problems:
        raise InvalidSubscription("; ".join(problems))
    return Subscription(
        schema=schema,
        types=types,
        port=port,
        path=path,
        max_items=items,
        max_bytes=size,
        timeout=timeout_ms / 1000,
    )


def _types(value: Any, problems: list[str]) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        problems.append("types should not be empty")
        return ()
    unknown = [str(each)[:64] for each in value if each not in TYPES]
    if unknown:
        problems.append(f"types should be of {', '.join(TYPES)}, not {', '.join(unknown[:10])}")
    return tuple(name for name in TYPES if name in value)


def _destination(value: Any, problems: list[str]) -> tuple[int, str | None]:
    if not isinstance(value, dict):
        problems.append("destination is not provided")
        return 0, None
    protocol = value.get("protocol")
    if protocol == "TCP":
        return _port(value.get("port"), problems), None
    if protocol != "HTTP":
        problems.append("destination protocol should be HTTP or TCP")
        return 0, None
    if value.get("method", "POST") not in ("POST", "PUT"):
        problems.append("destination method should be POST")
    uri = value.get("URI")
    if not isinstance(uri, str) or len(uri) > PATH_MAX:
        problems.append("destination URI is not provided")
        return 0, None
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        problems.append("destination URI is not valid")
        return 0, None
    if parts.scheme != "http" or parts.hostname not in (HOST, "sandbox"):
        problems.append(f"destination URI should begin with http://{HOST}")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if any(not "!" <= character <= "~" for character in path):
        problems.append("destination URI is not valid")
    if port is None:
        problems.append("URI port is not provided")
        return 0, path
    return _port(port, problems), path


def _port(value: Any, problems: list[str]) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 65_536:
        problems.append("destination port should be between 1 and 65535")
        return 0
    if value == RESERVED_PORT:
        problems.append(f"destination port {RESERVED_PORT} is reserved")
    return value


def _buffering(value: Any, problems: list[str]) -> tuple[int, int, int]:
    if value is None:
        value = {}
    if not isinstance(value, dict):
        problems.append("buffering should be an object")
        value = {}

    def bounded(name: str, least: int, most: int, default: int) -> int:
        number = value.get(name)
        if number is None:
            return default
        if not isinstance(number, int) or isinstance(number, bool) or not least <= number <= most:
            problems.append(f"buffering {name} should be between {least} and {most}")
            return default
        return number

    return (
        bounded("maxItems", ITEMS_MIN, ITEMS_MAX, ITEMS_MAX),
        bounded("maxBytes", BYTES_MIN, BYTES_MAX, BYTES_MIN),
        bounded("timeoutMs", TIMEOUT_MIN_MS, TIMEOUT_MAX_MS, TIMEOUT_DEFAULT_MS),
    )
