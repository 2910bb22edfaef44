"""IAM's roles and managed policies, as far as they are kept: names, documents, and what hangs on what.

IAM has no regions: everything here belongs to an account. Times are seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

AWS_POLICIES = "arn:aws:iam::aws:policy/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """account: 12 digits. path: `/` or `/team/`. trust: the document that says who may assume it.

    inline: documents by policy name. attached: ARNs of managed policies, in the order of their attachment.
    boundary: ARN of its permissions boundary. max_session_s: seconds.
    """

    account: str
    name: str
    path: str
    id: str
    created: float
    trust: str
    description: str = ""
    max_session_s: int = 3600
    boundary: str = ""
    inline: Mapping[str, str] = field(default_factory=dict)
    attached: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def arn(self) -> str:
        return f"arn:aws:iam::{self.account}:role{self.path}{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyVersion:
    """One document of a managed policy. number: 1 for `v1`."""

    number: int
    document: str
    created: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagedPolicy:
    """A policy of the account's own. default: the number of the version that holds. newest: that was ever given."""

    account: str
    name: str
    path: str
    id: str
    created: float
    updated: float
    versions: tuple[PolicyVersion, ...]
    default: int = 1
    newest: int = 1
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def arn(self) -> str:
        return f"arn:aws:iam::{self.account}:policy{self.path}{self.name}"
