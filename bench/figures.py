"""What a benchmark says: rows with promises, and the samples behind them. Pure: no clock, no I/O."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class AtMost:
    """The promise is kept by values up to `limit`."""

    limit: float

    def is_kept(self, value: float) -> bool:
        return value <= self.limit

    def __str__(self) -> str:
        return f"<= {self.limit:g}"


@dataclass(frozen=True, slots=True)
class AtLeast:
    """The promise is kept by values from `limit` on."""

    limit: float

    def is_kept(self, value: float) -> bool:
        return value >= self.limit

    def __str__(self) -> str:
        return f">= {self.limit:g}"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. unit: `ms`, `/s`, `MiB`, `s` or `x` (a ratio). promise: None for what is only told."""

    what: str
    value: float
    unit: str
    promise: AtMost | AtLeast | None = None

    @property
    def verdict(self) -> str:
        if self.promise is None:
            return ""
        return "pass" if self.promise.is_kept(self.value) else "**miss**"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One benchmark's outcome. samples: series by name, for the plots. notes: sentences below its table."""

    name: str
    rows: tuple[Row, ...]
    samples: Mapping[str, Sequence[float]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` of them do not exceed (nearest rank). percent: 0 to 100."""
    if not values:
        raise ValueError("no values, no percentile")
    ordered = sorted(values)
    rank = math.ceil(percent / 100 * len(ordered))
    return ordered[max(rank, 1) - 1]


def to_json(measurement: Measurement) -> dict[str, Any]:
    """For a file; `from_json` reads it."""
    rows = [
        {
            "what": row.what,
            "value": row.value,
            "unit": row.unit,
            "promise": str(row.promise or ""),
            "verdict": row.verdict,
        }
        for row in measurement.rows
    ]
    samples = {name: [round(value, 4) for value in series] for name, series in measurement.samples.items()}
    return {"name": measurement.name, "rows": rows, "samples": samples, "notes": list(measurement.notes)}


def from_json(value: Mapping[str, Any]) -> Measurement:
    """What `to_json` made."""
    rows = tuple(Row(row["what"], row["value"], row["unit"], _parse_promise(row["promise"])) for row in value["rows"])
    return Measurement(name=value["name"], rows=rows, samples=value["samples"], notes=tuple(value["notes"]))


def _parse_promise(text: str) -> AtMost | AtLeast | None:
    if not text:
        return None
    sign, limit = text.split()
    return AtMost(float(limit)) if sign == "<=" else AtLeast(float(limit))
