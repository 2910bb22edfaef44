"""Code that stands in a template. Deploying is tested against a node: tests/api/test_deploy_template.py."""

from __future__ import annotations

import io
import zipfile

import pytest

from lambdad.stack.deployment import zip_inline
from lambdad.stack.errors import StackError


@pytest.mark.parametrize(("runtime", "name"), [("python3.12", "index.py"), ("nodejs20.x", "index.js")])
def test_inline_code_has_the_name_that_aws_gives_it(runtime: str, name: str) -> None:
    content = zip_inline("text", runtime)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert {item: archive.read(item) for item in archive.namelist()} == {name: b"text"}
    assert content == zip_inline("text", runtime)


def test_other_languages_cannot_stand_in_a_template() -> None:
    with pytest.raises(StackError, match=r"for Python and Node\.js, not for java21"):
        zip_inline("text", "java21")
