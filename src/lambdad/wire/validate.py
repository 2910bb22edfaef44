"""Are the members of a request within the bounds of the model? One walk, one table of texts.

The texts are those of AWS's own validator, which every service with such a model shares, so they can be compared
character by character: paths in lowerFirst spelling (`environment.variables`), list elements counted from one
(`fileSystemConfigs.1.member.arn`), the constraints of scalar elements reported at their list. Rules that the model
does not state (reserved names, sums of sizes) belong to the handlers, which use `Failure` and `validation_error` for
bounds of their own that AWS reports in the same words.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lambdad.model.errors import ApiError, invalid_parameter, validation
from lambdad.wire.service import Kind, Operation, Shape

_FAILURES_MAX = 20
"""Failures that one answer lists: a request can hold millions."""
_SHOWN_MAX = 4_096
"""Characters of a refused value that the text repeats."""
_PATTERN_TEXT_MAX = 100_000
"""Longest text a pattern is tried on; the model's own maxima end below it."""
_DEPTH_MAX = 32

NOT_NULL = "Member must not be null"


@dataclass(frozen=True, slots=True)
class Failure:
    """One broken constraint: `value` at `path` (lowerFirst, dotted) breaks `constraint`.

    value: as the text shows it, quotes included; empty where the value is a secret.
    """

    value: str
    path: str
    constraint: str

    def __str__(self) -> str:
        shown = f"Value {self.value}" if self.value else "Value"
        return f"{shown} at '{self.path}' failed to satisfy constraint: {self.constraint}"


def length_at_least(bound: float) -> str:
    return f"Member must have length greater than or equal to {bound}"


def length_at_most(bound: float) -> str:
    return f"Member must have length less than or equal to {bound}"


def value_at_least(bound: float) -> str:
    return f"Member must have value greater than or equal to {bound}"


def value_at_most(bound: float) -> str:
    return f"Member must have value less than or equal to {bound}"


def matches(pattern: str) -> str:
    return f"Member must satisfy regular expression pattern: {pattern}"


def one_of(values: Sequence[str]) -> str:
    return f"Member must satisfy enum value set: [{', '.join(values)}]"


def show(value: Any) -> str:
    """A value as AWS's texts show it: `'x'`, `'[a, b]'`, `'{k=v}'`, `null`."""
    if value is None:
        return "null"
    text = _plain(value, 0)
    return f"'{text[:_SHOWN_MAX]}'"


def validation_error(failures: Sequence[Failure]) -> ApiError:
    """All failures of a request as one ValidationException 400. `failures` must not be empty."""
    noun = "error" if len(failures) == 1 else "errors"
    return validation(f"{len(failures)} validation {noun} detected: {'; '.join(map(str, failures))}")


def validate_request(operation: Operation, parameters: Mapping[str, Any]) -> None:
    """Check what `parse_request` returned against the input shape of the operation.

    Raises ApiError: ValidationException 400 with every failure (at most 20); InvalidParameterValueException 400 for an
    unknown runtime of a function, the one enumeration that AWS's service checks itself.
    """
    if operation.input is None:
        return
    failures: list[Failure] = []
    for failure in _structure_failures(operation.input, parameters, "", 0):
        failures.append(failure)
        if len(failures) == _FAILURES_MAX:
            break
    unknown_runtime = next((failure for failure in failures if _is_unknown_runtime(operation, failure)), None)
    if unknown_runtime is not None:
        failures.remove(unknown_runtime)
    if failures:
        raise validation_error(failures)
    if unknown_runtime is not None:
        unquoted = replace(unknown_runtime, value=unknown_runtime.value[1:-1])
        raise invalid_parameter(f"{unquoted} or be a valid ARN")


def _is_unknown_runtime(operation: Operation, failure: Failure) -> bool:
    return failure.path == "runtime" and operation.name in ("CreateFunction", "UpdateFunctionConfiguration")


def _structure_failures(shape: Shape, value: Mapping[str, Any], path: str, depth: int) -> Iterator[Failure]:
    for member in shape.members.values():
        given = value.get(member.name)
        at = f"{path}{_lower_first(member.name)}"
        if given is not None:
            yield from _failures(member.shape, given, at, depth + 1)
        elif member.required:
            yield Failure("null", at, NOT_NULL)


def _failures(shape: Shape, value: Any, path: str, depth: int) -> Iterator[Failure]:
    """Failures of a value that is not null. The depth ends walks through shapes that contain themselves."""
    if depth > _DEPTH_MAX:
        return
    for constraint in _broken(shape, value):
        yield Failure("" if shape.sensitive else show(value), path, constraint)
    match shape.kind:
        case Kind.STRUCTURE:
            yield from _structure_failures(shape, value, f"{path}.", depth)
        case Kind.LIST if shape.element is not None:
            yield from _list_failures(shape, shape.element, value, path, depth)
        case Kind.MAP if shape.key is not None and shape.value is not None:
            yield from _map_failures(shape, shape.key, shape.value, value, path, depth)


