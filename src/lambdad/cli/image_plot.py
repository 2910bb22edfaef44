"""The picture of what images share: a bar for each, its own bytes and those of others too. Pure: SVG as text."""

from __future__ import annotations

from collections.abc import Mapping
from xml.sax.saxutils import escape

from lambdad.cli.image_usage import Usage
from lambdad.cli.output import size

_LABEL, _BAR, _ROW, _HEAD = 260, 480, 24, 44
_NAME_MAX = 36
_UNIQUE, _SHARED = "#d62828", "#8fb3d9"


def draw_shares(images: Mapping[str, Usage]) -> str:
    """An SVG document: red is in no other image, blue is in several; the scale is the largest image."""
    most = max((found.total.size for found in images.values()), default=0) or 1
    width, height = _LABEL + _BAR + 200, _HEAD + _ROW * len(images) + 10
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<rect x="{_LABEL}" y="12" width="12" height="12" fill="{_UNIQUE}"/>',
        f'<text x="{_LABEL + 18}" y="22">in this image alone</text>',
        f'<rect x="{_LABEL + 160}" y="12" width="12" height="12" fill="{_SHARED}"/>',
        f'<text x="{_LABEL + 178}" y="22">in others too</text>',
    ]
    for number, (name, found) in enumerate(images.items()):
        y = _HEAD + number * _ROW
        unique, shared = (_BAR * part.size / most for part in (found.unique, found.shared))
        short = name if len(name) <= _NAME_MAX else f"…{name[1 - _NAME_MAX :]}"
        lines += [
            f'<text x="{_LABEL - 10}" y="{y + 12}" text-anchor="end">{escape(short)}</text>',
            f'<rect x="{_LABEL}" y="{y}" width="{unique:.1f}" height="16" fill="{_UNIQUE}"/>',
            f'<rect x="{_LABEL + unique:.1f}" y="{y}" width="{shared:.1f}" height="16" fill="{_SHARED}"/>',
            f'<text x="{_LABEL + unique + shared + 8:.1f}" y="{y + 12}">'
            f"{size(found.unique.size)} + {size(found.shared.size)}</text>",
        ]
    return "\n".join([*lines, "</svg>"]) + "\n"
