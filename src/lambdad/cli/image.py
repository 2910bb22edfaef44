"""`lambdad image`: container images as deduplicated, encrypted chunks in a store of one's own. Needs no server."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
import uvloop

from lambdad.block.interface import BlockError
from lambdad.block.nbd import Access
from lambdad.chunks.gc import describe
from lambdad.chunks.interface import ChunkError
from lambdad.chunks.keys import KeyUnavailable
from lambdad.chunks.manifest import ManifestInvalid
from lambdad.chunks.objects import ObjectMissing
from lambdad.cli.errors import CliError
from lambdad.cli.image_check import plan_local_collection, stored_bytes, verify_chunks
from lambdad.cli.image_disk import AtPort, AtSocket, AtVhostUser, Disk, read_certificates, serve_until_interrupted
from lambdad.cli.image_heat import describe_heat, draw_heat
from lambdad.cli.image_node_gc import collect_running, collect_stopped
from lambdad.cli.image_parts import Piece, parts_by_directory, parts_by_layer
from lambdad.cli.image_plot import draw_shares
from lambdad.cli.image_pull import parse_platform, pull_image
from lambdad.cli.image_serving import mount_until_interrupted
from lambdad.cli.image_start import load_heat
from lambdad.cli.image_store import ImageStore
from lambdad.cli.image_usage import Chunks, amount, chunks_of, compare, together, usage, usage_of_parts
from lambdad.cli.output import note, print_json, print_line, print_table, progress, size
from lambdad.image.errors import ImageError
from lambdad.node.config import default_data_dir

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Pull, inspect, mount and serve container images.")

StoreOption = Annotated[
    Path | None, typer.Option("--store", metavar="DIR", help="Where images are kept. Default: the data directory's.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of an image, as `ls` shows it.")]


@contextlib.contextmanager
def opened(directory: Path | None) -> Iterator[ImageStore]:
    """The store for one command; what goes wrong inside is one line for the person."""
    try:
        yield ImageStore(directory or default_data_dir() / "images-cli")
    except (ImageError, ChunkError, ManifestInvalid, KeyUnavailable, ObjectMissing, BlockError) as error:
        raise CliError(str(error)) from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise CliError(f"{reason}: {error.filename}" if error.filename else reason) from error


@app.command()
def pull(
    source: Annotated[
        str,
        typer.Argument(
            help="An image of a registry, or oci-layout:DIR, oci-archive:FILE, docker-archive:FILE (each with :TAG), "
            "dir:DIR."
        ),
    ],
    name: Annotated[str, typer.Option("--name", help="What to call it. Default: as the source.")] = "",
    platform: Annotated[str, typer.Option(help="Such as linux/arm64. Default: this machine's.")] = "",
    file_system: Annotated[
        Literal["erofs", "ext4"] | None, typer.Option("--format", help="Default: what this kernel mounts best.")
    ] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add an image to the store: flattened, cut into chunks, each chunk kept once."""
    with opened(store) as images, images.reading():
        called, record, uploaded = asyncio.run(pull_image(images, source, name, parse_platform(platform), file_system))
    counts = uploaded.counts
    if as_json:
        print_json({"name": called, **asdict(record), "counts": asdict(counts)})
        return
    print_line(
        f"{called}: {size(record.size)} of {record.format}, {record.files:,} files, {counts.chunks:,} chunks, "
        f"{counts.sent_chunks:,} of them new ({size(counts.sent)})"
    )


@app.command()
def ls(store: StoreOption = None, as_json: JsonOption = False) -> None:
    """List the images of the store, and what each shares with the others."""
    with opened(store) as images, images.reading():
        records = images.records()
        found = usage(asyncio.run(_chunks(images, list(records))))
    if as_json:
        print_json([{"name": name, **asdict(record), **asdict(found[name])} for name, record in records.items()])
        return
    if not records:
        note(f"no images in {images.directory}: `lambdad image pull` adds one")
        return
    rows = [
        (
            name,
            size(record.size),
            record.format,
            f"{found[name].total.chunks:,}",
            size(found[name].unique.size),
            size(found[name].shared.size),
            time.strftime("%Y-%m-%d %H:%M", time.localtime(record.pulled)),
        )
        for name, record in records.items()
    ]
    print_table(("Image", "Size", "Format", "Chunks", "Unique", "Shared", "Pulled"), rows)


