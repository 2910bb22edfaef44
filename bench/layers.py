"""The layers of `examples/layers`, built: seconds, sizes before and after pruning, twice the same bytes, ld.so judges.

Each is built from nothing with downloads that are there already, tested in the sandbox stage by stage, and built again
from its lock in an empty cache. Before: the same packages with nothing pruned.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.figures import AtLeast, AtMost, Measurement, Row
from bench.setup import Setup
from lambdad.pack.base import Base
from lambdad.pack.build import Builder, Built, find_base, write_layer
from lambdad.pack.cache import Cache
from lambdad.pack.lock import Lock
from lambdad.pack.manifest import file_digest
from lambdad.pack.recipe import Packages, Prune, Recipe, Stage, parse_recipe
from lambdad.pack.sandboxed import choose_runner
from lambdad.pack.target import X86_64
from lambdad.testing.loader_oracle import Comparison, compare_with_loader

EXAMPLES = Path(__file__).parents[1] / "examples" / "layers"
NAMES = ("git", "imagemagick", "ghostscript", "php", "ruby", "python", "tesseract")
QUICK_NAMES = ("git",)
LIMITS_MB = {"git": 35.0, "php": 110.0}
_MEBIBYTE = 1024 * 1024
_HEADINGS = (
    "layer", "packages", "install s", "relocate s", "whole build s", "files rewritten, paths", "files, links",
    "before pruning MiB", "after MiB", "zip MiB", "the test", "same bytes twice", "ELF files, names", "ld.so differs",
)  # fmt: skip


@dataclass(slots=True)
class Watch:
    """A build's progress, timed. steps: seconds by stage and the first word of what was done."""

    steps: dict[tuple[str, str], float] = field(default_factory=dict)
    _now: tuple[str, str] | None = None
    _since: float = 0.0

    def step(self, stage: str, doing: str) -> None:
        self.stop()
        self._now, self._since = (stage, doing.partition(" ")[0]), time.monotonic()

    def stop(self) -> None:
        if self._now is not None:
            self.steps[self._now] = self.steps.get(self._now, 0.0) + time.monotonic() - self._since
            self._now = None


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one layer. sizes: bytes unzipped."""

    built: Built
    install: float
    relocate: float
    whole: float
    before: int
    zip_size: int
    is_same: bool
    judged: Comparison

    @property
    def cells(self) -> tuple[str, ...]:
        manifest = self.built.manifest
        files, links = (sum(entry.kind == kind for entry in manifest.files) for kind in ("file", "link"))
        moved = next(
            (note for note in manifest.notes if " paths moved in " in note), "0 paths moved in 0 files"
        ).split()
        return (
            manifest.name, str(len(manifest.packages)), f"{self.install:.1f}", f"{self.relocate:.1f}",
            f"{self.whole:.1f}", f"{moved[4]}, {moved[0]}", f"{files}, {links}", f"{self.before / _MEBIBYTE:.1f}",
            f"{manifest.size / _MEBIBYTE:.1f}", f"{self.zip_size / _MEBIBYTE:.1f}", "passed",
            "yes" if self.is_same else "NO", f"{self.judged.files}, {self.judged.names:,}",
            str(len(self.judged.differences)),
        )  # fmt: skip


def missing_for_layers() -> str:
    """What this machine lacks for building layers; nothing if it lacks nothing."""
    if os.geteuid() != 0:
        return "only root can install packages and test in sandboxes"
    return "" if os.uname().machine == "x86_64" else "the recipes are for x86_64"


def measure_layers(setup: Setup) -> Measurement:
    """Seconds and MiB of each layer, and what ld.so says of every ELF file in them."""
    cache = Cache(setup.directory / "cache")
    base = find_base("debian12", setup.directory, X86_64, cache, Watch())
    names = NAMES if setup.effort.seconds >= 1 else QUICK_NAMES
    figures = {name: _measure(name, base, cache, setup.directory) for name in names}
    rows = [row for name, one in figures.items() for row in _rows(name, one)]
    judged = [one.judged for one in figures.values()]
    differences = [text for one in judged for text in one.differences]
    rows += [
        Row("layers with the same bytes in two builds", sum(one.is_same for one in figures.values()), "",
            AtLeast(len(names))),
        Row("ELF files judged by ld.so", sum(one.files for one in judged), ""),
        Row("libraries looked up for them", sum(one.names for one in judged), ""),
        Row("of which the resolver and ld.so disagree", len(differences), "", AtMost(0)),
    ]  # fmt: skip
    load = f"Load average at the end: {os.getloadavg()[2]:.0f}, on {os.cpu_count()} processors: seconds depend on it."
    notes = [_table([_HEADINGS, *(one.cells for one in figures.values())])]
    notes += [load, *(f"Disagreement: {text}." for text in differences[:20])]
    samples = {
        "after": [one.built.manifest.size / _MEBIBYTE for one in figures.values()],
        "before": [one.before / _MEBIBYTE for one in figures.values()],
        "zip": [one.zip_size / _MEBIBYTE for one in figures.values()],
        "seconds": [one.whole for one in figures.values()],
    }
    return Measurement(name="layers", rows=tuple(rows), samples=samples, notes=tuple(notes))


def _rows(name: str, figures: Figures) -> list[Row]:
    limit = LIMITS_MB.get(name)
    size = figures.built.manifest.size / _MEBIBYTE
    return [
        Row(f"{name}: unzipped", size, "MiB", AtMost(limit) if limit else None),
        Row(f"{name}: built and tested in", figures.whole, "s"),
    ]


def _measure(name: str, base: Base, cache: Cache, directory: Path) -> Figures:
    source = EXAMPLES / name
    recipe = parse_recipe((source / "layer.toml").read_text())
    lock = _builder(recipe, source, base, cache, Watch()).resolve()
    watch = Watch()
    started = time.monotonic()
    built = _builder(recipe, source, base, cache, watch).build(lock)
    watch.stop()
    whole = time.monotonic() - started
    first, second = directory / f"{name}-1.zip", directory / f"{name}-2.zip"
    write_layer(built, first, directory / f"{name}-1.lock")
    again = _builder(recipe, source, base, _other_cache(cache, directory / f"{name}-again"), Watch()).build(lock)
    write_layer(again, second, directory / f"{name}-2.lock")
    last = recipe.stages[-1].name
    return Figures(
        built=built,
        install=watch.steps.get((last, "install"), 0.0),
        relocate=watch.steps.get((last, "relocate"), 0.0),
        whole=whole,
        before=_unpruned_size(recipe, source, base, cache, lock) if recipe.prune != Prune() else built.manifest.size,
        zip_size=first.stat().st_size,
        is_same=file_digest(first) == file_digest(second) and again.manifest == built.manifest,
        judged=compare_with_loader(base, built.tree),
    )


def _unpruned_size(recipe: Recipe, source: Path, base: Base, cache: Cache, lock: Lock) -> int:
    whole = replace(recipe, prune=Prune(), entrypoints=(), stages=(Stage("all", recipe.everything, None),))
    whole = replace(whole, packages=Packages())
    return _builder(whole, source, base, cache, Watch()).build(lock).manifest.size


def _builder(recipe: Recipe, source: Path, base: Base, cache: Cache, watch: Watch) -> Builder:
    return Builder(recipe, source, base, cache, choose_runner()[0], watch)


def _other_cache(cache: Cache, directory: Path) -> Cache:
    """A cache with the same downloads and no stages."""
    other = Cache(directory)
    for path in cache.downloads.iterdir():
        (other.downloads / path.name).hardlink_to(path)
    return other


def _table(lines: Sequence[Sequence[str]]) -> str:
    head, *rest = ["| " + " | ".join(cells) + " |" for cells in lines]
    return "\n".join([head, "|" + "---|" * len(lines[0]), *rest])
