"""What IAM takes: pages and sizes. Names, paths and documents are refused in test_iam_roles."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lambdad.model.errors import ApiError
from lambdad.neighbours.iam_input import name_of, number_of, page_of, paged, path_of, policy_arn_of, size_of


def test_white_space_does_not_count() -> None:
    assert size_of('{ "a":\n\t1 }') == len('{"a":1}')


def test_a_marker_leads_to_the_next_page() -> None:
    names = ["a", "b", "c"]
    page = paged("Roles", names, names, 2)
    assert (page["Roles"], page["IsTruncated"]) == (["a", "b"], True)
    assert page_of({"Marker": str(page["Marker"]), "MaxItems": "2"}) == ("b", 2)
    assert paged("Roles", names, names, 3) == {"Roles": names, "IsTruncated": False, "Marker": None}


@given(st.text())
def test_any_text_is_taken_or_refused_in_iams_form(text: str) -> None:
    form = {"RoleName": text, "Path": text, "PolicyArn": text, "MaxItems": text, "Marker": text}
    for read in (
        lambda: name_of(form, "RoleName", 64),
        lambda: path_of(form),
        lambda: policy_arn_of(form),
        lambda: number_of(form, "MaxItems", 1, 1, 10),
        lambda: page_of({"Marker": text}),
    ):
        try:
            read()
        except ApiError as error:
            assert 400 <= error.status < 500
