"""The picture of a start: a cell for each chunk of the image, coloured by when it was read. Pure: SVG as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

from lambdad.block.trace import TraceEntry
from lambdad.chunks.manifest import Manifest

COLUMNS = 64
CELL = 12
_GAP = 2
_MARGIN = 20
_HEAD = 70
_LEGEND_STEPS = 24
_EARLY, _LATE = (214, 40, 40), (38, 84, 200)
_UNREAD, _ZERO = "#d9d9d9", "#f6f6f6"


def draw_heat(name: str, manifest: Manifest, trace: Sequence[TraceEntry]) -> str:
    """An SVG document. Red was read first, blue last, grey not at all; the palest are zeros, which cost nothing."""
    positions = manifest.shape.positions
    rows = -(-positions // COLUMNS)
    width = 2 * _MARGIN + COLUMNS * CELL
    height = _HEAD + max(rows, 1) * CELL + _MARGIN
    stored = manifest.index.count
    read = sum(manifest.has(entry.position) for entry in trace)
    last_ms = max((entry.at_ms for entry in trace), default=0)
    part = 100 * read / stored if stored else 0.0
    title = f"{name}: the start read {read} of {stored} chunks ({part:.1f} %) in {last_ms} ms"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="12">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{_MARGIN}" y="24" font-size="15">{escape(title)}</text>',
        *_legend(len(trace)),
        *_cells(manifest, trace),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def colour(rank: int, count: int) -> str:
    """Of the chunk that was read as number `rank` (from 0) of `count`."""
    part = rank / (count - 1) if count > 1 else 0.0
    return "#" + "".join(f"{round(low + (high - low) * part):02x}" for low, high in zip(_EARLY, _LATE, strict=True))


def _legend(count: int) -> Iterator[str]:
    y, x = 38, _MARGIN
    yield f'<text x="{x}" y="{y + 10}">first</text>'
    x += 34
    for step in range(_LEGEND_STEPS):
        yield f'<rect x="{x}" y="{y}" width="6" height="12" fill="{colour(step, _LEGEND_STEPS)}"/>'
        x += 6
    yield f'<text x="{x + 6}" y="{y + 10}">last of {count}</text>'
    x += 110
    for fill, text in ((_UNREAD, "not read"), (_ZERO, "zeros, not stored")):
        yield f'<rect x="{x}" y="{y}" width="12" height="12" fill="{fill}" stroke="#bbb" stroke-width="0.5"/>'
        yield f'<text x="{x + 18}" y="{y + 10}">{text}</text>'
        x += 90


def _cells(manifest: Manifest, trace: Sequence[TraceEntry]) -> Iterator[str]:
    ranks = {entry.position: (rank, entry.at_ms) for rank, entry in enumerate(trace)}
    for position in range(manifest.shape.positions):
        row, column = divmod(position, COLUMNS)
        fill, text = _ZERO, "zeros"
        if position in ranks:
            rank, at_ms = ranks[position]
            fill, text = colour(rank, len(trace)), f"read as number {rank + 1} after {at_ms} ms"
        elif manifest.has(position):
            fill, text = _UNREAD, "not read"
        side = CELL - _GAP
        yield (
            f'<rect x="{_MARGIN + column * CELL}" y="{_HEAD + row * CELL}" width="{side}" height="{side}" '
            f'fill="{fill}"><title>chunk {position}: {text}</title></rect>'
        )
