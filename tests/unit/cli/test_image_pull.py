"""Names of sources and platforms."""

from __future__ import annotations

from pathlib import Path

import pytest

from lambdad.cli.errors import CliError
from lambdad.cli.image_pull import parse_platform, parse_source
from lambdad.image.oci import Platform
from lambdad.image.registry import RegistrySource
from lambdad.image.sources import ArchiveSource, DirectorySource, OciLayoutSource


@pytest.mark.parametrize(
    ("text", "kind", "name"),
    [
        ("dir:some/tree", DirectorySource, "tree"),
        ("oci-layout:some/app:v1", OciLayoutSource, "app:v1"),
        ("oci-archive:some/app.tar", ArchiveSource, "app"),
        ("docker-archive:some/app.tar", ArchiveSource, "app"),
        ("localhost:5000/team/app:v1", RegistrySource, "localhost:5000/team/app:v1"),
        ("python", RegistrySource, "python"),
    ],
)
def test_a_source_has_a_kind_and_a_name(text: str, kind: type, name: str, tmp_path: Path) -> None:
    source, own = parse_source(text, str(tmp_path))
    assert isinstance(source, kind)
    assert own == name


def test_a_colon_in_a_path_that_exists_is_no_tag(tmp_path: Path) -> None:
    (tmp_path / "a:b").mkdir()
    assert parse_source(f"oci-layout:{tmp_path}/a:b", str(tmp_path))[1] == "a:b"


def test_platforms_are_said_as_docker_does() -> None:
    assert parse_platform("linux/arm64") == Platform("arm64")
    assert parse_platform("").os == "linux"
    with pytest.raises(CliError, match="no platform"):
        parse_platform("arm64")
