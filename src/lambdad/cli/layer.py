"""`lambdad layer`: build, check, explain and publish layers. Prints; decides nothing that `lambdad.pack` can decide."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from lambdad.cli.packing import print_rich_table, reporting, status_line
from lambdad.cli.publishing import ls, publish, resolve
from lambdad.pack.archive import extract_zip, write_zip
from lambdad.pack.base import Base
from lambdad.pack.build import Builder, environment_of, find_base, manifest_path, wanted_names, write_layer
from lambdad.pack.cache import Cache, default_cache
from lambdad.pack.check import (
    Finding,
    Severity,
    check_linkage,
    check_merge,
    check_paths,
    check_shadowing,
    check_size,
)
from lambdad.pack.errors import PackError
from lambdad.pack.explain import compare, explain, find_entries, split_shared
from lambdad.pack.leaks import find_leaks
from lambdad.pack.manifest import (
    FileEntry,
    Manifest,
    content_digest,
    dump_manifest,
    file_digest,
    parse_manifest,
    scan_tree,
)
from lambdad.pack.process import can_execute
from lambdad.pack.recipe import Recipe, parse_recipe, parse_size
from lambdad.pack.resolver import Resolver
from lambdad.pack.sandboxed import choose_runner
from lambdad.pack.smoke import SmokeRunner
from lambdad.pack.target import LIBRARY_PATH, arch_named

app = typer.Typer(no_args_is_help=True, help="Build layers from packages and files; check, explain and publish them.")

RecipePath = Annotated[Path, typer.Argument(help="the recipe, layer.toml")]
ArchOption = Annotated[str, typer.Option(help="x86_64 or arm64")]
BaseOption = Annotated[str, typer.Option(help="base to work against: a name or a directory; default: the recipe's")]


@dataclass(frozen=True, slots=True)
class _Opened:
    """A layer zip, unpacked for as long as a command runs."""

    name: str
    path: Path
    tree: Path
    files: tuple[FileEntry, ...]
    manifest: Manifest | None


@contextmanager
def _opened(cache: Cache, *paths: Path) -> Iterator[list[_Opened]]:
    with cache.scratch() as scratch:
        found = []
        for number, path in enumerate(paths):
            tree = scratch / str(number)
            tree.mkdir()
            extract_zip(path, tree)
            facts: dict[str, tuple[str, str]] = {}
            manifest = None
            if manifest_path(path).exists():
                manifest = parse_manifest(manifest_path(path).read_text())
                facts = {entry.path: (entry.package, entry.origin) for entry in manifest.files}
            files = scan_tree(tree, facts)
            if manifest is not None and content_digest(files) != manifest.content_digest:
                raise PackError(f"{path} is not what {manifest_path(path).name} describes: build the layer again")
            found.append(_Opened(path.stem, path, tree, files, manifest))
        yield found


def _read_manifest(path: Path) -> Manifest:
    source = manifest_path(path) if path.suffix == ".zip" else path
    if not source.exists():
        raise PackError(f"{source} does not exist: it is written beside the zip by `lambdad layer build`")
    return parse_manifest(source.read_text())


def _builder(recipe_path: Path, arch: str, base: str, cache: Cache, console: Console) -> Iterator[Builder]:
    recipe = parse_recipe(recipe_path.read_text())
    with status_line(console, ("resolve", *(stage.name for stage in recipe.stages))) as progress:
        directory = recipe_path.resolve().parent
        found = find_base(base or recipe.base, directory, arch_named(arch), cache, progress)
        yield Builder(recipe, directory, found, cache, _runner(console), progress)


_building = contextmanager(_builder)


def _runner(console: Console) -> SmokeRunner:
    runner, lacks = choose_runner()
    if lacks:
        console.print(f"note: {lacks}", highlight=False, soft_wrap=True)
    return runner


@app.command()
def plan(recipe: RecipePath, arch: ArchOption = "x86_64", base: BaseOption = "") -> None:
    """Say which packages a build would take, their sizes, and why each; writes nothing but the cache."""
    console = Console(stderr=True)
    with reporting(console), _building(recipe, arch, base, default_cache(), console) as builder:
        lock = builder.resolve()
        roots = wanted_names(builder.recipe.everything)
        table = Table("package", "version", "download", "because of")
        for pin in sorted(lock.pins, key=lambda pin: -pin.size):
            chain = lock.chain(pin.source, roots[pin.source], pin.name)
            table.add_row(f"{pin.source}:{pin.name}", pin.version, f"{pin.size:,}", " → ".join(chain[:-1]))
        print_rich_table(table)
        total = sum(pin.size for pin in lock.pins)
        typer.echo(f"{len(lock.pins)} packages, {total:,} bytes to download, on {builder.base.name}")
        for text in builder.replaced:
            typer.echo(f"warning: would replace the base's {text}: build the base again")


@app.command()
def build(
    recipe: RecipePath,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="the zip; default NAME.zip")] = None,
    arch: ArchOption = "x86_64",
    base: BaseOption = "",
    update: Annotated[bool, typer.Option("--update", help="resolve again instead of using the lock")] = False,
    locked: Annotated[bool, typer.Option("--locked", help="fail if the lock is not for this recipe")] = False,
) -> None:
    """Build the layer stage by stage, testing each; write the zip, its manifest and the lock."""
    console = Console(stderr=True)
    cache = default_cache()
    started = time.monotonic()
    with reporting(console):
        with _building(recipe, arch, base, cache, console) as builder:
            suffix = "" if builder.arch.lambda_name == "x86_64" else f".{builder.arch.lambda_name}"
            lock_path = recipe.with_name(f"{recipe.stem}{suffix}.lock")
            lock = None if update else builder.usable_lock(lock_path)
            if lock is None and locked:
                raise PackError(f"{lock_path} is missing or not for this recipe, base and architecture")
            built = builder.build(lock or builder.resolve())
            target = output or Path(f"{builder.recipe.name}{suffix}.zip")
            write_layer(built, target, lock_path)
            findings = _own_findings(builder.recipe, built.manifest, built.tree, builder.base, target)
        cache.trim()
        _print_summary(built.manifest, target, time.monotonic() - started, built.reused)
        for note in built.manifest.notes:
            typer.echo(f"  {note}")
        _print_findings(findings)
        if any(finding.severity is Severity.ERROR for finding in findings):
            raise typer.Exit(1)


def _print_summary(manifest: Manifest, target: Path, seconds: float, reused: tuple[str, ...]) -> None:
    files = sum(entry.kind == "file" for entry in manifest.files)
    links = sum(entry.kind == "link" for entry in manifest.files)
    typer.echo(
        f"{target}: {target.stat().st_size:,} bytes, {manifest.size:,} unzipped, {files} files, {links} links, "
        f"{len(manifest.packages)} packages, glibc >= {manifest.glibc}, {seconds:.1f} s"
        + (f", from the cache: {', '.join(reused)}" if reused else "")
    )
    typer.echo(f"  sha256 {file_digest(target)}  content {manifest.content_digest}")


def _own_findings(recipe: Recipe, manifest: Manifest, tree: Path, base: Base, target: Path) -> list[Finding]:
    sizes = check_size({manifest.name: manifest.size}, manifest.name, target.stat().st_size, recipe.budget)
    return [*_tree_findings(base, (tree,), manifest.files), *sizes]


def _tree_findings(base: Base, trees: tuple[Path, ...], files: tuple[FileEntry, ...]) -> list[Finding]:
    root = base.root(*trees)
    resolver = Resolver(root, base.arch, library_path=LIBRARY_PATH)
    nodes = list(root.walk("/opt"))
    directory = f"/usr/lib/{base.arch.multiarch}"
    system = {name: f"{directory}/{name}" for name in root.list_directory(directory) if ".so" in name}
    return [
        *check_linkage(resolver, nodes).findings,
        *check_shadowing(resolver, nodes, system),
        *check_paths(resolver, files),
    ]


def _print_findings(findings: list[Finding]) -> None:
    for finding in findings:
        where = f"/opt/{finding.path}: " if finding.path else ""
        typer.echo(f"{finding.severity}: {where}{finding.text} [{finding.rule}]")


@app.command()
def check(
    layers: Annotated[list[Path], typer.Argument(help="layer zips in the order of the function's list")],
    function: Annotated[Path | None, typer.Option(help="the function's zip, for the 250 MB sum")] = None,
    base: BaseOption = "",
    arch: ArchOption = "x86_64",
    budget: Annotated[str, typer.Option(help="limit for the first layer, such as '110 MB'")] = "",
) -> None:
    """Find what would fail: missing libraries, too new a glibc, links, modes, sizes, conflicts between layers."""
    console = Console(stderr=True)
    cache = default_cache()
    with reporting(console), _opened(cache, *layers) as opened:
        found = _base_for(opened[0], base, arch, cache, console)
        parts = {one.name: sum(entry.size for entry in one.files) for one in opened}
        if function is not None:
            with _opened(cache, function) as codes:
                parts["function"] = sum(entry.size for entry in codes[0].files)
        merged = tuple({entry.path: entry for one in opened for entry in one.files}.values())
        findings = [
            *_tree_findings(found, tuple(one.tree for one in opened), merged),
            *check_size(parts, opened[0].name, layers[0].stat().st_size, parse_size(budget) if budget else None),
            *check_merge([(one.name, one.files) for one in opened]),
        ]
        _print_findings(findings)
        errors = sum(finding.severity is Severity.ERROR for finding in findings)
        warnings = sum(finding.severity is Severity.WARNING for finding in findings)
        typer.echo(f"{errors} errors, {warnings} warnings")
        if errors:
            raise typer.Exit(1)


def _base_for(opened: _Opened, base: str, arch: str, cache: Cache, console: Console) -> Base:
    manifest = opened.manifest
    name = base or (manifest.base_name if manifest else "debian12")
    target = arch_named(manifest.arch if manifest else arch)
    with status_line(console) as progress:
        found = find_base(name, Path.cwd(), target, cache, progress)
    if manifest is not None and manifest.base != found.digest:
        typer.echo(f"note: {opened.name} was built on another build of {manifest.base_name}")
    return found


@app.command()
def verify(
    layer: Annotated[Path, typer.Argument(help="the layer zip, its manifest beside it")],
    test: Annotated[list[str] | None, typer.Option(help="command to run instead of the recipe's tests")] = None,
    base: BaseOption = "",
) -> None:
    """Run the layer's tests again from the zip, in a clean sandbox, and name every access to an old path."""
    console = Console(stderr=True)
    cache = default_cache()
    with reporting(console), _opened(cache, layer) as opened:
        one = opened[0]
        manifest = one.manifest or _read_manifest(layer)
        tests = [("test", command) for command in test] if test else list(manifest.tests)
        if not tests:
            raise PackError("the recipe has no tests: give one with --test")
        found = _base_for(one, base, manifest.arch, cache, console)
        if not can_execute(found.arch):
            raise PackError(f"this machine cannot execute {manifest.arch} programs: `check` looks without running them")
        runner = _runner(console)
        failed = False
        for name, command in tests:
            result = runner.run(found.rootfs, (one.tree,), command, environment_of(manifest))
            failed |= result.status != 0
            typer.echo(f"{'ok' if result.status == 0 else 'FAILED'}: {name}: {command}")
            if result.status != 0:
                typer.echo(result.output)
                continue
            _report_leaks(runner, found, one, command, manifest)
        if failed:
            raise typer.Exit(1)


