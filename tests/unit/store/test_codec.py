"""Records as JSON and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from tests.unit.store.records import make_alias, make_function, make_layer, make_version

from lambdad.model.environment import Image
from lambdad.model.function import Durable, FileSystem, FunctionVersion, ImageOverride, Package, VpcConfig
from lambdad.model.settings import Policy, Statement
from lambdad.store.codec import decode, decoder, encode


@dataclass(frozen=True)
class Old:
    name: str


@dataclass(frozen=True)
class New:
    name: str
    size: int = 7
    weights: Mapping[str, float] = field(default_factory=dict)
    anything: Mapping[str, Any] = field(default_factory=dict)


def full_version() -> FunctionVersion:
    version = make_version()
    settings = replace(
        version.settings,
        environment={"A": "ü\n"},
        vpc=VpcConfig(subnet_ids=("a", "b")),
        file_systems=(FileSystem(arn="x", mount_path="/mnt/a"),),
        image_override=ImageOverride(command=()),
        durable=Durable(execution_timeout=5),
    )
    image = Image(uri="u", resolved_uri="r", manifest_sha256="00", environment={"B": "c"})
    return replace(version, deployment=replace(version.deployment, settings=settings, package=Package(image=image)))


def test_records_come_back_equal() -> None:
    statement = Statement(
        id="s", action="a", principal_type="", principal="*", resource="r", conditions={"Bool": {"k": "true"}}
    )
    for record in (
        full_version(),
        make_function(),
        make_alias(),
        make_layer(),
        Policy(statements=(statement,), revision_id="r"),
    ):
        assert decode(type(record), encode(record)) == record


def test_a_new_lambdad_reads_what_an_old_one_wrote_and_the_other_way_round() -> None:
    assert decode(New, encode(Old("a"))) == New("a")
    assert decode(Old, encode(New("a", 8))) == Old("a")


def test_numbers_stay_floats_where_floats_belong() -> None:
    weights = decode(New, '{"name": "a", "weights": {"1": 1}}').weights
    assert [type(weight) for weight in weights.values()] == [float]


def test_anything_json_is_kept_as_it_is() -> None:
    record = New("a", anything={"list": [1, {"x": None}], "text": "y"})
    assert decode(New, encode(record)) == record


def test_what_records_cannot_hold_is_a_bug_that_is_found_at_once() -> None:
    with pytest.raises(TypeError, match="records cannot hold"):
        decoder(set)