def _list_failures(shape: Shape, element: Shape, value: Sequence[Any], path: str, depth: int) -> Iterator[Failure]:
    if _is_scalar(element):
        if any(_is_bad(element, item) for item in value):
            yield _collective(shape, value, path, "Member must satisfy constraint", [*_constraints(element), NOT_NULL])
        return
    for index, item in enumerate(value, start=1):
        at = f"{path}.{index}.member"
        if item is None:
            yield Failure("null", at, NOT_NULL)
        else:
            yield from _failures(element, item, at, depth + 1)


def _map_failures(
    shape: Shape, key: Shape, of: Shape, value: Mapping[str, Any], path: str, depth: int
) -> Iterator[Failure]:
    if any(_is_bad(key, name) for name in value):
        yield _collective(shape, value, path, "Map keys must satisfy constraint", _constraints(key))
    if _is_scalar(of):
        if any(_is_bad(of, item) for item in value.values()):
            yield _collective(shape, value, path, "Map value must satisfy constraint", [*_constraints(of), NOT_NULL])
        return
    for name, item in value.items():
        at = f"{path}.{name[:_SHOWN_MAX]}.member"
        if item is None:
            yield Failure("null", at, NOT_NULL)
        else:
            yield from _failures(of, item, at, depth + 1)


def _collective(shape: Shape, value: Any, path: str, words: str, constraints: Sequence[str]) -> Failure:
    return Failure("" if shape.sensitive else show(value), path, f"{words}: [{', '.join(constraints)}]")


def _is_scalar(shape: Shape) -> bool:
    return shape.kind not in (Kind.STRUCTURE, Kind.LIST, Kind.MAP)


def _is_bad(shape: Shape, value: Any) -> bool:
    return value is None or next(_broken(shape, value), None) is not None


def _constraints(shape: Shape) -> list[str]:
    """Every constraint of a scalar shape, in AWS's order: maximum, minimum, pattern, enumeration."""
    by_value = _is_number(shape)
    found: list[str] = []
    if shape.maximum is not None:
        found.append(value_at_most(shape.maximum) if by_value else length_at_most(shape.maximum))
    if shape.minimum is not None:
        found.append(value_at_least(shape.minimum) if by_value else length_at_least(shape.minimum))
    if shape.pattern is not None:
        found.append(matches(shape.pattern))
    if shape.enum:
        found.append(one_of(shape.enum))
    return found


def _broken(shape: Shape, value: Any) -> Iterator[str]:
    """The constraints that the value itself breaks, those of what it contains aside."""
    if _is_number(shape):
        if shape.minimum is not None and value < shape.minimum:
            yield value_at_least(shape.minimum)
        if shape.maximum is not None and value > shape.maximum:
            yield value_at_most(shape.maximum)
        return
    if shape.minimum is not None and len(value) < shape.minimum:
        yield length_at_least(shape.minimum)
    if shape.maximum is not None and len(value) > shape.maximum:
        yield length_at_most(shape.maximum)
    if shape.pattern is not None and not _satisfies(shape.pattern, value):
        yield matches(shape.pattern)
    if shape.enum and value not in shape.enum:
        yield one_of(shape.enum)


def _is_number(shape: Shape) -> bool:
    return shape.kind in (Kind.INTEGER, Kind.LONG, Kind.FLOAT, Kind.DOUBLE)


def _satisfies(pattern: str, text: str) -> bool:
    if len(text) > _PATTERN_TEXT_MAX:
        return False
    compiled = compile_java_pattern(pattern)
    return compiled is None or compiled.fullmatch(text) is not None


@functools.lru_cache(maxsize=512)
def compile_java_pattern(pattern: str) -> re.Pattern[str] | None:
    r"""A Java pattern as a Python one; None where Python cannot say it, and then it holds for every text.

    Differences that are bridged: `.` stops at five line terminators in Java, `\d`, `\w` and `\s` are ASCII, and
    Unicode categories have names. A class with `\p{L}` or `\p{N}` admits both and `_`: AWS writes them together.
    """
    with_categories = "\\p{" in pattern
    translated = pattern.replace(r"\p{L}", r"\w").replace(r"\p{N}", r"\w").replace(r"\p{Z}", _SEPARATORS)
    try:
        return re.compile(_bridge_dots(translated), re.UNICODE if with_categories else re.ASCII)
    except re.error:
        return None


_SEPARATORS = " \\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000"
"""Unicode category Z, for the inside of a character class."""
_TOKEN = re.compile(r"\\.|\[|\]|\.", re.DOTALL)


def _bridge_dots(pattern: str) -> str:
    """Replace each `.` outside of character classes by Java's meaning of it."""
    inside = False

    def bridge(token: re.Match[str]) -> str:
        nonlocal inside
        text = token[0]
        if text == "[":
            inside = True
        elif text == "]":
            inside = False
        elif text == "." and not inside:
            return "[^\\n\\r\\x85\\u2028\\u2029]"
        return text

    return _TOKEN.sub(bridge, pattern)


def _lower_first(name: str) -> str:
    return name[:1].lower() + name[1:]


def _plain(value: Any, depth: int) -> str:
    if depth > _DEPTH_MAX:
        return "..."
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case bytes():
            return f"java.nio.HeapByteBuffer[pos=0 lim={len(value)} cap={len(value)}]"
        case Mapping():
            return "{" + ", ".join(f"{key}={_plain(item, depth + 1)}" for key, item in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(_plain(item, depth + 1) for item in value) + "]"
        case _:
            return str(value)
