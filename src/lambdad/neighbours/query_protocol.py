"""AWS's query protocol, which STS and IAM speak: forms in, XML out. Pure; what the actions mean is not known here."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias, Union
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from lambdad.wire.http import Request, Response

FORM_MAX = 64 * 1024
FIELDS_MAX = 256
"""Fifty tags are a hundred fields."""

STS = "https://sts.amazonaws.com/doc/2011-06-15/"
IAM = "https://iam.amazonaws.com/doc/2010-05-08/"
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")

Value: TypeAlias = Union[str, bool, int, datetime, "Sequence[Value]", "Mapping[str, Value | None]"]
"""What an answer is made of. A member that is None is left out."""


@dataclass(frozen=True, slots=True)
class Identified:
    """Who calls. account: 12 digits. user_id: as STS shows it."""

    account: str
    arn: str
    user_id: str


def read_form(request: Request) -> Mapping[str, str]:
    """The members of the query protocol, by their flat names; none if the body is no such form."""
    is_form = request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    if not is_form or len(request.body) > FORM_MAX:
        return {}
    try:
        members = parse_qs(request.body.decode("ascii"), keep_blank_values=True, max_num_fields=FIELDS_MAX)
    except ValueError:
        return {}
    return {name: values[0] for name, values in members.items()}


def list_of(form: Mapping[str, str], name: str) -> list[str]:
    """`Name.member.1`, `Name.member.2`, … up to the first that is missing."""
    found: list[str] = []
    while (value := form.get(f"{name}.member.{len(found) + 1}")) is not None:
        found.append(value)
    return found


def pairs_of(form: Mapping[str, str], name: str, key: str = "Key", value: str = "Value") -> list[tuple[str, str]]:
    """`Name.member.1.Key` with `Name.member.1.Value`, and so on up to the first key that is missing."""
    found: list[tuple[str, str]] = []
    while (first := form.get(f"{name}.member.{len(found) + 1}.{key}")) is not None:
        found.append((first, form.get(f"{name}.member.{len(found) + 1}.{value}", "")))
    return found


def answer(action: str, namespace: str, result: Mapping[str, Value | None] | None) -> Response:
    """result: None for an action that answers nothing but that it was done."""
    content = "" if result is None else f"<{action}Result>{_xml(result)}</{action}Result>"
    text = (
        f'<{action}Response xmlns="{namespace}">{content}'
        f"<ResponseMetadata><RequestId>{uuid.uuid4()}</RequestId></ResponseMetadata></{action}Response>"
    )
    return Response(200, [("Content-Type", "text/xml")], text.encode())


def form_error(code: str, message: str, status: int) -> Response:
    """An error in the form of the query protocol."""
    sender = "Sender" if status < 500 else "Receiver"
    text = (
        f'<ErrorResponse xmlns="{IAM}"><Error><Type>{sender}</Type><Code>{code}</Code>'
        f"<Message>{_text(message)}</Message></Error><RequestId>{uuid.uuid4()}</RequestId></ErrorResponse>"
    )
    return Response(status, [("Content-Type", "text/xml")], text.encode())


def _xml(value: Value) -> str:
    if isinstance(value, Mapping):
        return "".join(f"<{name}>{_xml(item)}</{name}>" for name, item in value.items() if item is not None)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return "".join(f"<member>{_xml(item)}</member>" for item in value)


def _text(given: str) -> str:
    """What XML 1.0 cannot hold is shown as `?`."""
    return escape(_CONTROL.sub("?", given))
