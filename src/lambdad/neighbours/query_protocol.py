"""What clients of STS and IAM ask on the way to Lambda, in AWS's query protocol: forms in, XML out. Pure.

GetCallerIdentity says whose account it is; GetRole and ListAttachedRolePolicies answer for any role, because lambdad
keeps no roles: a role is a name that functions carry, and what they may do is not decided by it.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, quote
from xml.sax.saxutils import escape

from lambdad.wire.http import Request, Response

FORM_MAX = 64 * 1024

_STS = "https://sts.amazonaws.com/doc/2011-06-15/"
_IAM = "https://iam.amazonaws.com/doc/2010-05-08/"
_ROLE_NAME = re.compile(r"[\w+=,.@-]{1,64}", re.ASCII)
_TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"},
    ],
}


ACTIONS = frozenset({"GetCallerIdentity", "GetRole", "ListAttachedRolePolicies"})


@dataclass(frozen=True, slots=True)
class Identified:
    """Who calls. account: 12 digits. user_id: as STS shows it."""

    account: str
    arn: str
    user_id: str


def read_form(request: Request) -> Mapping[str, str]:
    """The members of the query protocol; none if the body is no such form."""
    is_form = request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    if not is_form or len(request.body) > FORM_MAX:
        return {}
    try:
        members = parse_qs(request.body.decode("ascii"), max_num_fields=64)
    except ValueError:
        return {}
    return {name: values[0] for name, values in members.items()}


def answer_form(form: Mapping[str, str], caller: Identified) -> Response:
    """The answer to a form with one of ACTIONS."""
    match form["Action"]:
        case "GetCallerIdentity":
            return _caller_identity(caller)
        case "GetRole":
            return _role(form.get("RoleName", ""), caller.account)
        case _:
            result = "<AttachedPolicies></AttachedPolicies><IsTruncated>false</IsTruncated>"
            return _answer("ListAttachedRolePolicies", _IAM, result)


def _caller_identity(caller: Identified) -> Response:
    arn, user_id, account = (escape(text) for text in (caller.arn, caller.user_id, caller.account))
    result = f"<Arn>{arn}</Arn><UserId>{user_id}</UserId><Account>{account}</Account>"
    return _answer("GetCallerIdentity", _STS, result)


def _role(name: str, account: str) -> Response:
    """A role that Lambda may assume, made up from its name; always the same one."""
    if _ROLE_NAME.fullmatch(name) is None:
        return form_error("ValidationError", "The specified value for roleName is invalid.", 400)
    identity = hashlib.sha256(f"{account} {name}".encode()).hexdigest()[:17].upper()
    result = (
        f"<Role><Path>/</Path><RoleName>{escape(name)}</RoleName><RoleId>AROA{identity}</RoleId>"
        f"<Arn>arn:aws:iam::{escape(account)}:role/{escape(name)}</Arn><CreateDate>2026-01-01T00:00:00Z</CreateDate>"
        f"<AssumeRolePolicyDocument>{quote(json.dumps(_TRUST))}</AssumeRolePolicyDocument>"
        "<Description>Made up by lambdad, which keeps no roles.</Description>"
        "<MaxSessionDuration>3600</MaxSessionDuration></Role>"
    )
    return _answer("GetRole", _IAM, result)


def _answer(action: str, namespace: str, result: str) -> Response:
    text = (
        f'<{action}Response xmlns="{namespace}"><{action}Result>{result}</{action}Result>'
        f"<ResponseMetadata><RequestId>{uuid.uuid4()}</RequestId></ResponseMetadata></{action}Response>"
    )
    return Response(200, [("Content-Type", "text/xml")], text.encode())


def form_error(code: str, message: str, status: int) -> Response:
    """An error in the form of the query protocol."""
    text = (
        f'<ErrorResponse xmlns="{_IAM}"><Error><Type>Sender</Type><Code>{code}</Code>'
        f"<Message>{escape(message)}</Message></Error><RequestId>{uuid.uuid4()}</RequestId></ErrorResponse>"
    )
    return Response(status, [("Content-Type", "text/xml")], text.encode())
