"""Layer versions as values."""

from __future__ import annotations

from lambdad.model.arn import Namespace
from lambdad.model.environment import Code
from lambdad.model.layer import LayerVersion


def test_a_layer_version_has_an_arn_with_its_number() -> None:
    layer = LayerVersion(
        namespace=Namespace("123456789012", "eu-west-1"),
        name="l",
        version=3,
        code=Code(sha256="ab" * 32, size=1),
        unzipped_size=1,
        created=0.0,
    )
    assert layer.arn == "arn:aws:lambda:eu-west-1:123456789012:layer:l:3"
