"""Layers that are named by release, `php-82@3`: the ARN that `lambdad layer publish` noted for where a deploy goes.

Numbers of versions differ from region to region; `layers.lock.json` beside the function, or in the working directory,
knows them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from lambdad.cli.errors import CliError
from lambdad.pack.errors import PackError
from lambdad.pack.releases import Releases, parse_releases, resolve_arn

FILE = "layers.lock.json"
_RELEASE = re.compile(r"[a-zA-Z0-9_-]{1,140}@\d+")


def is_release(layer: str) -> bool:
    """Whether this names a release: `NAME@NUMBER`."""
    return _RELEASE.fullmatch(layer) is not None


def resolve_releases(
    layers: Sequence[str],
    directory: Path | None,
    region: str,
    architecture: str,
    environment: Mapping[str, str] = os.environ,
) -> list[str]:
    """`layers` with an ARN in place of each release. directory: of the function. Raises CliError."""
    if not any(is_release(layer) for layer in layers):
        return list(layers)
    places = [place / FILE for place in (directory, Path.cwd()) if place is not None]
    path = next((place for place in places if place.exists()), None)
    if path is None:
        shown = " or ".join(str(place) for place in places)
        raise CliError(f"a layer is named by its release, and there is no {shown}: `lambdad layer publish` writes it")
    try:
        releases = parse_releases(path.read_text())
        return [_arn(releases, layer, region, architecture, environment) for layer in layers]
    except PackError as error:
        raise CliError(f"{path}: {error}") from None


def _arn(releases: Releases, layer: str, region: str, architecture: str, environment: Mapping[str, str]) -> str:
    if not is_release(layer):
        return layer
    profile = environment.get("AWS_PROFILE", "")
    name, _, number = layer.partition("@")
    known = {place for release in releases.get(name, ()) for place in release.places if str(release.number) == number}
    place = f"{profile}/{region}" if profile and f"{profile}/{region}" in known else region
    return resolve_arn(releases, layer, place, architecture)
