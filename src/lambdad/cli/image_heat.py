"""The picture of a start: a cell for each chunk of the image, coloured by when it was read, and below what was read.

Pure: SVG as text, or the same as a document for JSON.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

from lambdad.block.trace import TraceEntry
from lambdad.chunks.manifest import Manifest
from lambdad.cli.image_files import Contents

COLUMNS = 64
CELL = 12
_GAP = 2
_MARGIN = 20
_HEAD = 70
_LEGEND_STEPS = 24
_EARLY, _LATE = (214, 40, 40), (38, 84, 200)
_UNREAD, _ZERO = "#d9d9d9", "#f6f6f6"
_LINE = 16
_LINES_MAX = 60
_LABEL_MAX = 100
_FILES_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Heat:
    """A start of an image. contents: of the chunks that were read, by position."""

    name: str
    manifest: Manifest
    trace: Sequence[TraceEntry]
    contents: Mapping[int, Contents]

    def label(self, position: int) -> str:
        found = self.contents.get(position)
        return "" if found is None else found.label


@dataclass(slots=True)
class _Group:
    """Chunks that the same file fills, or small files of the same directory."""

    at_ms: int
    chunks: int = 0


def draw_heat(heat: Heat) -> str:
    """An SVG document. Red was read first, blue last, grey not at all; the palest are zeros, which cost nothing."""
    name, manifest, trace = heat.name, heat.manifest, heat.trace
    positions = manifest.shape.positions
    rows = -(-positions // COLUMNS)
    width = 2 * _MARGIN + COLUMNS * CELL
    grid_end = _HEAD + max(rows, 1) * CELL + _MARGIN
    listed = list(_list_groups(heat, grid_end))
    height = grid_end + (len(listed) + 1) * _LINE + (_MARGIN if listed else 0)
    stored = manifest.index.count
    read = sum(manifest.has(entry.position) for entry in trace)
    last_ms = max((entry.at_ms for entry in trace), default=0)
    part = 100 * read / stored if stored else 0.0
    title = f"{name}: the start read {read} of {stored} chunks ({part:.1f} %) in {last_ms} ms"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="12">',
        f"<title>{_escape(title)}</title>",
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{_MARGIN}" y="24" font-size="15">{_escape(title)}</text>',
        *_legend(len(trace)),
        *_cells(heat),
        *listed,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def describe_heat(heat: Heat) -> dict[str, Any]:
    """The same for JSON: each chunk that was read, in order, with what is in it."""
    read = []
    for order, entry in enumerate(heat.trace, 1):
        found = heat.contents.get(entry.position, Contents())
        read.append(
            {
                "order": order,
                "at_ms": entry.at_ms,
                "position": entry.position,
                "label": found.label,
                "files": [{"path": path, "bytes": size} for path, size in found.files],
                "directories": found.directories,
                "inodes": found.inodes,
            }
        )
    shape = heat.manifest.shape
    return {
        "name": heat.name,
        "chunk_size": shape.chunk_size,
        "positions": shape.positions,
        "stored": heat.manifest.index.count,
        "read": read,
    }


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


def _list_groups(heat: Heat, top: int) -> Iterator[str]:
    """What was read, in the order of first reads, one line for all chunks with the same label."""
    groups: dict[str, _Group] = {}
    for entry in heat.trace:
        groups.setdefault(heat.label(entry.position) or "?", _Group(entry.at_ms)).chunks += 1
    rows = [("ms", "chunks", "what was read")]
    rows += [(str(group.at_ms), str(group.chunks), label) for label, group in groups.items()][:_LINES_MAX]
    if len(groups) > _LINES_MAX:
        rows.append(("", "", f"and {len(groups) - _LINES_MAX} more"))
    for number, (at_ms, chunks, label) in enumerate(rows if groups else ()):
        y = top + number * _LINE
        short = label if len(label) <= _LABEL_MAX else f"…{label[1 - _LABEL_MAX :]}"
        yield f'<text x="{_MARGIN + 50}" y="{y}" text-anchor="end">{at_ms}</text>'
        yield f'<text x="{_MARGIN + 105}" y="{y}" text-anchor="end">{chunks}</text>'
        yield f'<text x="{_MARGIN + 120}" y="{y}">{_escape(short)}</text>'


def _cells(heat: Heat) -> Iterator[str]:
    manifest, trace = heat.manifest, heat.trace
    ranks = {entry.position: (rank, entry.at_ms) for rank, entry in enumerate(trace)}
    for position in range(manifest.shape.positions):
        row, column = divmod(position, COLUMNS)
        fill, text = _ZERO, "zeros"
        if position in ranks:
            rank, at_ms = ranks[position]
            fill, text = colour(rank, len(trace)), f"read as number {rank + 1} after {at_ms} ms"
            text += _tell(heat.contents.get(position))
        elif manifest.has(position):
            fill, text = _UNREAD, "not read"
        side = CELL - _GAP
        yield (
            f'<rect x="{_MARGIN + column * CELL}" y="{_HEAD + row * CELL}" width="{side}" height="{side}" '
            f'fill="{fill}"><title>chunk {position}: {_escape(text)}</title></rect>'
        )


def _tell(contents: Contents | None) -> str:
    """The files of a chunk in lines, the largest first."""
    if contents is None:
        return ""
    if not contents.files:
        return f"\n{contents.label}"
    largest = sorted(contents.files, key=lambda item: -item[1])
    lines = [f"{path} ({size:,} bytes)" for path, size in largest[:_FILES_SHOWN]]
    if len(largest) > _FILES_SHOWN:
        lines.append(f"and {len(largest) - _FILES_SHOWN} more files")
    return "".join(f"\n{line}" for line in lines)


def _escape(text: str) -> str:
    """For XML, which knows no control characters but the end of a line."""
    return escape("".join(sign if sign.isprintable() or sign == "\n" else "\ufffd" for sign in text))
