"""Versions that nobody has called for weeks: what was made for them is taken back, until somebody calls again.

As on AWS this concerns versions that hold something besides their code: those of container images, and those with
SnapStart. Such a version becomes Inactive; whoever calls it then is refused and brings it back: Pending, then Active.
A version with provisioned environments holds them on purpose and stays Active.
Source: "Lambda function states", AWS Lambda Developer Guide; reference/aws-lambda.md 2.7.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from lambdad.control.deployment import RESTORING, Deployments, is_changing
from lambdad.control.interface import Spawn
from lambdad.model.arn import Namespace
from lambdad.model.environment import EnvironmentSpec
from lambdad.model.function import ACTIVE, INACTIVE, FunctionVersion, Status, environment_spec
from lambdad.model.settings import LastUse
from lambdad.store.codec import decode
from lambdad.store.metadata import Store, Transaction
from lambdad.store.settings import PROVISIONED, USED

IDLE = Status(value=INACTIVE, reason="The function is idle and its resources have been reclaimed.", code="Idle")
_MARKS = ('"image":{', '"snap_start":"PublishedVersions"')
"""One of them is in the text of every version that may become idle: to read all of a large store takes minutes."""


def holds_resources(version: FunctionVersion) -> bool:
    """Whether something is kept for the version besides its code."""
    serving = version.serving
    return serving is not None and (serving.package.image is not None or version.starts_from_snapshot(serving))


def is_idle(version: FunctionVersion, used: float, now: float, after: float) -> bool:
    """Whether a version is to become Inactive. used: when it was called, or first seen; epoch s. after: seconds."""
    is_settled = version.state.value == ACTIVE and not is_changing(version)
    return is_settled and holds_resources(version) and now - max(version.last_modified, used) >= after


class Idleness:
    """Looks after all versions of a node.

    after: seconds without a call. reclaim: called with the key of a spec whose version has become Inactive.
    """

    def __init__(
        self,
        store: Store,
        deployments: Deployments,
        spawn: Spawn,
        new_id: Callable[[], str],
        *,
        after: float,
        reclaim: Callable[[str], None],
    ) -> None:
        self._store = store
        self._deployments = deployments
        self._spawn = spawn
        self._new_id = new_id
        self._after = after
        self._reclaim = reclaim
        self._called: dict[int, EnvironmentSpec] = {}
        """Called since the last sweep, by identity: this is on the warm path."""

    def called(self, spec: EnvironmentSpec) -> None:
        """A version has been called."""
        if spec.image is not None or spec.initialization_type == "snap-start":
            self._called[id(spec)] = spec

    async def sweep(self, now: float) -> int:
        """Write down who was called, and make those Inactive who were not for long. Returns how many. now: epoch s."""
        called, self._called = self._called, {}
        try:
            idle = await self._store.write(lambda transaction: self._settle(transaction, list(called.values()), now))
        except BaseException:
            self._called = called | self._called  # for the next sweep: a use that is forgotten would look like none
            raise
        for version in idle:
            assert version.serving is not None
            self._reclaim(environment_spec(version, version.serving, "none").key)
        return len(idle)

    def wake(self, version: FunctionVersion, now: float) -> None:
        """Somebody has called an Inactive version: bring it back."""
        self._spawn(self._wake(version, now))

    async def _wake(self, version: FunctionVersion, now: float) -> None:
        def begin(transaction: Transaction) -> FunctionVersion | None:
            current = transaction.functions.version(version.namespace, version.name, version.version)
            if current is None or current.state.value != INACTIVE:
                return None
            current = replace(current, state=RESTORING, revision_id=self._new_id())
            transaction.functions.put_version(current)
            _note_use(transaction, version.namespace, version.name, version.version, now)
            return current

        woken = await self._store.write(begin)
        if woken is not None:
            self._deployments.start(woken)

    def _settle(self, transaction: Transaction, called: list[EnvironmentSpec], now: float) -> list[FunctionVersion]:
        for spec in called:
            if transaction.functions.version(spec.namespace, spec.function_name, spec.version) is not None:
                _note_use(transaction, spec.namespace, spec.function_name, spec.version, now)
        idle = [version for version in _candidates(transaction) if self._is_idle(transaction, version, now)]
        for version in idle:
            transaction.functions.put_version(replace(version, state=IDLE, revision_id=self._new_id()))
        return idle

    def _is_idle(self, transaction: Transaction, version: FunctionVersion, now: float) -> bool:
        use = transaction.settings.get(USED, version.namespace, version.name, version.version)
        if use is None:  # seen for the first time: who called it before is not known
            if holds_resources(version):
                _note_use(transaction, version.namespace, version.name, version.version, now)
            return False
        if not is_idle(version, use.at, now, self._after):
            return False
        return not transaction.settings.of_function(PROVISIONED, version.namespace, version.name)


def _candidates(transaction: Transaction) -> Iterator[FunctionVersion]:
    # All are read before the first is dealt with, which writes; only these few are held.
    documents = [text for *_, text in transaction.functions.version_documents() if any(mark in text for mark in _MARKS)]
    return (decode(FunctionVersion, document) for document in documents)


def _note_use(transaction: Transaction, namespace: Namespace, name: str, version: str, now: float) -> None:
    transaction.settings.put(USED, namespace, name, version, LastUse(at=now))
