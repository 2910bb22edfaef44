"""The spec builder of tests."""

from __future__ import annotations

import pytest

from lambdad.testing.specs import HERE, make_spec


def test_a_spec_is_ordinary_but_for_what_is_said() -> None:
    spec = make_spec(function_name="g", timeout_s=9)
    assert (spec.namespace, spec.function_name, spec.timeout_s) == (HERE, "g", 9)
    assert spec.runtime == make_spec().runtime
    assert make_spec() == make_spec()


def test_a_misspelt_member_is_an_error() -> None:
    with pytest.raises(TypeError):
        make_spec(time_out=9)