@app.command()
def inspect(name: NameArgument, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Show what an image says of itself, its layers, its size and its chunks."""
    with opened(store) as images, images.reading():
        record = images.record(name)
        manifest = asyncio.run(images.manifest(name))
    total = amount(chunks_of(manifest))
    facts: dict[str, Any] = {
        "name": name,
        **asdict(record),
        "chunk_size": manifest.shape.chunk_size,
        "positions": manifest.shape.positions,
        "zero_positions": manifest.shape.positions - manifest.index.count,
        "chunks": total.chunks,
        "stored": total.size,
    }
    if as_json:
        print_json(facts)
        return
    rows = []
    for key, value in facts.items():
        rows += [(key.replace("_", " "), text) for text in _texts(key, value)]
    print_table(("", ""), rows)


@app.command()
def diff(
    first: Annotated[str, typer.Argument(metavar="A", help="Name of an image.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Name of another.")],
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say how many chunks and bytes two images share, and what each has alone."""
    with opened(store) as images, images.reading():
        chunks = asyncio.run(_chunks(images, [first, second]))
    found = compare(chunks[first], chunks[second])
    if as_json:
        print_json({"first": first, "second": second, **asdict(found)})
        return
    rows = [
        (label, f"{part.chunks:,}", size(part.size))
        for label, part in (
            ("in both", found.both),
            (f"only in {first}", found.only_first),
            (f"only in {second}", found.only_second),
        )
    ]
    print_table(("", "Chunks", "Bytes"), rows)


@app.command()
def verify(name: NameArgument, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Read every chunk of an image and check it. Status 1 if one is damaged or missing."""
    with opened(store) as images, images.reading(), progress(f"verifying {name}"):
        checked, broken = asyncio.run(verify_chunks(images, name))
    if as_json:
        print_json({"name": name, "checked": asdict(checked), "broken": broken})
    else:
        for text in broken:
            print_line(text)
        print_line(f"{name}: {checked.chunks:,} chunks, {size(checked.size)} checked, {len(broken)} broken")
    if broken:
        raise typer.Exit(1)


@app.command()
def dedup(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Default: all images.")] = None,
    by: Annotated[
        Literal["image", "layer", "directory"], typer.Option(help="A line for each image, or for each part of it.")
    ] = "image",
    depth: Annotated[int, typer.Option(min=1, help="Of directories.")] = 2,
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw it as well, as an SVG.")] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what images cost together: unique and shared bytes of each, of their layers or of their directories."""
    with opened(store) as images, images.reading():
        chosen = names or list(images.records())
        chunks = asyncio.run(_chunks(images, chosen))
        found = usage(chunks)
        parts = usage_of_parts(chunks, asyncio.run(_parts(images, chosen, by, depth)))
        shown = {f"{name} {label}": part for name, named in parts.items() for label, part in named.items()} or found
        if plot is not None:
            plot.write_text(draw_shares(shown))
    once, apart = together(chunks), sum(part.total.size for part in found.values())
    if as_json:
        images_found = {name: asdict(part) for name, part in found.items()}
        parts_found = {name: {label: asdict(part) for label, part in named.items()} for name, named in parts.items()}
        print_json({"images": images_found, "parts": parts_found, "together": asdict(once), "apart": apart})
        return
    rows = [
        (
            name,
            *(text for one in (part.total, part.unique, part.shared) for text in (f"{one.chunks:,}", size(one.size))),
        )
        for name, part in shown.items()
    ]
    print_table(("Image", "Chunks", "Bytes", "Unique", "Bytes", "Shared", "Bytes"), rows)
    saved = 100 * (1 - once.size / apart) if apart else 0.0
    print_line(f"together {size(once.size)} in {once.chunks:,} chunks; apart {size(apart)}: {saved:.1f} % saved")


@app.command()
def mount(
    name: NameArgument,
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="An empty directory.")],
    store: StoreOption = None,
) -> None:
    """Browse an image as a directory until Ctrl-C. Needs root."""
    with opened(store) as images, images.reading():
        asyncio.run(
            mount_until_interrupted(
                images, name, directory.absolute(), lambda: note(f"{name} is at {directory}; Ctrl-C ends it")
            )
        )