def _report_leaks(runner: SmokeRunner, base: Base, one: _Opened, command: str, manifest: Manifest) -> None:
    try:
        traced = runner.trace(base.rootfs, (one.tree,), command, environment_of(manifest))
    except PackError as error:
        typer.echo(f"  leaks not looked for: {error}")
        return
    report = find_leaks(traced.trace or "", manifest.files, base.arch)
    for leak in report.leaks[:50]:
        typer.echo(f"  leak: {leak.path} ({leak.call}, {leak.count} times, {'found' if leak.found else 'not there'})")
    typer.echo(f"  {len(report.leaks)} leaks, {report.probes} harmless probes")


@app.command()
def why(
    layer: Annotated[Path, typer.Argument(help="the layer zip")],
    wanted: Annotated[str, typer.Argument(help="a path under /opt, a path before the move, or a soname")],
    base: BaseOption = "",
) -> None:
    """Say why a file is in a layer: its package, who asked for that, and which programs load it."""
    console = Console(stderr=True)
    cache = default_cache()
    with reporting(console), _opened(cache, layer) as opened:
        manifest = opened[0].manifest or _read_manifest(layer)
        entries = find_entries(manifest, wanted)
        if not entries:
            raise PackError(f"nothing in {layer} is called {wanted}")
        found = _base_for(opened[0], base, manifest.arch, cache, console)
        resolver = Resolver(found.root(opened[0].tree), found.arch, library_path=LIBRARY_PATH)
        for entry in entries[:20]:
            reason = explain(manifest, entry, resolver)
            typer.echo(f"/opt/{entry.path} ({entry.kind}, {entry.size:,} bytes)")
            typer.echo(f"  from {reason.package} {reason.version}".rstrip())
            if entry.origin:
                typer.echo(f"  was {entry.origin}")
            if reason.chain:
                typer.echo(f"  because of {' → '.join(reason.chain)}")
            for user in reason.users[:20]:
                typer.echo(f"  loaded by /opt/{user}")
            if len(reason.users) > 20:
                typer.echo(f"  … and {len(reason.users) - 20} more")


