"""What the corpus costs when every different chunk is stored once: ours, others, and perfect sharing of files.

The bound is every different file content once, nothing else: no metadata, no padding. Everything is counted from real
images; only the layer-sequential row is contents alone, laid out as the paper says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.figures import AtMost, Measurement, Row
from bench.images.chunking import (
    Chunks,
    file_contents,
    layer_sequential_chunks,
    logical_size,
    merged,
    our_chunks,
    stock_chunks,
)
from bench.images.corpus import Corpus, open_corpus
from bench.images.recipes import IMAGES, LARGE, REDEPLOY
from bench.setup import Setup
from lambdad.cli.image_usage import compare, together, usage
from lambdad.image.build import BuildOptions

_OURS = ("erofs", "erofs, 4 KiB blocks", "ext4")
_OTHERS = ("layer-sequential", "mkfs.erofs", "mke2fs -d")
_DOMINANT = ("torch", LARGE)
"""Two images whose bulk nobody shares: every layout stores it once."""


@dataclass(slots=True)
class _Counted:
    """By image: its chunks in each layout, its different contents, bytes of its files."""

    layouts: dict[str, dict[str, Chunks]] = field(default_factory=dict)
    contents: dict[str, dict[bytes, int]] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)

    def ratio(self, layout: str, images: Mapping[str, object]) -> float:
        """Stored bytes over those of perfect sharing, for these images alone."""
        bound: dict[bytes, int] = {}
        for name in images:
            bound |= self.contents[name]
        chosen = {name: self.layouts[layout][name] for name in images}
        return together(chosen).size / sum(bound.values())


def measure_image_sharing(setup: Setup) -> Measurement:
    """Needs root, the corpus, mkfs.erofs and mke2fs."""
    names = IMAGES if setup.effort.rounds > 1 else IMAGES[:4]
    with open_corpus(names, lambda text: print(f"  {text}", flush=True)) as corpus:
        counted = _count(corpus, setup.directory)
    return Measurement(
        name="image-sharing",
        rows=tuple(_rows(counted)),
        samples=_samples(counted),
        notes=(
            "Perfect sharing: every different content of a file once, without metadata. Of layer-sequential, contents "
            "alone.",
            *_table(counted),
        ),
    )


def _count(corpus: Corpus, directory: Path) -> _Counted:
    counted = _Counted(layouts={layout: {} for layout in (*_OURS, *_OTHERS)})
    spool = str(directory)
    ours: dict[str, BuildOptions] = {
        "erofs": BuildOptions(format="erofs", spool=spool),
        "erofs, 4 KiB blocks": BuildOptions(format="erofs", block_size=4096, spool=spool),
        "ext4": BuildOptions(format="ext4", spool=spool),
    }
    for name, reference in corpus.references.items():
        print(f"  counting {name}", flush=True)
        for layout, options in ours.items():
            counted.layouts[layout][name] = our_chunks(reference, options)[0]
        counted.layouts["layer-sequential"][name] = layer_sequential_chunks(corpus.layers, name)
        with merged(corpus.layers, name) as root:
            counted.contents[name] = file_contents(root)
            counted.sizes[name] = logical_size(root)
            for tool, layout in (("mkfs.erofs", "mkfs.erofs"), ("mke2fs", "mke2fs -d")):
                counted.layouts[layout][name] = stock_chunks(tool, root, directory)
    return counted


def _rows(counted: _Counted) -> list[Row]:
    everything = counted.sizes
    bound: dict[bytes, int] = {}
    for contents in counted.contents.values():
        bound |= contents
    rows = [
        Row(f"{len(everything)} images: bytes of files", sum(everything.values()) / 1e6, "MB"),
        Row("after perfect sharing of files", sum(bound.values()) / 1e6, "MB"),
    ]
    small = {name: size for name, size in everything.items() if name not in _DOMINANT}
    for layout in (*_OURS, *_OTHERS):
        promise = AtMost(1.10) if layout in ("erofs", "ext4") else None
        rows.append(Row(f"{layout}: stored / perfect sharing", counted.ratio(layout, everything), "x", promise))
    for layout in ("erofs", "ext4"):
        what = f"{layout}, without {' and '.join(_DOMINANT)}: stored / perfect sharing"
        rows.append(Row(what, counted.ratio(layout, small), "x"))
    rows += _redeploy_rows(counted)
    return rows


def _redeploy_rows(counted: _Counted) -> list[Row]:
    before, after = REDEPLOY
    rows = []
    for layout in ("erofs", "ext4"):
        images = counted.layouts[layout]
        if after in images:
            new = compare(images[before], images[after]).only_second.size
            share = 100 * new / sum(images[after].values())
            rows.append(Row(f"{layout}, only the application changed: new bytes", share, "%", AtMost(0.3)))
    return rows


def _samples(counted: _Counted) -> dict[str, list[float]]:
    """MB for the plot: by image total, unique and shared of ours; by layout the growth as images are added."""
    found = {
        f"image {name}": [part.size / 1e6 for part in (seen.total, seen.unique, seen.shared)]
        for name, seen in usage(counted.layouts["erofs"]).items()
    }
    curves: dict[str, Callable[[list[str]], float]] = {"perfect sharing": lambda names: _bound(counted, names)}
    for layout in (*_OURS, *_OTHERS):
        curves[layout] = lambda names, layout=layout: (  # type: ignore[misc]
            together({name: counted.layouts[layout][name] for name in names}).size / 1e6
        )
    names = list(counted.sizes)
    for curve, measure in curves.items():
        found[f"stored {curve}"] = [measure(names[: count + 1]) for count in range(len(names))]
    return found


def _bound(counted: _Counted, names: list[str]) -> float:
    bound: dict[bytes, int] = {}
    for name in names:
        bound |= counted.contents[name]
    return sum(bound.values()) / 1e6


def _table(counted: _Counted) -> list[str]:
    """Every image as a row of Markdown: ours in EROFS, what of it is its own, and what others make of that."""
    header = "| image | files, MB | stored | of which unique | shared | mkfs.erofs: unique | mke2fs -d: unique |"
    lines = [header, "|---|---:|---:|---:|---:|---:|---:|"]
    ours = usage(counted.layouts["erofs"])
    stock = {layout: usage(counted.layouts[layout]) for layout in _OTHERS[1:]}
    for name, seen in ours.items():
        parts = [counted.sizes[name], seen.total.size, seen.unique.size, seen.shared.size]
        parts += [stock[layout][name].unique.size for layout in _OTHERS[1:]]
        lines.append(f"| {name} | " + " | ".join(f"{part / 1e6:,.1f}" for part in parts) + " |")
    return ["\n".join(lines)]
