"""`layers.lock.json`: which version of a layer is where, under which number.

AWS counts versions per region and never reuses a number, so numbers differ between regions for ever. People name a
release of this file, `php-82@3`, and a region; the file knows the ARN. Pure: values and JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from lambdad.pack.errors import PackError

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Placed:
    """A release in one place. state: planned, published, permitted or verified; version and arn once known."""

    state: str = "planned"
    version: int = 0
    arn: str = ""
    at: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One build of one layer for one architecture. number: counts from 1 within the layer; code_sha256: of the zip,
    base64 as AWS reports it; versions: of the packages that the recipe names; places: region (or account/region).
    """

    number: int
    arch: str
    content_digest: str
    code_sha256: str
    size: int
    unzipped: int
    base: str
    glibc: str
    versions: Mapping[str, str] = field(default_factory=dict)
    places: Mapping[str, Placed] = field(default_factory=dict)


Releases = Mapping[str, tuple[Release, ...]]


def parse_releases(text: str) -> dict[str, tuple[Release, ...]]:
    """Raises PackError."""
    try:
        table = json.loads(text)
        if table["format"] != FORMAT:
            raise PackError(f"layers.lock.json: format {table['format']!r} is not {FORMAT}")
        return {
            str(name): tuple(
                Release(
                    number=int(entry["release"]),
                    arch=str(entry["arch"]),
                    content_digest=str(entry["content_digest"]),
                    code_sha256=str(entry["code_sha256"]),
                    size=int(entry["size"]),
                    unzipped=int(entry["unzipped"]),
                    base=str(entry["base"]),
                    glibc=str(entry["glibc"]),
                    versions={str(key): str(value) for key, value in entry["versions"].items()},
                    places={
                        str(place): Placed(
                            str(at["state"]),
                            int(at["version"]),
                            str(at["arn"]),
                            str(at["at"]),
                            str(at.get("error", "")),
                        )
                        for place, at in entry["published"].items()
                    },
                )
                for entry in entries
            )
            for name, entries in table["layers"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise PackError(f"layers.lock.json cannot be read: {error!r}") from None


def dump_releases(releases: Releases) -> str:
    layers = {
        name: [
            {
                "release": release.number,
                "arch": release.arch,
                "content_digest": release.content_digest,
                "code_sha256": release.code_sha256,
                "size": release.size,
                "unzipped": release.unzipped,
                "base": release.base,
                "glibc": release.glibc,
                "versions": dict(sorted(release.versions.items())),
                "published": {
                    place: {
                        "state": at.state,
                        "version": at.version,
                        "arn": at.arn,
                        "at": at.at,
                        **({"error": at.error} if at.error else {}),
                    }
                    for place, at in sorted(release.places.items())
                },
            }
            for release in entries
        ]
        for name, entries in sorted(releases.items())
    }
    return json.dumps({"format": FORMAT, "layers": layers}, indent=2) + "\n"


def with_release(releases: Releases, name: str, release: Release) -> tuple[dict[str, tuple[Release, ...]], Release]:
    """`releases` with this build in it, and the release as recorded: the same bytes keep their number."""
    entries = releases.get(name, ())
    for known in entries:
        if (known.code_sha256, known.arch) == (release.code_sha256, release.arch):
            return dict(releases), known
    number = max((known.number for known in entries), default=0) + 1
    numbered = replace(release, number=number)
    return {**releases, name: (*entries, numbered)}, numbered


def with_place(
    releases: Releases, name: str, number: int, place: str, placed: Placed
) -> dict[str, tuple[Release, ...]]:
    """`releases` with one place of one release replaced."""
    entries = tuple(
        replace(release, places={**release.places, place: placed}) if release.number == number else release
        for release in releases[name]
    )
    return {**releases, name: entries}


def resolve_arn(releases: Releases, reference: str, place: str, arch: str | None = None) -> str:
    """The ARN that `php-82@3` (or `php-82`, the newest) has in a place. Raises PackError saying what there is."""
    name, _, number = reference.partition("@")
    if name not in releases:
        known = ", ".join(sorted(releases)) or "none"
        raise PackError(f"layer {name!r} was never published from here; known layers: {known}")
    entries = [release for release in releases[name] if arch is None or release.arch == arch]
    if number:
        entries = [release for release in entries if str(release.number) == number]
        if not entries:
            having = ", ".join(str(release.number) for release in releases[name])
            raise PackError(f"layer {name!r} has no release {number}; it has: {having}")
    ready = [release for release in entries if _usable(release, place)]
    if not ready:
        places = sorted({at for release in entries for at in release.places if _usable(release, at)})
        raise PackError(
            f"{reference} is not published in {place}; it is in: {', '.join(places) or 'no place'}. "
            f"Publish it there: lambdad layer publish … --region {place}"
        )
    return max(ready, key=lambda release: release.number).places[place].arn


def _usable(release: Release, place: str) -> bool:
    placed = release.places.get(place)
    return placed is not None and placed.state in ("permitted", "verified")
