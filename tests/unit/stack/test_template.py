"""Reading templates and the values of their parameters."""

from __future__ import annotations

from pathlib import Path

import pytest

from lambdad.stack.errors import StackError
from lambdad.stack.template import parameter_values, read_template

SMALL = """
Parameters:
  Stage: {Type: String, Default: dev, AllowedValues: [dev, prod]}
  Count: {Type: Number, Default: 3}
  Names: {Type: CommaDelimitedList, Default: "a,b"}
  Name: {Type: String, AllowedPattern: "[a-z]+"}
Resources:
  F: {Type: AWS::Lambda::Function, Properties: {Role: !GetAtt R.Arn, Name: !Sub "${Stage}-f"}}
"""


def _write(directory: Path, text: str) -> Path:
    path = directory / "template.yaml"
    path.write_text(text)
    return path


def test_short_forms_become_long_ones(tmp_path: Path) -> None:
    template = read_template(_write(tmp_path, SMALL))
    properties = template.document["Resources"]["F"]["Properties"]
    assert properties == {"Role": {"Fn::GetAtt": ["R", "Arn"]}, "Name": {"Fn::Sub": "${Stage}-f"}}
    assert template.directory == tmp_path


def test_parameters_have_what_was_given_or_their_default(tmp_path: Path) -> None:
    template = read_template(_write(tmp_path, SMALL))
    given = {"Name": "abc", "Stage": "prod"}
    assert parameter_values(template, given) == {"Stage": "prod", "Count": "3", "Names": ["a", "b"], "Name": "abc"}


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({}, "Name has no default: give --parameter Name=VALUE"),
        ({"Name": "ABC"}, r"must match \[a-z\]\+"),
        ({"Name": "a", "Stage": "test"}, "must be one of dev, prod"),
        ({"Name": "a", "Count": "many"}, "must be a number"),
        ({"Name": "a", "Other": "b"}, "has no parameter Other; it has Count, Name, Names, Stage"),
    ],
)
def test_values_that_do_not_fit_are_refused(tmp_path: Path, given: dict[str, str], reason: str) -> None:
    with pytest.raises(StackError, match=reason):
        parameter_values(read_template(_write(tmp_path, SMALL)), given)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it has no Resources"),
        ("Resources: {}", "it has no Resources"),
        ("Resources: {F: {}}", "the resource F has no Type"),
        ("a: [", "neither YAML nor JSON"),
        ("!!python/object/apply:os.system ['true']", "neither YAML nor JSON|no Resources"),
        ("[" * 5000, "neither YAML nor JSON"),
    ],
)
def test_what_is_no_template_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(StackError, match=reason):
        read_template(_write(tmp_path, text))


def test_a_file_that_is_not_there_or_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="cannot read"):
        read_template(tmp_path / "none.yaml")
    with pytest.raises(StackError, match="more than 1000000 bytes"):
        read_template(_write(tmp_path, "#" * 1_000_001))
