"""How often a request has passed through a function: the lineage in its X-Ray header. Pure.

A function's AWS client sends the header of its own invocation along. Each invocation adds to the field `Lineage`, a
list such as `a87bd80c:3|68fd508a:1`: eight hexadecimal digits that stand for a function, and how often it was passed.
Other fields are left as they are.
"""

from __future__ import annotations

import hashlib
import re

PASSES_MAX = 16
"""Of one function; AWS stops a loop after about as many."""
HEADER_MAX = 2048
"""Characters of a header that is read; AWS's own stay below 500."""

_FUNCTIONS_MAX = 32
_ENTRY = re.compile(r"([0-9a-f]{8}):([0-9]{1,4})")
_FIELD = "Lineage="


def pass_through(trace: str, function_arn: str) -> tuple[str, int]:
    """The header with one more pass through a function, and how often the request has now passed it.

    trace: the value of X-Amzn-Trace-Id that came with the request. function_arn: without a qualifier.
    """
    if len(trace) > HEADER_MAX:
        return trace, 1
    fields = [field for field in trace.split(";") if field]
    passes = _read(fields)
    name = hashlib.sha256(function_arn.encode()).hexdigest()[:8]
    count = passes.pop(name, 0) + 1
    newest = [(name, count), *passes.items()][:_FUNCTIONS_MAX]
    lineage = _FIELD + "|".join(f"{key}:{value}" for key, value in newest)
    return ";".join([*(field for field in fields if not field.startswith(_FIELD)), lineage]), count


def passes(trace: str, function_arn: str) -> int:
    """How often the request with this header has passed a function."""
    name = hashlib.sha256(function_arn.encode()).hexdigest()[:8]
    return _read(trace.split(";")).get(name, 0) if len(trace) <= HEADER_MAX else 0


def _read(fields: list[str]) -> dict[str, int]:
    text = next((field.removeprefix(_FIELD) for field in fields if field.startswith(_FIELD)), "")
    matches = (_ENTRY.fullmatch(entry) for entry in text.split("|")[:_FUNCTIONS_MAX])
    return {match[1]: int(match[2]) for match in matches if match is not None}
