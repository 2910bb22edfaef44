"""STS: who calls. Pure."""

from __future__ import annotations

from lambdad.neighbours.query_protocol import STS, Identified, answer
from lambdad.wire.http import Response

CALLER_IDENTITY = "GetCallerIdentity"


def caller_identity(caller: Identified) -> Response:
    members = {"Arn": caller.arn, "UserId": caller.user_id, "Account": caller.account}
    return answer(CALLER_IDENTITY, STS, members)
