"""What a function's name and a qualifier stand for, at the moment in which somebody calls it."""

from __future__ import annotations

from dataclasses import dataclass

from lambdad.model.arn import LATEST
from lambdad.model.environment import EnvironmentSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What one invoke runs.

    spec: the same object until code or configuration changes. invoked_arn: as the caller named it, with the
    qualifier. qualifier: the version or alias that the caller named, None if none; settings hang on `setting_key`.
    reserved_concurrency: of the whole function; None when unset. dead_letter_arn: empty when unset.
    """

    spec: EnvironmentSpec
    executed_version: str
    invoked_arn: str
    qualifier: str | None
    reserved_concurrency: int | None = None
    dead_letter_arn: str = ""
    tenant_isolation: bool = False
    recursion_allowed: bool = False
    durable: bool = False

    @property
    def setting_key(self) -> str:
        return self.qualifier or LATEST