@app.command()
def serve(
    name: NameArgument,
    nbd: Annotated[bool, typer.Option("--nbd", help="As a network block device.")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 10809,
    host: Annotated[str, typer.Option(help="Address of the port; one that others reach needs --tls.")] = "127.0.0.1",
    socket: Annotated[Path | None, typer.Option(metavar="PATH", help="A Unix socket instead of a port.")] = None,
    vhost_user: Annotated[
        Path | None,
        typer.Option("--vhost-user", metavar="SOCKET", help="As a vhost-user-blk device for a virtual machine."),
    ] = None,
    copy_on_write: Annotated[
        bool, typer.Option("--copy-on-write", help="Let clients write: each for itself, forgotten when it leaves.")
    ] = False,
    tls: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="NBD over TLS alone: server-cert.pem, server-key.pem; with ca-cert.pem clients need certificates.",
        ),
    ] = None,
    store: StoreOption = None,
) -> None:
    """Serve an image as a disk until Ctrl-C; prints the URI for `nbdinfo`, `nbdcopy`, `nbd-client` or QEMU."""
    if nbd == (vhost_user is not None):
        raise CliError("say how to serve it: --nbd, or --vhost-user SOCKET")
    if vhost_user is not None and (socket is not None or tls is not None):
        raise CliError("--socket and --tls are for --nbd")
    place: AtPort | AtSocket | AtVhostUser = AtPort(host, port)
    if vhost_user is not None:
        place = AtVhostUser(vhost_user.absolute())
    elif socket is not None:
        place = AtSocket(socket.absolute())
    access = Access.COPY_ON_WRITE if copy_on_write else Access.READ_ONLY
    disk = Disk(place, access, None if tls is None else read_certificates(tls))
    with opened(store) as images, images.reading():
        # uvloop hands the pieces of an answer to the kernel as they are; asyncio joins and copies them first.
        uvloop.run(serve_until_interrupted(images, name, disk, print_line))


@app.command()
def heat(
    name: NameArgument,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Default: standard output.")] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw which chunks the recorded start read, when, and which files are in them, as an SVG."""
    with opened(store) as images, images.reading():
        found = asyncio.run(load_heat(images, name))
        if output is not None:
            output.write_text(draw_heat(found))
            note(f"{output}: {len(found.trace)} chunks read")
    if as_json:
        print_json(describe_heat(found))
    elif output is None:
        print_line(draw_heat(found).rstrip())


@app.command()
def rm(name: NameArgument, store: StoreOption = None) -> None:
    """Forget an image. Its chunks stay until `gc`."""
    with opened(store) as images, images.reading():
        images.remove(name)
    note(f"{name} is forgotten; `lambdad image gc --yes` frees what only it used")


@app.command()
def gc(
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without this the plan is only printed.")] = False,
    store: StoreOption = None,
    data_dir: Annotated[
        Path | None,
        typer.Option("--data-dir", metavar="DIR", help="Of a node that does not run."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="That node's configuration, which names its store.")
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option(metavar="URL", help="A node that runs: it does now what is due by its schedule.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Free what no image of the store needs, or no function of a node: plan, print, and with --yes execute."""
    if sum((store is not None, data_dir is not None or config is not None, endpoint is not None)) > 1:
        raise CliError("--store, --data-dir with --config, and --endpoint name three stores: give one")
    if endpoint is not None:
        collect_running(endpoint, yes=yes, as_json=as_json)
        return
    if data_dir is not None or config is not None:
        collect_stopped(data_dir, config, yes=yes, as_json=as_json)
        return
    with opened(store) as images, images.collecting():
        collection = asyncio.run(plan_local_collection(images, time.time()))
        lines = [describe(step) for step in collection.steps]
        if not as_json:
            for line in lines:
                print_line(line)
        before = stored_bytes(images)
        if yes:
            asyncio.run(collection.execute())
        after = stored_bytes(images)
    if as_json:
        print_json({"steps": lines, "executed": yes, "before": before, "after": after})
    elif not lines:
        note(f"nothing to free: every chunk of {size(before)} is in use")
    elif yes:
        print_line(f"{size(before)} before, {size(after)} after")
    else:
        note("nothing was done: --yes executes the plan")


async def _parts(
    images: ImageStore, names: Sequence[str], by: Literal["image", "layer", "directory"], depth: int
) -> dict[str, list[Piece]]:
    """The pieces of each image; none by image."""
    match by:
        case "image":
            return {}
        case "layer":
            return {name: await parts_by_layer(images, name) for name in names}
        case "directory":
            return {name: await parts_by_directory(images, name, depth) for name in names}


async def _chunks(images: ImageStore, names: Sequence[str]) -> dict[str, Chunks]:
    return {name: chunks_of(await images.manifest(name)) for name in names}


def _texts(key: str, value: Any) -> list[str]:
    """A fact in lines for people; none for one that is empty."""
    match value:
        case dict():
            return [f"{name}={text}" for name, text in value.items()]
        case tuple() if key in ("entry_point", "command"):
            return [" ".join(value)] if value else []
        case tuple():
            return [f"{part:,}" if isinstance(part, int) else part for part in value]
        case int() if key in ("size", "content", "stored", "chunk_size"):
            return [f"{size(value)} ({value:,})"]
        case int():
            return [f"{value:,}"]
        case float():
            return [time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(value))]
        case _:
            return [str(value)] if value else []
