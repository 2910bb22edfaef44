"""What a name stands for."""

from __future__ import annotations

from lambdad.testing.specs import make_target


def test_settings_hang_on_the_qualifier_that_was_named_or_on_the_unpublished_version() -> None:
    assert make_target().setting_key == "$LATEST"
    assert make_target(qualifier="live").setting_key == "live"
