"""Where the results of asynchronous invokes can go: destination ARNs, AWS's and our own two.

    arn:aws:sqs|sns|lambda|events|s3:...        as AWS has them
    arn:aws:lambdad:::file/NAME                 one JSON file for each record, in a directory NAME of the node's own
    arn:aws:lambdad:::webhook/http://HOST/PATH  one POST for each record

Only the form is checked here: whether the thing exists shows when it is used.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from lambdad.model.arn import parse_function_reference

Service = Literal["sqs", "sns", "lambda", "events", "s3", "file", "webhook"]
DEAD_LETTER_SERVICES: tuple[Service, ...] = ("sqs", "sns")

_AWS = re.compile(
    r"arn:aws[a-z-]*:(?P<service>sqs|sns|lambda|events|s3):(?P<region>[a-z0-9-]*):(?P<account>(\d{12})?):(?P<resource>.+)"
)
_OWN = re.compile(r"arn:aws[a-z-]*:lambdad:[a-z0-9-]*:(\d{12})?:(?P<kind>file|webhook)/(?P<rest>.+)")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """arn: as it was configured. region, account: empty where the ARN has none.

    resource: name of the queue or topic, `event-bus/NAME`, bucket, file directory, or the URL of a webhook.
    """

    arn: str
    service: Service
    region: str = ""
    account: str = ""
    resource: str


def parse_destination(arn: str) -> Destination | None:
    """The destination that an ARN names; None if it names none that can be delivered to."""
    own = _OWN.fullmatch(arn)
    if own is not None:
        return _parse_own(arn, own["kind"], own["rest"])
    match = _AWS.fullmatch(arn)
    if match is None or arn.endswith(".fifo"):
        return None
    region, account, resource = match["region"], match["account"], match["resource"]
    match match["service"]:
        case "sqs":
            service: Service = "sqs"
        case "sns":
            service = "sns"
        case "lambda":
            service = "lambda"
            reference = parse_function_reference(arn)
            if reference is None:
                return None
            resource = reference.name
        case "events":
            service = "events"
        case _:
            service = "s3"
    return Destination(arn=arn, service=service, region=region, account=account, resource=resource)


def _parse_own(arn: str, kind: str, rest: str) -> Destination | None:
    if kind == "file":
        return Destination(arn=arn, service="file", resource=rest) if _FILE.fullmatch(rest) else None
    try:
        parts = urlsplit(rest)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    if not usable or parts.username is not None or any(character <= " " for character in rest):
        return None
    return Destination(arn=arn, service="webhook", resource=rest)
