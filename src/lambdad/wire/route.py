"""Which operation a request means: method, path and query against the templates of the service model.

Works on the path as sent and decodes labels afterwards, because ARNs arrive with `%2F` and `%3A` inside one label.
Knows no operation by name: the tables are built from the model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote_to_bytes

from lambdad.model.errors import ApiError
from lambdad.wire.service import LambdaService, Operation

_PATH_MAX = 8 * 1024
"""Longer than any path of the model with every label at its maximum and each byte percent-encoded once."""


class Match(NamedTuple):
    """The operation a request means and the decoded labels of its path."""

    operation_name: str
    labels: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Route:
    operation_name: str
    labels: tuple[tuple[int, str], ...]
    """Position of the segment, name of the member."""
    static_query: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class _Group:
    """All routes whose fixed segments stand at the same positions."""

    fixed: Callable[[list[str]], Any]
    """Picks the fixed segments of a split path: the key of `routes`."""
    routes: dict[Any, tuple[_Route, ...]]


class Router:
    """Finds the operation of a request.

    A match costs one split of the path and one or two dictionary look-ups, whatever the number of operations: about
    1 us for Invoke. Routes that share a template are told apart by the model's static query, the most specific first.
    """

    def __init__(self, service: LambdaService) -> None:
        collected: dict[tuple[str, int], dict[tuple[int, ...], dict[Any, list[_Route]]]] = {}
        for operation in service.operations.values():
            segments = operation.path.rstrip("/").split("/")
            fixed = tuple(index for index, segment in enumerate(segments) if not segment.startswith("{"))
            groups = collected.setdefault((operation.method, len(segments)), {})
            routes = groups.setdefault(fixed, {})
            routes.setdefault(itemgetter(*fixed)(segments), []).append(_route(operation, segments))
        self._groups = {
            key: tuple(
                _Group(
                    itemgetter(*fixed),
                    {static: tuple(sorted(routes, key=_specificity)) for static, routes in groups[fixed].items()},
                )
                for fixed in sorted(groups, key=len, reverse=True)
            )
            for key, groups in collected.items()
        }

    def match(self, method: str, path: str, query: str) -> Match:
        """The operation of a request; `path` and `query` as sent.

        Raises ApiError AccessDeniedException 403 for what is no operation, with the text of AWS, which answers so
        before it looks at anything else, and SerializationException 400 for a label that is not UTF-8.
        """
        if len(path) > _PATH_MAX:
            raise _unknown_operation()
        segments = path.split("/")
        if segments[-1] == "" and len(segments) > 1:
            segments.pop()
        for group in self._groups.get((method, len(segments)), ()):
            routes = group.routes.get(group.fixed(segments))
            if routes is None:
                continue
            route = routes[0] if len(routes) == 1 else _choose(routes, query)
            if route is not None:
                return Match(route.operation_name, {name: _decode(segments[index]) for index, name in route.labels})
        raise _unknown_operation()


def _route(operation: Operation, segments: list[str]) -> _Route:
    labels = tuple((index, segment[1:-1]) for index, segment in enumerate(segments) if segment.startswith("{"))
    return _Route(operation.name, labels, operation.static_query)


def _specificity(route: _Route) -> int:
    return -len(route.static_query)


def _choose(routes: tuple[_Route, ...], query: str) -> _Route | None:
    try:
        given = parse_qsl(query, keep_blank_values=True, max_num_fields=100)
    except ValueError:
        raise ApiError("SerializationException", 400, "Too many parameters in the query string.") from None
    return next((route for route in routes if all(pair in given for pair in route.static_query)), None)


def _decode(segment: str) -> str:
    if not segment:
        raise _unknown_operation()
    if "%" not in segment:
        return segment
    try:
        return unquote_to_bytes(segment).decode()
    except UnicodeDecodeError:
        raise ApiError("SerializationException", 400, "The path is not valid UTF-8.") from None


def _unknown_operation() -> ApiError:
    return ApiError("AccessDeniedException", 403, "Unable to determine service/operation name to be authorized")
