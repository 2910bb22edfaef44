"""`lambdad image pull`: a source by its name, built and cut into the local store, with progress on a terminal."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from lambdad.chunks.manifest import FileSystem
from lambdad.chunks.origin import OriginStore
from lambdad.chunks.roots import active_root
from lambdad.chunks.upload import Uploaded, UploadPlan, iterate_in_thread, publish_manifest, upload_image
from lambdad.cli.errors import CliError
from lambdad.cli.image_store import SALT, ImageRecord, ImageStore
from lambdad.image.build import BuildOptions, BuiltImage, Format, Phase, Progress
from lambdad.image.credentials import Keychain
from lambdad.image.oci import Platform
from lambdad.image.pieces import ImagePieces, format_for
from lambdad.image.reference import parse_reference
from lambdad.image.registry import RegistryOptions, RegistrySource
from lambdad.image.sources import ArchiveSource, DirectorySource, ImageSource, OciLayoutSource

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_NAME_MAX = 255


def parse_source(text: str, spool: str) -> tuple[ImageSource, str]:
    """Where an image comes from, and the name that it gets if nobody says another. Raises `InvalidImage`.

    `oci-layout:DIR[:TAG]`, `oci-archive:FILE[:TAG]`, `docker-archive:FILE[:TAG]`, `dir:DIR`, else a registry's image.
    """
    kind, colon, rest = text.partition(":")
    if colon and kind in ("oci-layout", "oci-archive", "docker-archive", "dir"):
        path, tag = (rest, None) if kind == "dir" else _split_tag(rest)
        name = Path(path).resolve().name.removesuffix(".tar") + (f":{tag}" if tag else "")
        match kind:
            case "dir":
                return DirectorySource(path), name
            case "oci-layout":
                return OciLayoutSource(path, tag), name
            case _:
                return ArchiveSource(path, tag), name
    options = RegistryOptions(keychain=Keychain(), spool=spool)
    return RegistrySource(parse_reference(text), options), text


def _split_tag(text: str) -> tuple[str, str | None]:
    head, colon, tail = text.rpartition(":")
    if colon and "/" not in tail and not Path(text).exists():
        return head, tail
    return text, None


def parse_platform(text: str) -> Platform:
    """`linux/amd64`; empty: this machine's."""
    if not text:
        machine = os.uname().machine
        return Platform(_ARCHITECTURES.get(machine, machine))
    system, slash, architecture = text.partition("/")
    if not slash or not architecture:
        raise CliError(f"{text!r} is no platform: say it like linux/amd64")
    return Platform(architecture, system)


async def pull_image(
    store: ImageStore, source_text: str, name: str, platform: Platform, image_format: Format | None
) -> tuple[str, ImageRecord, Uploaded]:
    """Build the image into the store and name it: its name, record, and what was sent.

    name: empty for the source's own. Raises `ImageError`, `ChunkError`.
    """
    source, own_name = parse_source(source_text, str(store.spool))
    name = name or own_name
    if not name or len(name) > _NAME_MAX or not name.isprintable():
        raise CliError("an image's name has 1 to 255 printable characters: give one with --name")
    chosen: Format = image_format or format_for(os.uname().release)
    plan = UploadPlan(
        salt=SALT,
        key=store.ring.get_or_create(name),
        key_name=name,
        context=name,
        file_system=FileSystem[chosen.upper()],
    )
    root = await active_root(store.origin.objects, time.time())
    with progress_bars(name) as advance:
        options = BuildOptions(format=chosen, spool=str(store.spool), progress=advance)
        pieces = ImagePieces(source, platform, options)
        uploaded = await upload_image(iterate_in_thread(pieces), OriginStore(store.origin, root.id), plan)
    await publish_manifest(store.origin, root.id, uploaded)
    record = _describe(source_text, platform, pieces.built, uploaded, time.time())
    store.add(name, record)
    return name, record, uploaded


def _describe(source: str, platform: Platform, built: BuiltImage, uploaded: Uploaded, now: float) -> ImageRecord:
    return ImageRecord(
        manifest=uploaded.digest,
        source=source,
        platform=str(platform),
        format=built.format,
        size=built.size,
        content=built.content,
        files=built.files,
        pulled=now,
        digest=str(built.digest or ""),
        layers=tuple(map(str, built.diff_ids)),
        layer_bounds=built.layer_bounds,
        entry_point=built.config.entry_point,
        command=built.config.command,
        working_directory=built.config.working_dir,
        user=built.config.user,
        environment=dict(built.config.env),
    )


@contextlib.contextmanager
def progress_bars(name: str) -> Iterator[Callable[[Progress], None]]:
    """What to call with the progress of a build: two bars on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda progress: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[seen]}"), TimeElapsedColumn())
    with Bars(*columns, console=Console(stderr=True)) as bars:
        reading = bars.add_task(f"{name}: layers", total=None, seen="")
        writing = bars.add_task(f"{name}: chunks", total=None, seen="", start=False)

        def advance(progress: Progress) -> None:
            match progress.phase:
                case Phase.FLATTEN:
                    bars.update(
                        reading, completed=progress.done, total=progress.total, seen=f"{progress.entries:,} files"
                    )
                case Phase.WRITE:
                    bars.update(reading, completed=1, total=1)
                    bars.start_task(writing)
                    seen = f"{progress.done / 1e6:,.0f} of {progress.total / 1e6:,.0f} MB"
                    bars.update(writing, completed=progress.done, total=progress.total, seen=seen)

        yield advance
