"""Pictures of the results about images: what the corpus costs as it grows, and what a first start waits for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from bench.figures import percentile
from bench.images.origin import DELAYS_MS

_LINES = {
    "stored perfect sharing": ("#000000", ":"),
    "stored erofs": ("#2a6f97", "-"),
    "stored ext4": ("#61a5c2", "-"),
    "stored layer-sequential": ("#e09f3e", "-"),
    "stored mkfs.erofs": ("#9e2a2b", "-"),
    "stored mke2fs -d": ("#8d99ae", "-"),
}
_UNIQUE, _SHARED = "#d62828", "#8fb3d9"
_STATES = {"cold": "#9e2a2b", "prefetch": "#2a6f97", "local": "#61a5c2"}
_LABELS = {"cold": "cold caches", "prefetch": "cold, start recorded before", "local": "image on the worker"}


def draw_sharing(samples: Mapping[str, Sequence[float]]) -> Figure:
    """Left: stored bytes as images are added. Right: each image, its own bytes and those of others too."""
    figure = Figure(figsize=(11, 5), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, (colour, style) in _LINES.items():
        if name in samples:
            series = samples[name]
            numbers = range(1, len(series) + 1)
            left.plot(numbers, series, style, color=colour, label=name.removeprefix("stored "))
    left.set_xlabel("images in the store")
    left.set_ylabel("MB stored")
    left.set_title("Different chunks, each stored once", loc="left")
    left.legend(frameon=False)
    images = {name.removeprefix("image "): parts for name, parts in samples.items() if name.startswith("image ")}
    names = list(reversed(images))
    unique, shared = ([images[name][part] for name in names] for part in (1, 2))
    right.barh(names, unique, color=_UNIQUE, label="in this image alone")
    right.barh(names, shared, left=unique, color=_SHARED, label="in others too")
    right.set_xlabel("MB, as EROFS")
    right.set_title("Each image", loc="left")
    right.legend(frameon=False)
    for axes in (left, right):
        _plain(axes)
    return figure


def draw_starts(samples: Mapping[str, Sequence[float]]) -> Figure:
    """Medians by distance of the origin and state of the caches; pull, unpack and start for comparison."""
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    axes: Any = figure.subplots()
    pulled = percentile(samples["pull, unpack, start"], 50) / 1000
    axes.barh("pull, unpack, start", pulled, color="#8d99ae")
    axes.text(pulled, "pull, unpack, start", f"  {pulled:.1f} s", va="center")
    for delay in DELAYS_MS:
        for state, colour in _STATES.items():
            what = f"origin at {delay:g} ms, {_LABELS[state]}"
            waited = percentile(samples[f"{delay:g} ms: {state}"], 50) / 1000
            axes.barh(what, waited, color=colour)
            axes.text(waited, what, f"  {waited:.2f} s", va="center")
    axes.invert_yaxis()
    axes.margins(x=0.1)
    axes.set_xlabel("seconds from request to response (medians)")
    axes.set_title("A function on 1.4 GB of scientific Python", loc="left")
    _plain(axes)
    return figure


def _plain(axes: Any) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
