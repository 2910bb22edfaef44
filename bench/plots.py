"""Pictures of the results, SVG and PNG: where a cold start's time goes, and latency by percentile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from bench.cold import PHASES, WAYS
from bench.control_plane import OPERATIONS
from bench.figures import percentile
from bench.images.plots import draw_sharing, draw_starts
from bench.layers import NAMES as LAYERS

_PERCENTILES = [*range(1, 100), 99.5, 99.9]
_COLOURS = ("#8d99ae", "#2a6f97", "#61a5c2", "#e09f3e", "#9e2a2b")


def draw(documents: Sequence[Mapping[str, Any]], folder: Path) -> list[Path]:
    """Draw what the documents of `bench.report` have the samples for. Returns the files."""
    written: list[Path] = []
    for document in documents:
        match document["name"]:
            case "cold":
                written += _save(_draw_phases(document["samples"]), folder / "cold-start")
            case "warm":
                figure = _draw_latency(document["samples"], "Warm invoke, one client")
                written += _save(figure, folder / "latency")
            case "fairness" if document["samples"]:
                figure = _draw_latency(document["samples"], "A warm function, alone and beside the flood of another")
                written += _save(figure, folder / "fairness")
            case "snapstart":
                figure = _draw_latency(document["samples"], "Cold start of a function that imports pandas")
                written += _save(figure, folder / "snapstart")
            case "runtimes":
                written += _save(_draw_runtimes(document["samples"]), folder / "runtimes")
            case "layers":
                written += _save(_draw_layers(document["samples"]), folder / "layers")
            case "control-plane":
                written += _save(_draw_control_plane(document["samples"]), folder / "control-plane")
            case "image-sharing":
                written += _save(draw_sharing(document["samples"]), folder / "image-sharing")
            case "image-starts":
                written += _save(draw_starts(document["samples"]), folder / "image-starts")
            case _:
                continue
    return written


def _draw_phases(samples: Mapping[str, Sequence[float]]) -> Figure:
    figure = Figure(figsize=(8, 2.6), layout="constrained")
    axes: Any = figure.subplots()
    for way in reversed(WAYS):
        left = 0.0
        for phase, colour in zip(PHASES, _COLOURS, strict=True):
            width = percentile(samples[f"{way}: {phase}"], 50)
            axes.barh(way, width, left=left, color=colour, label=phase if way == "zygote" else None)
            left += width
        axes.text(left, way, f"  {percentile(samples[f'{way}: waited'], 50):.1f} ms", va="center")
    axes.set_xlabel("milliseconds (medians; the number is what the caller waited)")
    axes.set_title("Cold start of a small Python function, in phases", loc="left")
    axes.margins(x=0.12)
    axes.legend(ncols=len(PHASES), frameon=False, loc="upper right")
    _plain(axes)
    return figure


def _draw_layers(samples: Mapping[str, Sequence[float]]) -> Figure:
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    axes: Any = figure.subplots()
    names = [*LAYERS][: len(samples["after"])]
    for kind, label, height, colour in (
        ("before", "before pruning", 0.8, _COLOURS[0]),
        ("after", "unzipped", 0.7, _COLOURS[1]),
        ("zip", "zipped", 0.4, _COLOURS[3]),
    ):
        axes.barh(names, samples[kind], color=colour, label=label, height=height)
    for name, size, seconds in zip(names, samples["before"], samples["seconds"], strict=True):
        axes.text(size, name, f"  {seconds:.0f} s", va="center")
    axes.invert_yaxis()
    axes.set_xlabel("MiB (the number is what building and testing took)")
    axes.set_title("Layers from Debian packages", loc="left")
    axes.margins(x=0.1)
    axes.legend(frameon=False)
    _plain(axes)
    return figure


def _draw_runtimes(samples: Mapping[str, Sequence[float]]) -> Figure:
    """A line for each runtime from its tenth percentile to its 99th, with the median on it; the fastest on top."""
    figure = Figure(figsize=(8, 0.28 * len(samples) + 1.2), layout="constrained")
    axes: Any = figure.subplots()
    for name in sorted(samples, key=lambda name: percentile(samples[name], 50)):
        low, middle, high = (percentile(samples[name], share) for share in (10, 50, 99))
        colour = _COLOURS[3] if "managed" in name else _COLOURS[1]
        axes.plot((low, high), (name, name), color=_COLOURS[0], linewidth=2)
        axes.plot([middle], [name], marker="o", color=colour)
        axes.text(high, name, f"  {middle:.2f}", va="center", fontsize=8)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel("milliseconds: 10th to 99th percentile, and the median")
    axes.set_title("Warm invoke by runtime, one client", loc="left")
    axes.margins(x=0.1)
    _plain(axes)
    return figure


def _draw_control_plane(samples: Mapping[str, Sequence[float]]) -> Figure:
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes: Any = figure.subplots()
    for operation, colour in zip(OPERATIONS, (*_COLOURS, "#5e548e"), strict=True):
        axes.plot(samples["functions"], samples[operation], marker="o", color=colour, label=operation)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("functions in the account, each with ten versions")
    axes.set_ylabel("milliseconds, median")
    axes.set_title("Requests to the control plane by the size of an account", loc="left")
    axes.legend(frameon=False, ncols=3)
    _plain(axes)
    return figure


def _draw_latency(samples: Mapping[str, Sequence[float]], title: str) -> Figure:
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes: Any = figure.subplots()
    for (name, series), colour in zip(samples.items(), ("#8d99ae", "#2a6f97", "#e09f3e"), strict=False):
        axes.plot(_PERCENTILES, [percentile(series, share) for share in _PERCENTILES], label=name, color=colour)
    axes.set_xlabel("percentile")
    axes.set_ylabel("milliseconds")
    axes.set_yscale("log")
    axes.set_title(title, loc="left")
    axes.legend(frameon=False)
    _plain(axes)
    return figure


def _plain(axes: Any) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _save(figure: Figure, stem: Path) -> list[Path]:
    paths = [stem.with_suffix(".svg"), stem.with_suffix(".png")]
    figure.savefig(paths[0], metadata={"Date": None})
    figure.savefig(paths[1], dpi=150)
    return paths
