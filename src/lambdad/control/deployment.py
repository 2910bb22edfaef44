"""From asked for to running: drives Pending to Active or Failed, and InProgress to Successful or Failed.

A deployment that is asked for is in the store before it is driven, so a restart drives it on. What invokes run
(`FunctionVersion.serving`) changes only when a deployment is ready.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from lambdad.control.interface import ImageBuilder, Preparer, Spawn
from lambdad.model.arn import function_arn
from lambdad.model.environment import Image, SnapshotFailure
from lambdad.model.errors import ApiError
from lambdad.model.function import (
    ACTIVE,
    FAILED,
    IN_PROGRESS,
    INACTIVE,
    PENDING,
    SUCCESSFUL,
    Deployment,
    FunctionVersion,
    Status,
)
from lambdad.store.metadata import Store, Transaction

logger = logging.getLogger(__name__)

CREATING = Status(value=PENDING, reason="The function is being created.", code="Creating")
RESTORING = Status(value=PENDING, reason="The function is being restored.", code="Restoring")
IMAGE_REASONS = frozenset({"InvalidImage", "ImageAccessDenied", "ImageDeleted", "InternalError"})
UPDATING = Status(value=IN_PROGRESS, reason="The function is being created.", code="Creating")
"""AWS gives an update the reason of a creation."""


class Deployments:
    """Drives deployments in the background. new_id: makes revision ids."""

    def __init__(
        self,
        store: Store,
        preparer: Preparer,
        spawn: Spawn,
        new_id: Callable[[], str],
        images: ImageBuilder | None = None,
    ) -> None:
        self._store = store
        self._preparer = preparer
        self._spawn = spawn
        self._new_id = new_id
        self._images = images

    def start(self, version: FunctionVersion) -> None:
        """Drive what `version` asks for, if it is on its way; it is in the store already."""
        if is_changing(version):
            self._spawn(self._drive(version))

    async def resume(self) -> None:
        """Drive on what an earlier process left unfinished."""
        for version in await self._store.read(_unfinished):
            self.start(version)

    async def _drive(self, version: FunctionVersion) -> None:
        try:
            ready, failure = await self._make_ready(version)
            await self._store.write(lambda transaction: self._settle(transaction, ready, failure))
        except Exception:
            logger.exception("action=deploy function=%s", version.arn)

    async def _make_ready(self, version: FunctionVersion) -> tuple[FunctionVersion, Failure | None]:
        """`version` with what was found out about its package, and why it cannot run if it cannot."""
        settings, package = version.settings, version.package
        if package.image is not None:
            return await self._build(version, package.image)
        assert package.code is not None
        codes = (package.code, *(layer.code for layer in settings.layers))
        try:
            reason = await self._preparer.prepare(settings.runtime, codes)
        except Exception as error:
            # Preparing only saves the first start its time: without a worker just now, that start will do it.
            logger.warning("action=prepare function=%s error=%s", version.arn, error)
            reason = None
        if reason is not None:
            return version, Failure(reason, "InvalidConfiguration")
        return await self._capture(version)

    async def _capture(self, version: FunctionVersion) -> tuple[FunctionVersion, Failure | None]:
        """Make the snapshot of a version with SnapStart; its init phase decides whether it can run."""
        if not version.starts_from_snapshot(version.deployment):
            return version, None
        try:
            failure = await self._preparer.snapshot(version)
        except Exception as error:
            logger.exception("action=snapshot function=%s", version.arn)
            failure = SnapshotFailure(code="", reason=str(error))
        if failure is None:  # whatever there was no snapshot for when it was made ready the last time
            return replace(version, why_no_snapshot="", starts_ahead=False), None
        if failure.code:
            return version, Failure(failure.reason, failure.code)
        return replace(version, why_no_snapshot=failure.reason, starts_ahead=failure.ahead), None

    async def _build(self, version: FunctionVersion, image: Image) -> tuple[FunctionVersion, Failure | None]:
        if image.manifest_sha256:
            return await self._capture(version)
        if self._images is None:
            return version, Failure("This node does not run container images.", "InvalidImage")
        try:
            built = await self._images.build(
                image.uri,
                function_arn(version.namespace, version.name),
                version.deployment.package.architecture,
                lambda text: self._spawn(self._tell_progress(version, text)),
            )
        except ApiError as error:
            return version, Failure(error.message, error.code if error.code in IMAGE_REASONS else "InvalidImage")
        except Exception as error:
            logger.exception("action=build image=%s", image.uri)
            return version, Failure(f"The image {image.uri} could not be made ready: {error}", "InternalError")
        deployment = replace(version.deployment, package=replace(version.package, image=built))
        return await self._capture(replace(version, deployment=deployment))

    async def _tell_progress(self, version: FunctionVersion, text: str) -> None:
        """Say in the state's reason how far a long build is; not a change of the function, so no new revision."""

        def note(transaction: Transaction) -> None:
            current = transaction.functions.version(version.namespace, version.name, version.version)
            if current is None or current.deployment.id != version.deployment.id or not is_changing(current):
                return
            if current.state.value == PENDING:
                current = replace(current, state=replace(current.state, reason=text))
            elif current.last_update is not None:
                current = replace(current, last_update=replace(current.last_update, reason=text))
            transaction.functions.put_version(current)

        await self._store.write(note)

    def _settle(self, transaction: Transaction, ready: FunctionVersion, failure: Failure | None) -> None:
        version = transaction.functions.version(ready.namespace, ready.name, ready.version)
        if version is None or version.deployment.id != ready.deployment.id:
            return  # Deleted, or replaced by a newer update that has its own driver.
        version = replace(version, deployment=ready.deployment, revision_id=self._new_id())
        version = replace(version, why_no_snapshot=ready.why_no_snapshot, starts_ahead=ready.starts_ahead)
        transaction.functions.put_version(settled(version, failure))


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a deployment cannot run. code: a value of StateReasonCode."""

    reason: str
    code: str


def settled(version: FunctionVersion, failure: Failure | None) -> FunctionVersion:
    """`version` after its deployment became ready, or could not."""
    if failure is None:
        return replace(
            version,
            serving=version.deployment,
            state=Status(value=ACTIVE, reason=_without_snapshot(version)),
            last_update=Status(value=SUCCESSFUL),
        )
    failed = Status(value=FAILED, reason=failure.reason, code=failure.code)
    if version.state == RESTORING:  # it goes back to where it was, as on AWS
        return replace(version, state=replace(failed, value=INACTIVE))
    if version.state.value == PENDING:
        return replace(version, state=failed)
    return replace(version, last_update=failed)


def _without_snapshot(version: FunctionVersion) -> str | None:
    """AWS has no such case, and gives an Active function no reason."""
    why = version.why_no_snapshot
    if not why:
        return None
    if version.starts_ahead:
        return f"SnapStart keeps an environment initialised ahead, for there is no snapshot: {why}."
    return f"SnapStart is not applied: {why}."


def asked(version: FunctionVersion, deployment: Deployment, revision_id: str, now: float) -> FunctionVersion:
    """`version` when an update to `deployment` has been asked for and is on its way."""
    return replace(version, deployment=deployment, revision_id=revision_id, last_modified=now, last_update=UPDATING)


def _unfinished(transaction: Transaction) -> list[FunctionVersion]:
    return [version for version in transaction.functions.maybe_changing() if is_changing(version)]


def is_changing(version: FunctionVersion) -> bool:
    """Whether a deployment of it is on its way."""
    return version.state.value == PENDING or (
        version.last_update is not None and version.last_update.value == IN_PROGRESS
    )
