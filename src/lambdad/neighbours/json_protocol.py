"""AWS's JSON 1.1 protocol in the little that CloudWatch Logs needs: an input with types, answers, errors. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from lambdad.wire.http import Response

CONTENT_TYPE = "application/x-amz-json-1.1"
BODY_MAX = 8 * 1024 * 1024
"""A batch of PutLogEvents has a megabyte of messages, which JSON may spell with several bytes each."""


class JsonError(Exception):
    """An error in AWS's form, HTTP 400. code: AWS's exception name."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def invalid(message: str) -> JsonError:
    return JsonError("InvalidParameterException", message)


class Input:
    """The members of a request. Every getter raises `JsonError` for a value of another type."""

    def __init__(self, body: bytes) -> None:
        """Raises `JsonError` for what is not a JSON object, or is too large."""
        if len(body) > BODY_MAX:
            raise invalid(f"The request is larger than {BODY_MAX} bytes.")
        try:
            members = orjson.loads(body or b"{}")
        except orjson.JSONDecodeError:
            members = None
        if not isinstance(members, dict):
            raise JsonError("SerializationException", "The request is not a JSON object.")
        self._members: Mapping[str, Any] = members

    def text(self, name: str) -> str | None:
        value = self._members.get(name)
        if value is not None and not isinstance(value, str):
            raise invalid(f"{name} must be a string.")
        return value

    def number(self, name: str, default: int, *, least: int, most: int) -> int:
        value = self._members.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise invalid(f"{name} must be a number between {least} and {most}.")
        return value

    def flag(self, name: str) -> bool:
        value = self._members.get(name, False)
        if not isinstance(value, bool):
            raise invalid(f"{name} must be true or false.")
        return value

    def required(self, name: str) -> str:
        value = self.text(name)
        if not value:
            raise invalid(
                f"1 validation error detected: Value null at '{name}' failed to satisfy constraint: "
                "Member must not be null"
            )
        return value

    def map(self, name: str) -> dict[str, str]:
        """Strings by name; at most 50, as tags are."""
        value = self._members.get(name) or {}
        if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()) or len(value) > 50:
            raise invalid(f"{name} must be a map of at most 50 strings.")
        return value

    def items(self, name: str, most: int) -> list[Mapping[str, Any]]:
        """A list of 1 to `most` objects."""
        value = self._members.get(name)
        is_list = isinstance(value, list) and all(isinstance(one, dict) for one in value)
        if not isinstance(value, list) or not is_list or not 1 <= len(value) <= most:
            raise invalid(f"{name} must be a list of 1 to {most} objects.")
        return value

    def texts(self, name: str) -> list[str]:
        value = self._members.get(name) or []
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value) or len(value) > 100:
            raise invalid(f"{name} must be a list of at most 100 strings.")
        return value


def answer(shape: Mapping[str, Any], request_id: str) -> Response:
    headers = [("Content-Type", CONTENT_TYPE), ("x-amzn-RequestId", request_id)]
    return Response(200, headers, orjson.dumps(shape))


def failure(error: JsonError, request_id: str) -> Response:
    headers = [
        ("Content-Type", CONTENT_TYPE),
        ("x-amzn-RequestId", request_id),
        ("x-amzn-ErrorType", error.code),
    ]
    return Response(400, headers, orjson.dumps({"__type": error.code, "message": error.message}))
