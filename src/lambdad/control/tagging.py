"""AWS's rules for tags. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from lambdad.model.errors import invalid_parameter
from lambdad.model.limits import TAGS_MAX


def check_tag_count(tags: Mapping[str, str]) -> None:
    """tags: all that the resource will have."""
    if len(tags) > TAGS_MAX:
        raise invalid_parameter("Number of tags exceeds resource tag limit.")
    reserved = next((tag for tag in tags if tag.lower().startswith("aws:")), None)
    if reserved is not None:
        raise invalid_parameter(f"The tag key {reserved} is reserved: keys that start with aws: are for internal use.")
