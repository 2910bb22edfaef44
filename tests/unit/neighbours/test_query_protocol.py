"""STS and IAM, as far as clients of Lambda ask them."""

from __future__ import annotations

import json
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest

from lambdad.neighbours.query_protocol import ACTIONS, FORM_MAX, Identified, answer_form, form_error, read_form
from lambdad.wire.http import Request

FORM = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}


CALLER = Identified("123456789012", "arn:aws:iam::123456789012:root", "123456789012")


def _texts(body: bytes) -> dict[str, str]:
    return {element.tag.split("}")[1]: element.text or "" for element in ElementTree.fromstring(body).iter()}


CALLER = Identified("123456789012", "arn:aws:iam::123456789012:user/<Ada>", "AIDA1")


def _ask(**form: str) -> tuple[int, dict[str, str]]:
    answer = answer_form(form, CALLER)
    return answer.status, _texts(answer.body)


def test_callers_learn_who_they_are() -> None:
    _, texts = _ask(Action="GetCallerIdentity")
    assert (texts["Arn"], texts["UserId"], texts["Account"]) == (CALLER.arn, "AIDA1", "123456789012")


def test_any_role_is_there_and_may_be_assumed_by_lambda() -> None:
    _, texts = _ask(Action="GetRole", RoleName="a@b+c")
    assert texts["Arn"] == "arn:aws:iam::123456789012:role/a@b+c"
    (statement,) = json.loads(unquote(texts["AssumeRolePolicyDocument"]))["Statement"]
    assert statement["Principal"] == {"Service": "lambda.amazonaws.com"}
    assert _ask(Action="GetRole", RoleName="a@b+c")[1]["RoleId"] == texts["RoleId"]
    assert _ask(Action="ListAttachedRolePolicies", RoleName="x")[1]["IsTruncated"] == "false"


@pytest.mark.parametrize("name", ["", "<x/>", "a" * 65, "ä"])
def test_a_role_needs_a_name_that_iam_takes(name: str) -> None:
    status, texts = _ask(Action="GetRole", RoleName=name)
    assert (status, texts["Code"]) == (400, "ValidationError")


def test_errors_are_xml_whatever_they_say() -> None:
    answer = form_error("AccessDenied", "not <you> & me", 403)
    assert (answer.status, _texts(answer.body)["Message"]) == (403, "not <you> & me")


def test_other_actions_and_other_bodies_are_nobodys_here() -> None:
    assert "ListUsers" not in ACTIONS
    for headers, body in (
        ({}, b"Action=GetRole"),
        (FORM, b"\xff"),
        (FORM, b"&".join([b"a=b"] * 100)),
        (FORM, b"Action=GetRole&x=" + b"y" * FORM_MAX),
    ):
        assert read_form(Request("POST", "/", "", headers, body)) == {}
    assert read_form(Request("POST", "/", "", FORM, b"Action=GetRole&Action=x")) == {"Action": "GetRole"}
