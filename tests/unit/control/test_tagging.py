"""AWS's rules for tags."""

from __future__ import annotations

import pytest

from lambdad.control.tagging import check_tag_count
from lambdad.model.errors import ApiError


def test_fifty_tags_are_the_most() -> None:
    check_tag_count({f"k{number}": "" for number in range(50)})
    with pytest.raises(ApiError, match="Number of tags exceeds resource tag limit"):
        check_tag_count({f"k{number}": "" for number in range(51)})


@pytest.mark.parametrize("key", ["aws:x", "AWS:x"])
def test_keys_of_aws_are_reserved(key: str) -> None:
    with pytest.raises(ApiError, match="reserved"):
        check_tag_count({key: ""})
