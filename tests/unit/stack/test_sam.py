"""SAM by AWS's translator, with code that lies on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lambdad.stack.errors import StackError
from lambdad.stack.sam import LOCAL_BUCKET, TRANSFORM, Package, Source, translate
from lambdad.stack.template import Template


def _translate(directory: Path, resources: dict[str, Any], **sections: Any) -> tuple[dict[str, Any], list[Source]]:
    """The resources of the translated template, and the sources that were bundled."""
    seen: list[Source] = []

    def bundle(source: Source) -> Package:
        seen.append(source)
        return Package(source.path.name.encode(), f"digest-of-{source.path.name}")

    document = {"Transform": TRANSFORM, "Resources": resources, **sections}
    translated, packages = translate(Template(document, directory), {}, "us-east-1", bundle)
    assert len(packages) == len(seen)
    return translated["Resources"], seen


def test_local_code_becomes_an_address_that_stands_for_its_package(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    properties = {"CodeUri": "code", "Handler": "app.handler", "Runtime": "python3.12", "Architectures": ["arm64"]}
    resources, (source,) = _translate(tmp_path, {"F": {"Type": "AWS::Serverless::Function", "Properties": properties}})
    assert resources["F"]["Type"] == "AWS::Lambda::Function"
    assert resources["F"]["Properties"]["Code"] == {"S3Bucket": LOCAL_BUCKET, "S3Key": "F/digest-of-code"}
    expected = Source(path=tmp_path / "code", is_layer=False, runtime="python3.12", architecture="arm64")
    assert source == expected


def test_globals_hold_for_code_and_runtime(tmp_path: Path) -> None:
    (tmp_path / "common").mkdir()
    common = {"Function": {"Runtime": "python3.11", "CodeUri": "common", "Handler": "app.handler"}}
    _, (source,) = _translate(tmp_path, {"F": {"Type": "AWS::Serverless::Function"}}, Globals=common)
    assert (source.path, source.runtime) == (tmp_path / "common", "python3.11")


def test_inline_code_images_and_s3_are_left_as_they_are(tmp_path: Path) -> None:
    resources = {
        "Inline": {"InlineCode": "x = 1", "Handler": "index.handler", "Runtime": "python3.12"},
        "Image": {"PackageType": "Image", "ImageUri": "registry/image:1"},
        "Remote": {"CodeUri": "s3://bucket/key", "Handler": "a.b", "Runtime": "python3.12"},
    }
    typed = {name: {"Type": "AWS::Serverless::Function", "Properties": value} for name, value in resources.items()}
    translated, seen = _translate(tmp_path, typed)
    assert seen == []
    assert translated["Inline"]["Properties"]["Code"] == {"ZipFile": "x = 1"}
    assert translated["Remote"]["Properties"]["Code"] == {"S3Bucket": "bucket", "S3Key": "key"}


def test_plain_cloudformation_with_local_code_needs_no_translator(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    document = {
        "Resources": {
            "F": {"Type": "AWS::Lambda::Function", "Properties": {"Code": "code"}},
            "L": {"Type": "AWS::Lambda::LayerVersion", "Properties": {"Content": "code"}},
        }
    }
    translated, packages = translate(
        Template(document, tmp_path), {}, "us-east-1", lambda source: Package(b"", str(source.is_layer))
    )
    assert translated["Resources"]["F"]["Properties"]["Code"]["S3Key"] == "F/False"
    assert set(packages) == {"F/False", "L/True"}
    assert document["Resources"]["F"]["Properties"]["Code"] == "code"  # the template itself is not touched


@pytest.mark.parametrize(
    ("resource", "reason"),
    [
        ({"Properties": {"CodeUri": "missing"}}, "CodeUri of F: there is no"),
        ({"Properties": {"CodeUri": "."}, "Metadata": {"BuildMethod": "makefile"}}, "run `sam build`"),
        ({"Properties": {"CodeUri": ".", "Runtime": "python3.12"}}, "the SAM template is not valid: .*Handler"),
    ],
)
def test_what_cannot_be_built_or_translated_says_so(tmp_path: Path, resource: dict[str, Any], reason: str) -> None:
    with pytest.raises(StackError, match=reason):
        _translate(tmp_path, {"F": {"Type": "AWS::Serverless::Function", **resource}})
