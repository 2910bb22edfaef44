"""What the control plane offers and what it needs: values and protocols, no behaviour.

The wire calls a `Handler` with parameters that it has parsed and checked against the service model (PascalCase keys,
blobs as bytes); control checks what they mean. An answer is a mapping in the model's names.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from lambdad.model.arn import Namespace
from lambdad.model.environment import Code, Image, SnapshotFailure
from lambdad.model.function import FunctionVersion
from lambdad.model.settings import Provisioning
from lambdad.store.metadata import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """Who calls, and when. base_url: how the caller reached us, without a slash at the end. now: epoch seconds."""

    namespace: Namespace
    request_id: str
    base_url: str
    now: float


Params: TypeAlias = Mapping[str, Any]
Answer: TypeAlias = Mapping[str, Any]
Handler: TypeAlias = Callable[[Call, Params], Awaitable[Answer]]
Spawn: TypeAlias = Callable[[Coroutine[Any, Any, None]], None]
"""Runs a coroutine in a TaskGroup that somebody awaits. The coroutine does not raise."""


class Preparer(Protocol):
    """Makes code ready where it will run; `worker.interface.WorkerPort` is one."""

    async def prepare(self, runtime: str | None, code: tuple[Code, ...]) -> str | None:
        """Fetch and unpack. Returns None, or why it cannot work, for the function's state."""
        ...

    async def snapshot(self, version: FunctionVersion) -> SnapshotFailure | None:
        """Run the init phase of what `version` asks for, and keep it to start from. Returns None, or why not."""
        ...


class RuntimeCheck(Protocol):
    """Which of AWS's runtimes this platform can run."""

    def check(self, runtime: str) -> str | None:
        """None, or a sentence that says why not and what would give it."""
        ...


class RoleCheck(Protocol):
    """Which roles functions may have; `control.roles` has two."""

    def __call__(self, transaction: Transaction, account: str, arn: str) -> None:
        """Raises ApiError with AWS's text for one that they may not."""
        ...


class S3Fetcher(Protocol):
    """Reads packages from an object store."""

    async def fetch(self, bucket: str, key: str, version: str | None) -> bytes:
        """Raises ApiError with AWS's text, and refuses what is larger than a package may be."""
        ...


class ImageBuilder(Protocol):
    """Makes container images startable."""

    async def build(self, uri: str, owner: str, architecture: str, progress: Callable[[str], None]) -> Image:
        """Pull, flatten and store; the result names a manifest that is stored. Called again after a restart.

        owner: ARN of the function that it is for. architecture: AWS's name. progress: told sentences now and then.
        Raises ApiError, its code one of AWS's StateReasonCodes, when the image cannot be used.
        """
        ...


class Provisioner(Protocol):
    """Keeps environments initialised ahead of invokes, as the store says; it follows the store's changes by itself."""

    def progress(self, namespace: Namespace, name: str, qualifier: str) -> Provisioning:
        """How far it is with those of a version or an alias."""
        ...


class Pollers(Protocol):
    """Reads event sources and calls functions with what it finds."""

    def supports(self, source: str) -> bool:
        """source: `sqs`, `kinesis`, `dynamodb`, `kafka`, `mq` or `docdb`."""
        ...

    def changed(self) -> None:
        """A mapping was made, changed or removed: read the store again."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotas:
    """What one account may have in one region. Sizes: bytes. Defaults are AWS's."""

    concurrency: int = 1_000
    unreserved_concurrency_min: int = 100
    code_storage: int = 300 * 1024 * 1024 * 1024
    unzipped: int = 250 * 1024 * 1024
    zipped: int = 50 * 1024 * 1024
