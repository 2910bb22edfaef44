"""Settings that hang on one qualifier of a function: asynchronous invokes, URLs, provisioned environments, policies.

A qualifier is `$LATEST`, a version number or an alias. Times are seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class InvokeConfig:
    """How asynchronous invokes are retried and where their results go. None and empty mean AWS's defaults.

    maximum_age: seconds. on_success, on_failure: ARNs.
    """

    last_modified: float
    maximum_retries: int | None = None
    maximum_age: int | None = None
    on_success: str = ""
    on_failure: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cors:
    allow_credentials: bool | None = None
    allow_headers: tuple[str, ...] | None = None
    allow_methods: tuple[str, ...] | None = None
    allow_origins: tuple[str, ...] | None = None
    expose_headers: tuple[str, ...] | None = None
    max_age: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionUrl:
    """id: the first label of the URL's host name, unique on this platform. url: as shown to the client."""

    id: str
    url: str
    auth_type: str
    invoke_mode: str = "BUFFERED"
    cors: Cors | None = None
    created: float
    last_modified: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisionedConcurrency:
    """requested: environments."""

    requested: int
    last_modified: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Provisioning:
    """How far the environments of a `ProvisionedConcurrency` are.

    allocated: environments that exist or are being made; available: those that are initialised.
    status: IN_PROGRESS, READY or FAILED; reason: of a failure, AWS's StatusReason.
    """

    allocated: int
    available: int
    status: str
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeManagement:
    update_on: str = "Auto"
    runtime_version_arn: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """Environments that a managed-instances function may have; None is unset."""

    minimum: int | None = None
    maximum: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LastUse:
    """When a version was called last, as far as it matters; see `control.idleness`."""

    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One statement of a resource policy, in the parts that AddPermission can set.

    principal: `*`, a service such as `s3.amazonaws.com`, or the ARN of an account's root, a role or a user.
    conditions: operator → key → value, such as `{"ArnLike": {"AWS:SourceArn": "arn:…"}}`.
    document: the whole statement as PutResourcePolicy gave it; then the parts but `id` are empty.
    """

    id: str
    action: str
    principal_type: str
    """`Service`, `AWS`, or empty for everybody."""
    principal: str
    resource: str
    conditions: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    document: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The resource policy of a function, a version, an alias or a layer version. id: of the policy document."""

    statements: tuple[Statement, ...] = ()
    revision_id: str = ""
    id: str = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeSigningConfig:
    id: str
    description: str = ""
    publishers: tuple[str, ...]
    untrusted_artifact: str = "Warn"
    last_modified: float
