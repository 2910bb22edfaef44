"""`lambdad layer publish`, `resolve` and `ls`: builds in many places, and which ARN they have where."""

from __future__ import annotations

import base64
import os
import random
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from lambdad.cli.packing import print_rich_table, reporting
from lambdad.pack.aws import BotoLayerService
from lambdad.pack.build import manifest_path
from lambdad.pack.errors import PackError
from lambdad.pack.manifest import Manifest, file_digest, parse_manifest
from lambdad.pack.publish import PARALLEL, Journal, LayerService, Package, Publisher, State
from lambdad.pack.releases import (
    Placed,
    Release,
    Releases,
    dump_releases,
    parse_releases,
    resolve_arn,
    with_place,
    with_release,
)

PARTIAL = 3
"""Exit status when some places were not reached."""

ReleasesOption = Annotated[Path, typer.Option("--releases", help="the file that knows what is published where")]
DEFAULT_RELEASES = Path("layers.lock.json")


def publish(
    layer: Annotated[Path, typer.Argument(help="the layer zip, its manifest beside it")],
    region: Annotated[list[str] | None, typer.Option(help="region, or PROFILE/REGION for another account")] = None,
    only: Annotated[list[str] | None, typer.Option(help="of the places known so far, only these")] = None,
    public: Annotated[bool, typer.Option("--public", help="let everybody use it")] = False,
    account: Annotated[list[str] | None, typer.Option(help="account number that may use it; may be repeated")] = None,
    endpoint: Annotated[str, typer.Option(help="a lambdad, such as http://127.0.0.1:9000; default: AWS")] = "",
    bucket: Annotated[str, typer.Option(help="for zips over 50 MB; {region} in it is replaced")] = "",
    parallel: Annotated[int, typer.Option(help="places at the same time", min=1, max=32)] = PARALLEL,
    releases: ReleasesOption = DEFAULT_RELEASES,
) -> None:
    """Publish one build to many regions and accounts. Run it again to resume; add --region to backfill a new one.

    The exit status is 3 if some places were not reached: the others are finished all the same.
    """
    console = Console(stderr=True)
    with reporting(console):
        source = manifest_path(layer)
        if not layer.exists() or not source.exists():
            raise PackError(f"{layer} and {source} are needed: both are written by `lambdad layer build`")
        manifest = parse_manifest(source.read_text())
        package = _package(layer, manifest, ("*",) if public else tuple(account or ()))
        table, release = with_release(_read_releases(releases), manifest.name, _release(package, manifest))
        places = _places(release, region or [], only or [])
        services: dict[str, LayerService] = {place: _service(place, endpoint, bucket) for place in places}
        book = _Book(releases, table, manifest.name, release.number, console)
        book.save()
        publisher = Publisher(
            package=package,
            services=services,
            journal=Journal(releases.with_suffix(".journal")),
            clock=_utc_now,
            sleep=time.sleep,
            jitter=random.random,
            changed=book.record,
            parallel=parallel,
        )
        done = publisher.run(release.places)
        for place, placed in done.items():
            book.record(place, placed)
        _print_places(f"{manifest.name}@{release.number}", done)
        if any(placed.state != State.VERIFIED for placed in done.values()):
            raise typer.Exit(PARTIAL)


def resolve(
    reference: Annotated[str, typer.Argument(help="NAME or NAME@RELEASE")],
    region: Annotated[str, typer.Option(help="region, or PROFILE/REGION")],
    arch: Annotated[str, typer.Option(help="x86_64 or arm64, where a layer has both")] = "",
    releases: ReleasesOption = DEFAULT_RELEASES,
) -> None:
    """Print the ARN that a release of a layer has in a region."""
    with reporting(Console(stderr=True)):
        typer.echo(resolve_arn(_read_releases(releases), reference, region, arch or None))


def ls(releases: ReleasesOption = DEFAULT_RELEASES) -> None:
    """Show every release: what is in it, and its version number in each place."""
    with reporting(Console(stderr=True)):
        table = _read_releases(releases)
        places = sorted({place for entries in table.values() for entry in entries for place in entry.places})
        shown = Table("layer", "arch", "unzipped", "glibc", "packages", *places)
        for name, entries in sorted(table.items()):
            for entry in entries:
                versions = ", ".join(f"{key.partition(':')[2]} {value}" for key, value in entry.versions.items())
                cells = [_cell(entry.places.get(place)) for place in places]
                shown.add_row(
                    f"{name}@{entry.number}", entry.arch, f"{entry.unzipped:,}", entry.glibc, versions, *cells
                )
        print_rich_table(shown)


def _cell(placed: Placed | None) -> str:
    if placed is None:
        return "-"
    return str(placed.version) if placed.state == State.VERIFIED else f"{placed.version or ''} ({placed.state})"


class _Book:
    """Keeps `layers.lock.json` up to date while places progress; called one change at a time."""

    def __init__(self, path: Path, table: Releases, name: str, number: int, console: Console) -> None:
        self._path = path
        self._table = table
        self._name = name
        self._number = number
        self._console = console

    def record(self, place: str, placed: Placed) -> None:
        self._table = with_place(self._table, self._name, self._number, place, placed)
        self.save()
        version = f" version {placed.version}" if placed.version else ""
        text = f"{place}: {placed.state}{version}" + (f": {placed.error}" if placed.error else "")
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def save(self) -> None:
        partial = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        partial.write_text(dump_releases(self._table))
        partial.replace(self._path)


def _read_releases(path: Path) -> dict[str, tuple[Release, ...]]:
    return parse_releases(path.read_text()) if path.exists() else {}


def _package(layer: Path, manifest: Manifest, principals: tuple[str, ...]) -> Package:
    return Package(
        name=manifest.name,
        zip_path=layer,
        size=layer.stat().st_size,
        code_sha256=base64.b64encode(bytes.fromhex(file_digest(layer))).decode(),
        content_digest=manifest.content_digest,
        description=manifest.description,
        licence=manifest.licence,
        runtimes=manifest.runtimes,
        arch=manifest.arch,
        principals=principals,
    )


def _release(package: Package, manifest: Manifest) -> Release:
    return Release(
        number=0,
        arch=manifest.arch,
        content_digest=manifest.content_digest,
        code_sha256=package.code_sha256,
        size=package.size,
        unzipped=manifest.size,
        base=manifest.base_name,
        glibc=manifest.glibc,
        versions={one.name: one.version for one in manifest.packages if len(one.wanted_by) == 1},
    )


def _places(release: Release, regions: list[str], only: list[str]) -> list[str]:
    places = sorted({*release.places, *regions})
    if only:
        unknown = [place for place in only if place not in places]
        if unknown:
            raise PackError(f"--only {unknown[0]}: not among the known places; name it with --region")
        places = only
    if not places:
        raise PackError("no place to publish to: name one with --region")
    return places


def _service(place: str, endpoint: str, bucket: str) -> LayerService:
    profile, _, region = place.rpartition("/")
    return BotoLayerService(region, profile=profile, endpoint=endpoint, bucket=bucket)


def _print_places(title: str, done: Mapping[str, Placed]) -> None:
    table = Table(title, "state", "version", "ARN", "left to do")
    for place, placed in sorted(done.items()):
        table.add_row(place, placed.state, str(placed.version or ""), placed.arn, placed.error)
    print_rich_table(table)


def _utc_now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
