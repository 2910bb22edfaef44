"""What a worker must know to run a function: one value, complete, the same on every machine.

An `EnvironmentSpec` is derived from one state of one function version. Two invokes may share a sandbox only if
their specs have the same `key`: a sandbox never serves two functions, versions, accounts or configurations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lambdad.model.arn import LATEST, Namespace, function_arn


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """A zip archive in the blob store, by content."""

    sha256: str
    """Hex digest of the zip; the name of the blob."""
    size: int
    """Bytes of the zip."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A container image as a function's code."""

    uri: str
    resolved_uri: str
    """With the digest that the tag had when the function was created or updated."""
    manifest_sha256: str
    """Hex digest of the block manifest in the blob store."""
    entry_point: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    working_directory: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentSpec:
    """How to run one version of one function.

    memory_mb, ephemeral_mb: MiB. timeout_s: seconds.
    """

    namespace: Namespace
    function_name: str
    version: str
    revision: str
    """Changes with every change of code or configuration."""
    runtime: str | None
    handler: str | None
    memory_mb: int
    timeout_s: int
    ephemeral_mb: int
    architecture: str
    environment: Mapping[str, str]
    code: Code | None
    layers: tuple[Code, ...] = ()
    image: Image | None = None
    log_format: str = "Text"
    application_log_level: str | None = None
    system_log_level: str | None = None
    log_group: str = ""
    tracing: str = "PassThrough"
    egress: str = "none"
    """`none`, `internet` or `host`; see docs/SECURITY.md."""
    initialization_type: str = "on-demand"
    """Why the environment is started: `on-demand`, `provisioned-concurrency` or `snap-start`. Not part of `key`."""
    ahead: bool = False
    """Whether it is initialised before anybody has called, for SnapStart without a snapshot. Not part of `key`."""

    @property
    def key(self) -> str:
        """Identity for sharing a sandbox."""
        space = self.namespace
        return f"{space.account}/{space.region}/{self.function_name}/{self.version}/{self.revision}"

    @property
    def arn(self) -> str:
        """ARN of the version; of the function itself for `$LATEST`."""
        qualifier = None if self.version == LATEST else self.version
        return function_arn(self.namespace, self.function_name, qualifier)


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotFailure:
    """Why a version has no snapshot. code: a value of StateReasonCode; empty if its functions start without one.

    ahead: whether an environment is kept initialised in its place.
    """

    code: str
    reason: str
    ahead: bool = False
