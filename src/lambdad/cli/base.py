"""`lambdad base`: root file systems that look like Lambda's."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from lambdad.cli.packing import reporting
from lambdad.pack.base import INCLUDE, list_files, open_base, parse_listing
from lambdad.pack.cache import default_cache, tree_size
from lambdad.pack.foreign import make_base
from lambdad.pack.oci import write_oci
from lambdad.pack.recipe import DEFAULT_BASE
from lambdad.pack.target import arch_named

app = typer.Typer(no_args_is_help=True, help="Make and compare root file systems that look like Lambda's.")


@app.command()
def build(
    name: Annotated[str, typer.Argument(help="debian12 (glibc 2.36) or debian13 (2.41)")] = DEFAULT_BASE,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="directory to make; default: the cache")] = None,
    arch: Annotated[str, typer.Option(help="x86_64 or arm64")] = "x86_64",
    include: Annotated[list[str] | None, typer.Option(help="Debian package to add; may be repeated")] = None,
    oci: Annotated[Path | None, typer.Option(help="also write an OCI image layout into this directory")] = None,
) -> None:
    """Build a base from Debian packages, with AWS's paths, user and library order."""
    console = Console(stderr=True)
    with reporting(console):
        target = arch_named(arch)
        directory = output or default_cache().bases / f"{name}-{target.lambda_name}"
        if output is None and directory.exists():
            base = open_base(directory)
        else:
            with console.status(f"building {name} for {target.lambda_name}"):
                base, lacks = make_base(directory, name, target, default_cache(), (*INCLUDE, *(include or ())))
            if lacks:
                console.print(f"note: {lacks}", soft_wrap=True)
        size = f"{tree_size(base.rootfs) / 1e6:.0f} MB"
        console.print(f"{base.directory}: {len(base.packages)} packages, {size}", soft_wrap=True)
        if oci is not None:
            digest = write_oci(base, oci)
            console.print(f"{oci}: {digest}", soft_wrap=True)


@app.command()
def diff(
    base: Annotated[Path, typer.Argument(help="a base, or any directory tree")],
    other: Annotated[Path, typer.Argument(help="another one, or a text file with one path a line")],
    full: Annotated[bool, typer.Option("--all", help="print every path instead of the first 40 of each kind")] = False,
) -> None:
    """Compare a base with another, or with a listing of paths (`find`, `tar -t`)."""
    console = Console(stderr=True)
    with reporting(console):
        ours = list_files(base)
        theirs = parse_listing(other.read_text(errors="replace")) if other.is_file() else list_files(other).keys()
        limit = None if full else 40
        for title, paths in (
            (f"only in {base}", sorted(ours.keys() - theirs)),
            (f"only in {other}", sorted(theirs - ours.keys())),
        ):
            typer.echo(f"{title}: {len(paths)}")
            for path in paths[:limit]:
                typer.echo(f"  {path}")
            if limit is not None and len(paths) > limit:
                typer.echo(f"  … {len(paths) - limit} more (--all)")
        typer.echo(f"in both: {len(ours.keys() & theirs)}")