@app.command()
def diff(
    before: Annotated[Path, typer.Argument(help="a layer zip or manifest")],
    after: Annotated[Path, typer.Argument(help="another")],
) -> None:
    """Say what changes between two builds: packages, files, size."""
    console = Console(stderr=True)
    with reporting(console):
        difference = compare(_read_manifest(before), _read_manifest(after))
        for name, old, new in difference.packages:
            typer.echo(f"package {name}: {old or 'absent'} → {new or 'absent'}")
        for sign, entries in (("+", difference.added), ("-", difference.removed)):
            for entry in entries:
                if entry.kind != "directory":
                    typer.echo(f"{sign} /opt/{entry.path} ({entry.size:,})")
        for old_entry, new_entry in difference.changed:
            typer.echo(f"~ /opt/{new_entry.path} ({old_entry.size:,} → {new_entry.size:,})")
        growth = difference.size_after - difference.size_before
        typer.echo(f"{difference.size_before:,} → {difference.size_after:,} bytes unzipped ({growth:+,})")


@app.command()
def split(
    layers: Annotated[list[Path], typer.Argument(help="two or more layer zips")],
    shared: Annotated[Path, typer.Option("--shared", help="the zip to make of what they have in common")],
    output: Annotated[Path, typer.Option("--output", "-o", help="directory for the rests, under their own names")],
) -> None:
    """Put the packages that several layers have in common into one layer of their own."""
    console = Console(stderr=True)
    with reporting(console), _opened(default_cache(), *layers) as opened:
        if len(opened) < 2:
            raise PackError("give at least two layers")
        manifests = [one.manifest or _read_manifest(one.path) for one in opened]
        if len({(manifest.arch, manifest.base) for manifest in manifests}) > 1:
            raise PackError("these layers are for different architectures or bases: they cannot share")
        result = split_shared(manifests)
        if not result.shared:
            raise PackError("these layers have no package in common")
        output.mkdir(parents=True, exist_ok=True)
        trees = {entry.path: one.tree for one in opened for entry in one.files}
        with default_cache().scratch() as scratch:
            for entry in result.shared:
                _link_into(scratch, trees[entry.path], entry)
            _write_part(manifests[0], shared.stem, scratch, result.shared, result.packages, shared)
        for one, manifest, rest in zip(opened, manifests, result.rests, strict=True):
            left = tuple(package.name for package in manifest.packages if package.name not in result.packages)
            _write_part(manifest, manifest.name, one.tree, rest, left, output / one.path.name)
        typer.echo(f"{shared}: {sum(entry.size for entry in result.shared):,} bytes of {len(result.packages)} packages")
        for one, rest in zip(opened, result.rests, strict=True):
            before, after = sum(entry.size for entry in one.files), sum(entry.size for entry in rest)
            typer.echo(f"{output / one.path.name}: {before:,} → {after:,} bytes")
        for name in result.kept:
            typer.echo(f"kept apart, because its bytes differ: {name}")


def _link_into(target: Path, source: Path, entry: FileEntry) -> None:
    path = target / entry.path
    path.parent.mkdir(parents=True, exist_ok=True)
    if entry.kind == "directory":
        path.mkdir(exist_ok=True)
    elif entry.kind == "link":
        path.symlink_to(entry.digest)
    else:
        os.link(source / entry.path, path)


def _write_part(
    whole: Manifest, name: str, tree: Path, files: tuple[FileEntry, ...], packages: tuple[str, ...], output: Path
) -> None:
    part = Manifest(
        name=name,
        arch=whole.arch,
        base=whole.base,
        base_name=whole.base_name,
        glibc=whole.glibc,
        content_digest=content_digest(files),
        files=files,
        packages=tuple(package for package in whole.packages if package.name in packages),
        description=whole.description,
        licence=whole.licence,
        runtimes=whole.runtimes,
        environment=whole.environment,
    )
    output.parent.mkdir(parents=True, exist_ok=True)
    write_zip(tree, files, output)
    manifest_path(output).write_text(dump_manifest(part))


for command in (publish, resolve, ls):
    app.command()(command)
