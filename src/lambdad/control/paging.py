"""Pages of lists: markers that a client hands back as it got them, and AWS's limits on the size of a page."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, TypeVar

from lambdad.control.interface import Params
from lambdad.model.errors import invalid_parameter

Item = TypeVar("Item")

PAGE_MAX = 50
_MARKER_MAX = 4096


def page_size(params: Params, most: int = PAGE_MAX) -> int:
    """How many items the client gets: what it asked for, and never more than AWS gives."""
    return min(int(params.get("MaxItems", most)), most)


def marker(params: Params, parts: int) -> list[str] | None:
    """Where the page starts, as `parts` strings; None for the first page."""
    text = params.get("Marker")
    if not text:
        return None
    try:
        if len(text) > _MARKER_MAX:
            raise ValueError("too long")
        where: Any = json.loads(base64.urlsafe_b64decode(text.encode("ascii")))
    except (ValueError, binascii.Error, UnicodeError):
        where = None
    if not isinstance(where, list) or len(where) != parts or not all(isinstance(part, str) for part in where):
        raise invalid_parameter("Invalid pagination token provided.")
    return where


def make_marker(*parts: str) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode()


def paged(
    items: Iterable[Item], size: int, start_of: Callable[[Item], tuple[str, ...]]
) -> tuple[list[Item], str | None]:
    """The first `size` items, and the marker of the one after them if there is one. start_of: an item's place."""
    page = list(islice(items, size + 1))
    if len(page) <= size:
        return page, None
    return page[:size], make_marker(*start_of(page[size]))


def answer(member: str, shapes: list[Any], next_marker: str | None) -> dict[str, Any]:
    """A list's answer; `NextMarker` is absent on the last page."""
    shape: dict[str, Any] = {member: shapes}
    if next_marker is not None:
        shape["NextMarker"] = next_marker
    return shape
