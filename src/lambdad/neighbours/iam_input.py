"""What IAM takes and what it refuses: names, paths, documents, tags, pages. Pure; every function raises `ApiError`.

Source: the IAM API reference, "Common parameters" and "IAM and AWS STS quotas".
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence

from lambdad.identity.documents import check_permissions, check_trust
from lambdad.identity.policy import PolicyError
from lambdad.model.errors import ApiError
from lambdad.neighbours.query_protocol import Value, pairs_of

TRUST_MAX = 4096
INLINE_MAX = 10_240
"""Characters of all inline policies of a role together; white space does not count."""
MANAGED_MAX = 6144
TAGS_MAX = 50
PAGE = 100
PAGE_MAX = 1000

_NAME = r"[\w+=,.@-]+"
_PATH = re.compile(r"/|/[\x21-\x7e]{1,510}/")
_POLICY_ARN = re.compile(r"arn:aws:iam::(?:aws|\d{12}):policy/[\x21-\x7e]{1,512}")


def validation(value: str, member: str, constraint: str) -> ApiError:
    return ApiError(
        "ValidationError",
        400,
        f"1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: {constraint}",
    )


def no_such_entity(message: str) -> ApiError:
    return ApiError("NoSuchEntity", 404, message)


def already_exists(message: str) -> ApiError:
    return ApiError("EntityAlreadyExists", 409, message)


def delete_conflict(message: str) -> ApiError:
    return ApiError("DeleteConflict", 409, message)


def limit_exceeded(message: str) -> ApiError:
    return ApiError("LimitExceeded", 409, message)


def name_of(form: Mapping[str, str], member: str, longest: int) -> str:
    """member: such as `RoleName`."""
    value, shown = form.get(member, ""), member[0].lower() + member[1:]
    if not value:
        raise validation("null", shown, "Member must not be null")
    if len(value) > longest:
        raise validation(value, shown, f"Member must have length less than or equal to {longest}")
    if re.fullmatch(_NAME, value, re.ASCII) is None:
        raise ApiError(
            "ValidationError",
            400,
            f"The specified value for {shown} is invalid. It must contain only alphanumeric characters and/or the "
            "following: +=,.@_-",
        )
    return value


def path_of(form: Mapping[str, str], member: str = "Path") -> str:
    value = form.get(member, "/")
    if _PATH.fullmatch(value) is None:
        shown = member[0].lower() + member[1:]
        raise ApiError(
            "ValidationError",
            400,
            f"The specified value for {shown} is invalid. It must begin and end with / and contain only alphanumeric "
            "characters and/or / characters.",
        )
    return value


def policy_arn_of(form: Mapping[str, str], member: str = "PolicyArn") -> str:
    value = form.get(member, "")
    if _POLICY_ARN.fullmatch(value) is None:
        raise ApiError("InvalidInput", 400, f"ARN {value[:256]} is not valid.")
    return value


def text_of(form: Mapping[str, str], member: str, longest: int) -> str:
    value = form.get(member, "")
    if len(value) > longest:
        shown = member[0].lower() + member[1:]
        raise validation(value[:64], shown, f"Member must have length less than or equal to {longest}")
    return value


def number_of(form: Mapping[str, str], member: str, default: int, least: int, most: int) -> int:
    text = form.get(member)
    if text is None:
        return default
    shown = member[0].lower() + member[1:]
    if not re.fullmatch(r"[0-9]{1,9}", text, re.ASCII):
        raise ApiError("MalformedInput", 400, f"{shown} is a whole number, not {text[:64]!r}")
    if int(text) < least:
        raise validation(text, shown, f"Member must have value greater than or equal to {least}")
    if int(text) > most:
        raise validation(text, shown, f"Member must have value less than or equal to {most}")
    return int(text)


def document_of(form: Mapping[str, str], longest: int) -> str:
    """`PolicyDocument`: what a role may do."""
    text = _document(form, "PolicyDocument", longest)
    try:
        check_permissions(text)
    except PolicyError as error:
        raise _malformed(error) from None
    return text


def trust_of(form: Mapping[str, str], member: str) -> str:
    """The document that says who may be a role."""
    text = _document(form, member, TRUST_MAX)
    try:
        check_trust(text)
    except PolicyError as error:
        raise _malformed(error) from None
    return text


def _document(form: Mapping[str, str], member: str, longest: int) -> str:
    text, shown = form.get(member, ""), member[0].lower() + member[1:]
    if not text:
        raise validation("null", shown, "Member must not be null")
    if size_of(text) > longest:
        kind = "policy" if member == "PolicyDocument" else "trust policy"
        raise limit_exceeded(f"Cannot exceed quota for {kind} size: {longest}")
    return text


def size_of(document: str) -> int:
    """Characters as IAM counts them: without white space."""
    return len(re.sub(r"\s", "", document))


def _malformed(error: PolicyError) -> ApiError:
    return ApiError("MalformedPolicyDocument", 400, f"Syntax errors in policy: {error}.")


def tags_of(form: Mapping[str, str], before: Mapping[str, str]) -> dict[str, str]:
    """`before` with `Tags` laid over it."""
    tags = dict(before)
    for key, value in pairs_of(form, "Tags"):
        if not 1 <= len(key) <= 128 or len(value) > 256:
            raise ApiError("InvalidInput", 400, "A tag has a key of 1 to 128 characters and a value of up to 256.")
        if key.lower().startswith("aws:"):
            raise ApiError("InvalidInput", 400, f"Tag keys may not begin with aws:, as {key!r} does.")
        tags[key] = value
    if len(tags) > TAGS_MAX:
        raise limit_exceeded(f"The number of tags has reached the maximum limit of {TAGS_MAX}.")
    return tags


def shown_tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def page_of(form: Mapping[str, str]) -> tuple[str, int]:
    """After which name a page begins, and how many items it has at the most."""
    limit = number_of(form, "MaxItems", PAGE, 1, PAGE_MAX)
    try:
        return base64.urlsafe_b64decode(form.get("Marker", "").encode("ascii")).decode(), limit
    except (binascii.Error, ValueError):
        raise ApiError("ValidationError", 400, "Invalid Marker") from None


def paged(member: str, items: Sequence[Value], names: Sequence[str], limit: int) -> dict[str, Value | None]:
    """A page of up to `limit` of the items; there is more if there are more of them than that."""
    more = len(items) > limit
    marker = base64.urlsafe_b64encode(names[limit - 1].encode()).decode() if more else None
    return {member: list(items[:limit]), "IsTruncated": more, "Marker": marker}
