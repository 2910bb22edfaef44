"""Markers and sizes of pages."""

from __future__ import annotations

import pytest

from lambdad.control.paging import answer, make_marker, marker, page_size, paged
from lambdad.model.errors import ApiError


def test_a_page_is_as_large_as_asked_for_and_never_larger_than_awss() -> None:
    assert [page_size(params) for params in ({}, {"MaxItems": 7}, {"MaxItems": 10_000})] == [50, 7, 50]
    assert page_size({"MaxItems": 10_000}, 10_000) == 10_000


def test_a_marker_comes_back_as_what_it_was_made_of() -> None:
    assert marker({"Marker": make_marker("a", "ü$1")}, 2) == ["a", "ü$1"]
    assert marker({}, 2) is None
    assert marker({"Marker": ""}, 2) is None


@pytest.mark.parametrize("text", ["x", "é", "e30=", make_marker("a"), "WzFd" * 2, "A" * 5000, "W1siYSJdXQ=="])
def test_what_is_no_marker_of_this_list_is_refused(text: str) -> None:
    with pytest.raises(ApiError, match="Invalid pagination token"):
        marker({"Marker": text}, 2)


def test_pages_put_together_are_the_list() -> None:
    items = [f"item{number}" for number in range(10)]
    for size in range(1, 12):
        start: str | None = ""
        seen: list[str] = []
        while start is not None:
            page, following = paged((item for item in items if item >= start), size, lambda item: (item,))
            seen += page
            start = None if following is None else (marker({"Marker": following}, 1) or [""])[0]
        assert seen == items


def test_the_last_page_has_no_marker() -> None:
    assert answer("Items", [1], None) == {"Items": [1]}
    assert answer("Items", [1], "m") == {"Items": [1], "NextMarker": "m"}
