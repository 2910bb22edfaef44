"""Layer versions: immutable archives that functions see under /opt."""

from __future__ import annotations

from dataclasses import dataclass

from lambdad.model.arn import Namespace, layer_arn
from lambdad.model.environment import Code


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerVersion:
    """One published layer version. created: seconds since the epoch; unzipped_size: bytes."""

    namespace: Namespace
    name: str
    version: int
    code: Code
    unzipped_size: int
    created: float
    description: str = ""
    license: str | None = None
    runtimes: tuple[str, ...] | None = None
    architectures: tuple[str, ...] | None = None

    @property
    def arn(self) -> str:
        return layer_arn(self.namespace, self.name, self.version)
