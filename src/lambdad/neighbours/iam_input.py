"""What IAM takes and what it refuses: names, paths, documents, tags, pages. Pure; every function raises `ApiError`.

Source: the IAM API reference, "Common parameters" and "IAM and AWS STS quotas".
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping, Sequence

from lambdad.identity.documents import check_permissions, check_trust
from lambdad.identity.policy import PolicyError
from lambdad.model.errors import ApiError
from lambdad.neighbours.query_protocol import Value, list_of, pairs_of
from lambdad.wire.validate import NOT_NULL, Failure, length_at_most, show, value_at_least, value_at_most

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
    value = form.get(member, "")
    if not value:
        raise _broken(member, None, NOT_NULL)
    if len(value) > longest:
        raise _broken(member, value, length_at_most(longest))
    if re.fullmatch(_NAME, value, re.ASCII) is None:
        raise _invalid(
            f"The specified value for {_lower_first(member)} is invalid. It must contain only alphanumeric characters "
            "and/or the following: +=,.@_-"
        )
    return value


def path_of(form: Mapping[str, str]) -> str:
    value = form.get("Path", "/")
    if _PATH.fullmatch(value) is None:
        raise _invalid(
            "The specified value for path is invalid. It must begin and end with / and contain only alphanumeric "
            "characters and/or / characters."
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
        raise _broken(member, value, length_at_most(longest))
    return value


def number_of(form: Mapping[str, str], member: str, default: int, least: int, most: int) -> int:
    text = form.get(member)
    if text is None:
        return default
    if not re.fullmatch(r"[0-9]{1,9}", text, re.ASCII):
        raise ApiError("MalformedInput", 400, f"{_lower_first(member)} is a whole number, not {text[:64]!r}")
    if int(text) < least:
        raise _broken(member, text, value_at_least(least))
    if int(text) > most:
        raise _broken(member, text, value_at_most(most))
    return int(text)


def document_of(form: Mapping[str, str], longest: int) -> str:
    """`PolicyDocument`: what a role may do."""
    return _document(form, "PolicyDocument", "policy", longest, check_permissions)


def trust_of(form: Mapping[str, str], member: str) -> str:
    """The document that says who may be a role."""
    return _document(form, member, "trust policy", TRUST_MAX, check_trust)


def _document(form: Mapping[str, str], member: str, kind: str, longest: int, check: Callable[[str], None]) -> str:
    text = form.get(member, "")
    if not text:
        raise _broken(member, None, NOT_NULL)
    if size_of(text) > longest:
        raise limit_exceeded(f"Cannot exceed quota for {kind} size: {longest}")
    try:
        check(text)
    except PolicyError as error:
        raise ApiError("MalformedPolicyDocument", 400, f"Syntax errors in policy: {error}.") from None
    return text


def size_of(document: str) -> int:
    """Characters as IAM counts them: without white space."""
    return len(re.sub(r"\s", "", document))


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


def without_tags(form: Mapping[str, str], before: Mapping[str, str]) -> dict[str, str]:
    """`before` without `TagKeys`."""
    keys = set(list_of(form, "TagKeys"))
    return {key: value for key, value in before.items() if key not in keys}


def shown_tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def page_of(form: Mapping[str, str]) -> tuple[str, int]:
    """After which name a page begins, and how many items it has at the most."""
    limit = number_of(form, "MaxItems", PAGE, 1, PAGE_MAX)
    try:
        return base64.urlsafe_b64decode(form.get("Marker", "").encode("ascii")).decode(), limit
    except (binascii.Error, ValueError):
        raise _invalid("Invalid Marker") from None


def paged(member: str, items: Sequence[Value], names: Sequence[str], limit: int) -> dict[str, Value | None]:
    """A page of up to `limit` of the items; there is more if there are more of them than that."""
    more = len(items) > limit
    marker = base64.urlsafe_b64encode(names[limit - 1].encode()).decode() if more else None
    return {member: list(items[:limit]), "IsTruncated": more, "Marker": marker}


def _lower_first(member: str) -> str:
    return member[0].lower() + member[1:]


def _broken(member: str, value: str | None, constraint: str) -> ApiError:
    return _invalid(f"1 validation error detected: {Failure(show(value), _lower_first(member), constraint)}")


def _invalid(message: str) -> ApiError:
    return ApiError("ValidationError", 400, message)
