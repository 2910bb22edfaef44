"""What neighbours and function URLs ask of a node's gate."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from unittest import mock

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from lambdad.identity.actions import INVOKE_URL
from lambdad.identity.gate import AUTOMATIC, Gate
from lambdad.identity.keys import AccessKey, KeyFile, new_key
from lambdad.model.arn import LATEST, Namespace
from lambdad.model.errors import ApiError
from lambdad.model.settings import Policy
from lambdad.node.gate import GateOfNeighbours, GateOfUrls, PolicyTexts, iam_resource, log_resources
from lambdad.testing.gates import NOW, NoFacts, open_gate
from lambdad.wire.http import Request

HERE = Namespace("000000000000", "us-east-1")
RESOURCE = "arn:aws:lambda:us-east-1:000000000000:function:f"
UNSIGNED = Request("GET", "/", "", {"host": "x"}, b"", peer="10.0.0.1")


def _closed(directory: Path, *statements: dict[str, object]) -> Gate:
    """A node with a key, and a resource policy on the function `f`."""
    keys = KeyFile(directory / "keys.json")
    keys.create(new_key(account=HERE.account, user="a", policies=(), now=NOW, expires=0.0))
    policy = json.dumps({"Version": "2012-10-17", "Statement": list(statements)}) if statements else None

    def policy_of(namespace: Namespace, name: str, qualifier: str) -> str | None:
        return policy if (namespace, name, qualifier) == (HERE, "f", LATEST) else None

    return Gate(keys, policy_of, NoFacts(), lambda: NOW, mode=AUTOMATIC, region="us-east-1")


def _public(**condition: object) -> dict[str, object]:
    statement: dict[str, object] = {"Effect": "Allow", "Principal": "*", "Action": INVOKE_URL, "Resource": RESOURCE}
    return statement | ({"Condition": condition} if condition else {})


def _is_admitted(gate: Gate, auth_type: str = "NONE") -> bool:
    try:
        GateOfUrls(gate).admit(UNSIGNED, HERE, "f", None, auth_type)
    except ApiError as error:
        assert (error.status, error.message.partition(".")[0]) == (403, "Forbidden")
        return False
    return True


def _sign_form(key: AccessKey, text: str) -> Request:
    """A request of IAM as botocore signs it."""
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    unsigned = AWSRequest("POST", "http://127.0.0.1:9000/", headers=form, data=text.encode())
    with mock.patch("botocore.auth.get_current_datetime", return_value=datetime.fromtimestamp(NOW, UTC)):
        SigV4Auth(Credentials(key.id, key.secret), "iam", "us-east-1").add_auth(unsigned)
    headers = {name.lower(): str(value) for name, value in unsigned.headers.items()}
    return Request("POST", "/", "", {"host": "127.0.0.1:9000", **headers}, text.encode())


def test_an_open_node_serves_public_urls_to_everybody() -> None:
    assert _is_admitted(open_gate())
    assert not _is_admitted(open_gate(), "AWS_IAM")


def test_with_keys_a_public_url_needs_a_policy_that_says_so(tmp_path: Path) -> None:
    assert not _is_admitted(_closed(tmp_path))
    assert _is_admitted(_closed(tmp_path, _public()))
    assert _is_admitted(_closed(tmp_path, _public(StringEquals={"lambda:FunctionUrlAuthType": "NONE"})))
    assert not _is_admitted(_closed(tmp_path, _public(StringEquals={"lambda:FunctionUrlAuthType": "AWS_IAM"})))
    assert not _is_admitted(_closed(tmp_path, _public(), {**_public(), "Effect": "Deny"}))


def test_with_keys_a_url_with_iam_needs_a_signature(tmp_path: Path) -> None:
    assert not _is_admitted(_closed(tmp_path, _public()), "AWS_IAM")


def test_neighbours_learn_who_calls_and_only_from_those_who_sign(tmp_path: Path) -> None:
    told = GateOfNeighbours(open_gate()).identify(UNSIGNED)
    assert (told.account, told.arn) == ("000000000000", "arn:aws:iam::000000000000:root")
    neighbours = GateOfNeighbours(_closed(tmp_path))
    for ask in (lambda: neighbours.identify(UNSIGNED), lambda: neighbours.admit_logs(UNSIGNED, "GetLogEvents")):
        with pytest.raises(ApiError, match="Missing Authentication Token"):
            ask()


def test_an_open_node_serves_urls_with_iam_to_their_own_account() -> None:
    gate = GateOfUrls(open_gate())
    for account, is_in in ((HERE.account, True), ("222222222222", False)):
        credential = f"{account}/20260102/us-east-1/lambda/aws4_request"
        headers = {"authorization": f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0"}
        signed = replace(UNSIGNED, headers={**UNSIGNED.headers, **headers})
        if is_in:
            caller = gate.admit(signed, HERE, "f", None, "AWS_IAM")
            assert caller is not None
            assert caller.account == account
        else:
            with pytest.raises(ApiError, match="Forbidden"):
                gate.admit(signed, HERE, "f", None, "AWS_IAM")


def test_neighbours_call_errors_by_the_names_of_their_protocols(tmp_path: Path) -> None:
    neighbours = GateOfNeighbours(_closed(tmp_path))
    with pytest.raises(ApiError) as of_sts:
        neighbours.identify(UNSIGNED)
    assert (of_sts.value.code, of_sts.value.status) == ("MissingAuthenticationToken", 403)
    with pytest.raises(ApiError) as of_logs:
        neighbours.admit_logs(UNSIGNED, "GetLogEvents")
    assert (of_logs.value.code, of_logs.value.status) == ("MissingAuthenticationTokenException", 400)


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"logGroupName": "/aws/lambda/f", "logStreamName": "s"}, ["/aws/lambda/f:log-stream:s"]),
        ({"logGroupIdentifier": "arn:aws:logs:us-east-1:000000000000:log-group:g:*"}, ["g:log-stream:"]),
        ({"logGroupIdentifiers": ["a", "b"], "logGroupName": "c"}, ["c:log-stream:", "a:log-stream:", "b:log-stream:"]),
        ({"resourceArn": "arn:aws:logs:us-east-1:000000000000:log-group:g"}, ["g:log-stream:"]),
        ({"logGroupName": 1}, [":log-stream:"]),
        ({}, [":log-stream:"]),
        ([], [":log-stream:"]),
    ],
)
def test_every_log_group_that_a_request_names_is_asked_for(members: object, expected: list[str]) -> None:
    found = list(log_resources(json.dumps(members).encode(), HERE))
    assert found == [f"arn:aws:logs:us-east-1:000000000000:log-group:{text}" for text in expected]


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({"RoleName": "worker"}, f"arn:aws:iam::{HERE.account}:role/worker"),
        ({"RoleName": "worker", "PolicyArn": "arn:aws:iam::aws:policy/x"}, f"arn:aws:iam::{HERE.account}:role/worker"),
        ({"RoleName": "worker", "PolicyName": "inline"}, f"arn:aws:iam::{HERE.account}:role/worker"),
        ({"PolicyName": "own"}, f"arn:aws:iam::{HERE.account}:policy/own"),
        ({"PolicyArn": f"arn:aws:iam::{HERE.account}:policy/own"}, f"arn:aws:iam::{HERE.account}:policy/own"),
        ({}, "*"),
    ],
)
def test_iam_is_asked_about_the_role_before_the_policy(form: dict[str, str], expected: str) -> None:
    assert iam_resource(form, HERE.account) == expected


def test_a_key_that_may_only_read_roles_makes_none(tmp_path: Path) -> None:
    allow = {"Effect": "Allow", "Action": "iam:Get*", "Resource": f"arn:aws:iam::{HERE.account}:role/mine-*"}
    key = new_key(account=HERE.account, user="ada", policies=(json.dumps({"Statement": allow}),), now=NOW, expires=0.0)
    keys = KeyFile(tmp_path / "keys.json")
    keys.create(key)
    gate = GateOfNeighbours(Gate(keys, lambda *_: None, NoFacts(), lambda: NOW, mode=AUTOMATIC, region="us-east-1"))
    assert gate.identify(_sign_form(key, "Action=GetRole&RoleName=mine-1")).account == HERE.account
    for refused in ("Action=GetRole&RoleName=yours", "Action=CreateRole&RoleName=mine-1", "Action=ListRoles"):
        with pytest.raises(ApiError) as error:
            gate.identify(_sign_form(key, refused))
        assert error.value.code == "AccessDenied"


def test_what_is_no_json_is_about_no_group() -> None:
    assert list(log_resources(b"{", HERE)) == ["arn:aws:logs:us-east-1:000000000000:log-group::log-stream:"]


def test_a_policy_is_written_once_while_it_is_the_same() -> None:
    texts, one, two = PolicyTexts(), Policy(id="one"), Policy(id="two")
    assert texts.text(one) is texts.text(one)
    assert json.loads(texts.text(two))["Id"] == "two"
