"""Functions, versions, aliases: the records that the control plane keeps and the data plane reads.

Not AWS's JSON: `control.describe` turns these into what a client sees. Times are seconds since the epoch.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field

from lambdad.model.arn import LATEST, Namespace, function_arn
from lambdad.model.environment import Code, EnvironmentSpec, Image

PENDING = "Pending"
ACTIVE = "Active"
FAILED = "Failed"
INACTIVE = "Inactive"
IN_PROGRESS = "InProgress"
SUCCESSFUL = "Successful"


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerUse:
    """A layer version as a function uses it: kept whole, so that the function outlives the layer version."""

    arn: str
    code: Code
    unzipped_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VpcConfig:
    """Stored and shown. `vpc_id` is made from the subnets: there is no VPC behind it."""

    subnet_ids: tuple[str, ...] = ()
    security_group_ids: tuple[str, ...] = ()
    vpc_id: str = ""
    ipv6_allowed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSystem:
    arn: str
    mount_path: str
    direct_s3_read: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Logging:
    log_format: str = "Text"
    application_level: str | None = None
    system_level: str | None = None
    log_group: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageOverride:
    """AWS's ImageConfig: what replaces the image's own start; None keeps the image's."""

    entry_point: tuple[str, ...] | None = None
    command: tuple[str, ...] | None = None
    working_directory: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Durable:
    """AWS's DurableConfig. execution_timeout: seconds. retention: days."""

    execution_timeout: int | None = None
    retention: int | None = None
    kms_key_arn: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What UpdateFunctionConfiguration can change, with what only CreateFunction can set (tenancy, durable)."""

    role: str
    runtime: str | None = None
    handler: str | None = None
    description: str = ""
    timeout_s: int
    memory_mb: int
    ephemeral_mb: int
    environment: Mapping[str, str] | None = None
    """None: never set, and then not shown."""
    layers: tuple[LayerUse, ...] = ()
    vpc: VpcConfig | None = None
    dead_letter_arn: str = ""
    tracing: str = "PassThrough"
    kms_key_arn: str = ""
    file_systems: tuple[FileSystem, ...] = ()
    image_override: ImageOverride | None = None
    snap_start: str = "None"
    logging: Logging
    tenancy: str | None = None
    durable: Durable | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A function's code: exactly one of `code` and `image` is set.

    unzipped_size: bytes; 0 for images. source_kms_key_arn: as the client gave it; shown, not used.
    """

    architecture: str = "x86_64"
    code: Code | None = None
    image: Image | None = None
    unzipped_size: int = 0
    source_kms_key_arn: str = ""

    @property
    def type(self) -> str:
        return "Zip" if self.image is None else "Image"

    @property
    def size(self) -> int:
        """CodeSize: bytes of the zip; AWS reports 0 for images."""
        return 0 if self.code is None else self.code.size

    @property
    def sha256(self) -> str:
        """CodeSha256: base64 for zips, the hex digest of the image for images."""
        if self.code is not None:
            return base64.b64encode(bytes.fromhex(self.code.sha256)).decode()
        assert self.image is not None
        return self.image.resolved_uri.rpartition("sha256:")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One state of code and settings that can run. `id` changes with every change of either."""

    id: str
    settings: Settings
    package: Package


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """A value of State or LastUpdateStatus with its reason."""

    value: str
    reason: str | None = None
    code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionVersion:
    """`$LATEST` or one published version.

    deployment: what the client asked for last, and sees. serving: what invokes run: the deployment before while an
    update is in progress or after it failed; None before the first is ready.
    fingerprint: of a published version, the digest of what `$LATEST` was when it was published.
    """

    namespace: Namespace
    name: str
    version: str
    deployment: Deployment
    serving: Deployment | None = None
    revision_id: str
    last_modified: float
    state: Status
    last_update: Status | None = None
    fingerprint: str = ""
    why_no_snapshot: str = ""
    """Of a published version with SnapStart: why its sandboxes are not restored from a snapshot; empty if they are."""
    starts_ahead: bool = False
    """Of such a version: whether an environment is kept initialised in the place of a snapshot."""

    @property
    def arn(self) -> str:
        """Unqualified for `$LATEST`."""
        return function_arn(self.namespace, self.name, None if self.version == LATEST else self.version)

    @property
    def settings(self) -> Settings:
        return self.deployment.settings

    def starts_from_snapshot(self, deployment: Deployment) -> bool:
        """Whether SnapStart is asked for: published versions alone have it."""
        return deployment.settings.snap_start == "PublishedVersions" and self.version != LATEST

    @property
    def package(self) -> Package:
        return self.deployment.package


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """What belongs to a function as a whole and to no version.

    next_version: the number that the next published version gets; never goes back.
    reserved_concurrency: None when unset. recursion: `Terminate` or `Allow`.
    """

    namespace: Namespace
    name: str
    next_version: int = 1
    reserved_concurrency: int | None = None
    recursion: str = "Terminate"
    code_signing_config_arn: str | None = None

    @property
    def arn(self) -> str:
        return function_arn(self.namespace, self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alias:
    """A name for one version, or two: `weights` maps at most one more version to its share of invokes, 0 to 1."""

    namespace: Namespace
    function: str
    name: str
    version: str
    description: str = ""
    weights: Mapping[str, float] = field(default_factory=dict)
    revision_id: str

    @property
    def arn(self) -> str:
        return function_arn(self.namespace, self.function, self.name)

    def choose(self, draw: float) -> str:
        """The version for one invoke. draw: in [0, 1)."""
        for version, weight in self.weights.items():
            if draw < weight:
                return version
            draw -= weight
        return self.version


def environment_spec(version: FunctionVersion, deployment: Deployment, egress: str) -> EnvironmentSpec:
    """How to run `deployment` as `version`. egress: `none`, `internet` or `host`, a choice of the node."""
    settings, package = deployment.settings, deployment.package
    return EnvironmentSpec(
        namespace=version.namespace,
        function_name=version.name,
        version=version.version,
        revision=deployment.id,
        runtime=settings.runtime,
        handler=settings.handler,
        memory_mb=settings.memory_mb,
        timeout_s=settings.timeout_s,
        ephemeral_mb=settings.ephemeral_mb,
        architecture=package.architecture,
        environment=settings.environment or {},
        code=package.code,
        layers=tuple(layer.code for layer in settings.layers),
        image=_started_as(package.image, settings.image_override),
        log_format=settings.logging.log_format,
        application_log_level=settings.logging.application_level,
        system_log_level=settings.logging.system_level,
        log_group=settings.logging.log_group,
        tracing=settings.tracing,
        egress=egress,
        initialization_type="snap-start" if version.starts_from_snapshot(deployment) else "on-demand",
    )


def _started_as(image: Image | None, override: ImageOverride | None) -> Image | None:
    if image is None or override is None:
        return image
    return Image(
        uri=image.uri,
        resolved_uri=image.resolved_uri,
        manifest_sha256=image.manifest_sha256,
        entry_point=image.entry_point if override.entry_point is None else override.entry_point,
        command=image.command if override.command is None else override.command,
        working_directory=override.working_directory or image.working_directory,
        environment=image.environment,
        user=image.user,
    )
