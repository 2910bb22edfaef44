"""Destination ARNs: AWS's, ours, and what is neither."""

from __future__ import annotations

import pytest

from lambdad.model.destination import Destination, parse_destination

ACCOUNT = "000000000000"


@pytest.mark.parametrize(
    ("arn", "service", "region", "account", "resource"),
    [
        (f"arn:aws:sqs:eu-west-1:{ACCOUNT}:q", "sqs", "eu-west-1", ACCOUNT, "q"),
        (f"arn:aws-cn:sns:cn-north-1:{ACCOUNT}:t", "sns", "cn-north-1", ACCOUNT, "t"),
        (f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:f:live", "lambda", "us-east-1", ACCOUNT, "f"),
        (f"arn:aws:events:us-east-1:{ACCOUNT}:event-bus/b", "events", "us-east-1", ACCOUNT, "event-bus/b"),
        ("arn:aws:s3:::bucket", "s3", "", "", "bucket"),
        ("arn:aws:lambdad:::file/audit-1", "file", "", "", "audit-1"),
        ("arn:aws:lambdad:::webhook/https://h.example/p?q=1", "webhook", "", "", "https://h.example/p?q=1"),
        (f"arn:aws:lambdad:us-east-1:{ACCOUNT}:webhook/http://[::1]:80", "webhook", "", "", "http://[::1]:80"),
    ],
)
def test_destinations_are_parsed(arn: str, service: str, region: str, account: str, resource: str) -> None:
    found = parse_destination(arn)
    assert found == Destination(arn=arn, service=service, region=region, account=account, resource=resource)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "arn",
    [
        "",
        "q",
        f"arn:aws:sqs:us-east-1:{ACCOUNT}:q.fifo",
        f"arn:aws:dynamodb:us-east-1:{ACCOUNT}:table/t",
        f"arn:aws:lambda:us-east-1:{ACCOUNT}:layer:x",
        "arn:aws:lambdad:::file/..",
        "arn:aws:lambdad:::file/a/b",
        "arn:aws:lambdad:::file/",
        f"arn:aws:lambdad:::file/{'x' * 65}",
        "arn:aws:lambdad:::webhook/ftp://h/",
        "arn:aws:lambdad:::webhook/http://",
        "arn:aws:lambdad:::webhook/http://user:word@h/",
        "arn:aws:lambdad:::webhook/http://h:99999/",
        "arn:aws:lambdad:::webhook/http://[broken/",
        "arn:aws:lambdad:::webhook/http://h/a\nb",
        "arn:aws:lambdad:::mail/x",
    ],
)
def test_what_cannot_be_delivered_to_is_none(arn: str) -> None:
    assert parse_destination(arn) is None
