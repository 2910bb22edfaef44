"""The query protocol: forms in, XML out."""

from __future__ import annotations

from datetime import UTC, datetime
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from lambdad.neighbours.query_protocol import (
    FIELDS_MAX,
    FORM_MAX,
    IAM,
    answer,
    form_error,
    list_of,
    pairs_of,
    read_form,
)
from lambdad.wire.http import Request

FORM = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}


def texts(body: bytes) -> dict[str, str]:
    return {element.tag.split("}")[1]: element.text or "" for element in ElementTree.fromstring(body).iter()}


def test_members_lists_and_pairs_are_read() -> None:
    body = b"Action=TagRole&TagKeys.member.1=a&TagKeys.member.2=b&Tags.member.1.Key=k&Tags.member.1.Value=v%20w"
    form = read_form(Request("POST", "/", "", FORM, body + b"&Tags.member.2.Key=empty&Action=second"))
    assert form["Action"] == "TagRole"
    assert list_of(form, "TagKeys") == ["a", "b"]
    assert pairs_of(form, "Tags") == [("k", "v w"), ("empty", "")]
    assert (list_of(form, "Missing"), pairs_of(form, "Missing")) == ([], [])


def test_other_bodies_are_no_forms() -> None:
    for headers, body in (
        ({}, b"Action=GetRole"),
        (FORM, b"\xff"),
        (FORM, b"&".join([b"a=b"] * (FIELDS_MAX + 1))),
        (FORM, b"Action=GetRole&x=" + b"y" * FORM_MAX),
    ):
        assert read_form(Request("POST", "/", "", headers, body)) == {}


def test_answers_have_aws_shapes() -> None:
    result = {
        "Role": {"Tags": [{"Key": "a"}], "When": datetime(2026, 1, 2, tzinfo=UTC), "None": None},
        "Yes": True,
        "Number": 3,
    }
    response = answer("GetRole", IAM, result)
    assert response.body.startswith(
        b'<GetRoleResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><GetRoleResult><Role><Tags><member><Key>a'
        b"</Key></member></Tags><When>2026-01-02T00:00:00Z</When></Role><Yes>true</Yes><Number>3</Number></GetRoleResult>"
    )
    assert b"Result>" not in answer("TagRole", IAM, None).body


@given(st.text())
def test_any_text_is_shown_as_xml_that_can_be_read(text: str) -> None:
    assert ElementTree.fromstring(form_error("AccessDenied", text, 403).body) is not None
    assert ElementTree.fromstring(answer("GetRole", IAM, {"Name": text}).body) is not None


def test_errors_say_whose_fault_they_are() -> None:
    refused = form_error("AccessDenied", "not <you> & me", 403)
    assert (refused.status, texts(refused.body)["Message"], texts(refused.body)["Type"]) == (
        403,
        "not <you> & me",
        "Sender",
    )
    assert texts(form_error("ServiceFailure", "no", 500).body)["Type"] == "Receiver"
