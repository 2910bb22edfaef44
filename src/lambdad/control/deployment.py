"""From asked for to running: drives Pending to Active or Failed, and InProgress to Successful or Failed.

A deployment that is asked for is in the store before it is driven, so a restart drives it on. What invokes run
(`FunctionVersion.serving`) changes only when a deployment is ready.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from lambdad.control.interface import Preparer, Spawn
from lambdad.model.function import (
    ACTIVE,
    FAILED,
    IN_PROGRESS,
    PENDING,
    SUCCESSFUL,
    Deployment,
    FunctionVersion,
    Status,
)
from lambdad.store.metadata import Store, Transaction

logger = logging.getLogger(__name__)

CREATING = Status(value=PENDING, reason="The function is being created.", code="Creating")
UPDATING = Status(value=IN_PROGRESS, reason="The function is being created.", code="Creating")
"""AWS gives an update the reason of a creation."""


class Deployments:
    """Drives deployments in the background. new_id: makes revision ids."""

    def __init__(self, store: Store, preparer: Preparer, spawn: Spawn, new_id: Callable[[], str]) -> None:
        self._store = store
        self._preparer = preparer
        self._spawn = spawn
        self._new_id = new_id

    def start(self, version: FunctionVersion) -> None:
        """Drive what `version` asks for, if it is on its way; it is in the store already."""
        if is_changing(version):
            self._spawn(self._drive(version))

    async def resume(self) -> None:
        """Drive on what an earlier process left unfinished."""
        for version in await self._store.read(_unfinished):
            self.start(version)

    async def _drive(self, version: FunctionVersion) -> None:
        settings, package = version.settings, version.package
        codes = (() if package.code is None else (package.code,)) + tuple(layer.code for layer in settings.layers)
        try:
            reason = await self._preparer.prepare(settings.runtime, codes)
        except Exception as error:
            # Preparing only saves the first start its time: without a worker just now, that start will do it.
            logger.warning("action=prepare function=%s error=%s", version.arn, error)
            reason = None
        try:
            await self._store.write(lambda transaction: self._settle(transaction, version, reason))
        except Exception:
            logger.exception("action=settle function=%s", version.arn)

    def _settle(self, transaction: Transaction, asked: FunctionVersion, reason: str | None) -> None:
        version = transaction.functions.version(asked.namespace, asked.name, asked.version)
        if version is None or version.deployment.id != asked.deployment.id:
            return  # Deleted, or replaced by a newer update that has its own driver.
        transaction.functions.put_version(replace(settled(version, reason), revision_id=self._new_id()))


def settled(version: FunctionVersion, reason: str | None) -> FunctionVersion:
    """`version` after its deployment became ready, or could not for `reason`."""
    if reason is None:
        return replace(
            version,
            serving=version.deployment,
            state=Status(value=ACTIVE),
            last_update=Status(value=SUCCESSFUL) if version.version == "$LATEST" else version.last_update,
        )
    if version.state.value == PENDING:
        return replace(version, state=Status(value=FAILED, reason=reason, code="InvalidConfiguration"))
    return replace(version, last_update=Status(value=FAILED, reason=reason, code="InvalidConfiguration"))


def asked(version: FunctionVersion, deployment: Deployment, revision_id: str, now: float) -> FunctionVersion:
    """`version` when an update to `deployment` has been asked for and is on its way."""
    return replace(version, deployment=deployment, revision_id=revision_id, last_modified=now, last_update=UPDATING)


def _unfinished(transaction: Transaction) -> list[FunctionVersion]:
    return [version for version in transaction.functions.all_versions() if is_changing(version)]


def is_changing(version: FunctionVersion) -> bool:
    """Whether a deployment of it is on its way."""
    return version.state.value == PENDING or (
        version.last_update is not None and version.last_update.value == IN_PROGRESS
    )
