"""The read side of the store for the hot path: names to what runs, from memory alone.

Loaded once, then kept up to date by the changes of every write of this process (`Store.subscribe`); another process
is heard through the same `apply`, by whatever carries its changes. Nothing here waits, but `settled` and
`resolve_when_ready`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar, assert_never

from lambdad.model.arn import LATEST, Namespace, function_arn, parse_function_reference
from lambdad.model.environment import EnvironmentSpec
from lambdad.model.errors import (
    ApiError,
    access_denied,
    conflict,
    function_not_found,
    invalid_parameter,
    not_found,
)
from lambdad.model.function import IN_PROGRESS, INACTIVE, PENDING, Alias, Function, FunctionVersion, environment_spec
from lambdad.model.settings import FunctionUrl, ProvisionedConcurrency
from lambdad.model.target import Target
from lambdad.store.changes import (
    AliasChanged,
    AliasRemoved,
    Change,
    FunctionChanged,
    FunctionRemoved,
    MappingChanged,
    SettingChanged,
    TagsChanged,
    VersionChanged,
    VersionRemoved,
)
from lambdad.store.codec import decode
from lambdad.store.mappings import mapping_changed
from lambdad.store.metadata import Store, Transaction
from lambdad.store.settings import PROVISIONED, URL, Kind
from lambdad.wire.validate import Failure, matches, show, validation_error

Record = TypeVar("Record")
_NO_TAGS: Mapping[str, str] = {}

_STARTS_AHEAD = '"starts_ahead":true'
"""In the text of a version, which is not read before somebody asks for it."""

_FUNCTION_NAME = (
    r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?"
    r"(function:)?([a-zA-Z0-9-_\.]+)(:(\$LATEST(\.PUBLISHED)?|[a-zA-Z0-9-_]+))?"
)


@dataclass(frozen=True, slots=True)
class _Runnable:
    """A version with the spec of what it serves; `spec` is None before the first deployment is ready."""

    version: FunctionVersion
    spec: EnvironmentSpec | None

    @property
    def ready(self) -> EnvironmentSpec | None:
        """What can run now."""
        return None if _is_away(self.version) else self.spec


@dataclass(slots=True)
class _Entry:
    function: Function
    versions: dict[str, _Runnable | str] = field(default_factory=dict)
    """As text, as the store has it, until somebody asks: of very many versions few are ever called."""
    aliases: dict[str, Alias] = field(default_factory=dict)
    settings: dict[tuple[str, str], object] = field(default_factory=dict)
    """(kind, qualifier) → record."""

    def runnable(self, number: str, egress: str) -> _Runnable | None:
        found = self.versions.get(number)
        if isinstance(found, str):
            found = self.versions[number] = _make_runnable(decode(FunctionVersion, found), egress)
        return found

    def runnables(self, egress: str) -> Iterator[_Runnable]:
        for number in self.versions:
            found = self.runnable(number, egress)
            assert found is not None
            yield found

    def shares(self, qualifier: str, egress: str) -> Iterator[tuple[EnvironmentSpec, float]]:
        """What a version or an alias stands for, as far as it can run, with the share of requests that it gets."""
        alias = self.aliases.get(qualifier)
        if alias is None:
            weights: Mapping[str, float] = {qualifier: 1.0}
        else:
            weights = {alias.version: 1 - sum(alias.weights.values()), **alias.weights}
        for version, share in weights.items():
            runnable = self.runnable(version, egress)
            if runnable is not None and runnable.ready is not None:
                yield runnable.ready, share


class Catalogue:
    """Functions by name. Belongs to one event loop.

    egress: what network sandboxes get, a choice of the node; see `EnvironmentSpec.egress`.
    """

    def __init__(self, egress: str = "none") -> None:
        self.on_inactive: Callable[[FunctionVersion], None] = _ignore
        """Called when somebody has called a version that is Inactive, and is refused."""
        self._egress = egress
        self._entries: dict[tuple[Namespace, str], _Entry] = {}
        self._urls: dict[str, tuple[Namespace, str, str]] = {}
        self._tags: dict[str, Mapping[str, str]] = {}
        self._mapped: dict[tuple[Namespace, str], str] = {}
        self._reserved: dict[tuple[Namespace, str], int] = {}
        self._provisioned: set[tuple[Namespace, str]] = set()
        """Functions with provisioned concurrency."""
        self._ahead: dict[tuple[Namespace, str, str], None] = {}
        """Versions that are started ahead, the latest last."""
        self._waiters: dict[tuple[Namespace, str], set[asyncio.Future[None]]] = {}

    async def open(self, store: Store) -> None:
        """Load everything, and follow every change from then on. Before the first write of this process."""
        store.subscribe(self.apply)
        changes, versions = await store.read(_everything)
        self.apply([change for change in changes if isinstance(change, FunctionChanged)])
        for namespace, name, number, document in versions:
            self._entries[namespace, name].versions[number] = document
            if _STARTS_AHEAD in document:
                self._ahead[namespace, name, number] = None
        self.apply([change for change in changes if not isinstance(change, FunctionChanged)])

    def resolve(self, namespace: Namespace, name: str, qualifier: str | None, draw: float) -> Target:
        """What an invoke of `name` by somebody in `namespace` runs.

        name: a name, partial ARN or ARN, qualified or not. draw: in [0, 1), chooses the side of a weighted alias.
        Raises AWS's errors: 404 when there is no such thing, 409 when it cannot run yet.
        """
        name, qualifier = _parse(namespace, name, qualifier)
        entry = self._entries.get((namespace, name))
        if entry is None:
            raise function_not_found(function_arn(namespace, name, qualifier))
        number = qualifier or LATEST
        alias = entry.aliases.get(number)
        if alias is not None:
            number = alias.choose(draw)
        runnable = entry.runnable(number, self._egress)
        if runnable is None:
            raise function_not_found(function_arn(namespace, name, qualifier))
        version, spec = runnable.version, runnable.spec
        if spec is None or _is_away(version):
            if version.state.value == INACTIVE:
                self.on_inactive(version)
            raise _refusal(version)
        serving = version.serving
        assert serving is not None
        return Target(
            spec=spec,
            executed_version=version.version,
            invoked_arn=function_arn(namespace, name, qualifier),
            qualifier=qualifier,
            reserved_concurrency=entry.function.reserved_concurrency,
            dead_letter_arn=serving.settings.dead_letter_arn,
            tenant_isolation=serving.settings.tenancy is not None,
            recursion_allowed=entry.function.recursion == "Allow",
            durable=serving.settings.durable is not None,
        )

    def specs(self) -> Iterator[EnvironmentSpec]:
        """Of everything that can run, or could again: what other specs are made of is of no further use."""
        for entry in self._entries.values():
            for runnable in entry.runnables(self._egress):
                if runnable.spec is not None:
                    yield runnable.spec

    def runs(self, key: str) -> bool:
        """Whether something can run now on the spec with this key, which says itself whose it is."""
        account, region, name, number, revision = key.split("/", 4)
        entry = self._entries.get((Namespace(account, region), name))
        runnable = None if entry is None else entry.runnable(number, self._egress)
        return runnable is not None and runnable.ready is not None and runnable.ready.revision == revision

    def reservations(self) -> dict[tuple[Namespace, str], int]:
        """What functions have reserved, by namespace and name."""
        return dict(self._reserved)

    def provisioned(self) -> Iterator[tuple[str, ProvisionedConcurrency, tuple[tuple[EnvironmentSpec, float], ...]]]:
        """Provisioned concurrency: the qualifier, the record, and what the qualifier stands for, each with its share.

        A version that cannot run yet is left out.
        """
        for entry in (self._entries[function] for function in self._provisioned):
            for (kind, qualifier), record in entry.settings.items():
                if kind == PROVISIONED.name:
                    assert isinstance(record, ProvisionedConcurrency)
                    yield qualifier, record, tuple(entry.shares(qualifier, self._egress))

    def started_ahead(self) -> Iterator[EnvironmentSpec]:
        """What is to be initialised before anybody calls, the latest version first."""
        for namespace, name, number in reversed(self._ahead):
            runnable = self._entries[namespace, name].runnable(number, self._egress)
            if runnable is not None and runnable.ready is not None:
                yield runnable.ready

    def function(self, namespace: Namespace, name: str) -> Function | None:
        entry = self._entries.get((namespace, name))
        return None if entry is None else entry.function

    def functions(self, namespace: Namespace) -> list[Function]:
        return [entry.function for (space, _), entry in self._entries.items() if space == namespace]

    def setting(self, kind: Kind[Record], namespace: Namespace, name: str, qualifier: str) -> Record | None:
        """One record of `store.settings`. qualifier: `$LATEST`, a version or an alias (`Target.setting_key`)."""
        entry = self._entries.get((namespace, name))
        record = None if entry is None else entry.settings.get((kind.name, qualifier))
        assert record is None or isinstance(record, kind.record)
        return record

    def url(self, identity: str) -> tuple[Namespace, str, str | None, FunctionUrl] | None:
        """Whose function URL has this id: namespace, function name, alias (None for the function itself), config."""
        owner = self._urls.get(identity)
        if owner is None:
            return None
        namespace, name, qualifier = owner
        record = self.setting(URL, namespace, name, qualifier)
        assert record is not None
        return namespace, name, None if qualifier == LATEST else qualifier, record

    def tags(self, resource: str) -> Mapping[str, str]:
        """Of a function, an event source mapping or a code signing configuration. resource: its unqualified ARN."""
        return self._tags.get(resource, _NO_TAGS)

    def mapped_function(self, namespace: Namespace, uuid: str) -> str | None:
        """ARN of the function that an event source mapping calls; None if there is no such mapping."""
        return self._mapped.get((namespace, uuid))

    def is_changing(self, namespace: Namespace, name: str) -> bool:
        """Whether `$LATEST` is Pending, or an update of it is in progress."""
        entry = self._entries.get((namespace, name))
        runnable = None if entry is None else entry.runnable(LATEST, self._egress)
        return runnable is not None and _is_changing(runnable.version)

    async def settled(self, namespace: Namespace, name: str, timeout: float) -> bool:
        """Wait until `$LATEST` of the function is neither Pending nor being updated; False after `timeout` seconds.

        For callers that would rather wait a moment than tell a client to come back.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while self.is_changing(namespace, name):
                    await self._next_settlement(namespace, name)
        return not self.is_changing(namespace, name)

    async def resolve_when_ready(
        self, namespace: Namespace, name: str, qualifier: str | None, draw: float, timeout: float
    ) -> Target:
        """`resolve`, but a function that is Pending has `timeout` seconds to become ready before AWS's 409.

        Clients that invoke what they have just created, without polling for Active, then work as they are.
        """
        deadline = asyncio.get_running_loop().time() + timeout
        while True:
            try:
                return self.resolve(namespace, name, qualifier, draw)
            except ApiError as error:
                function, _ = _parse(namespace, name, qualifier)
                if error.status != 409 or not self._is_any_pending(namespace, function):
                    raise
                try:
                    async with asyncio.timeout_at(deadline):
                        await self._next_settlement(namespace, function)
                except TimeoutError:
                    raise error from None

    async def _next_settlement(self, namespace: Namespace, name: str) -> None:
        """Until a version of the function settles, or the function goes."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiters = self._waiters.setdefault((namespace, name), set())
        waiters.add(waiter)
        try:
            await waiter
        finally:
            waiters.discard(waiter)

    def _is_any_pending(self, namespace: Namespace, name: str) -> bool:
        entry = self._entries.get((namespace, name))
        runnables = () if entry is None else entry.runnables(self._egress)
        return any(runnable.version.state.value == PENDING for runnable in runnables)

    def apply(self, changes: Sequence[Change]) -> None:
        """Take over the changes of a committed write, in their order."""
        for change in changes:
            match change:
                case FunctionChanged(function):
                    entry = self._entries.get((function.namespace, function.name))
                    if entry is None:
                        self._entries[function.namespace, function.name] = _Entry(function)
                    else:
                        entry.function = function
                    self._note_reservation(function)
                case FunctionRemoved(namespace, name):
                    self._forget(namespace, name)
                case VersionChanged(version):
                    self._put_version(version)
                case VersionRemoved(namespace, name, number):
                    self._entries[namespace, name].versions.pop(number, None)
                    self._ahead.pop((namespace, name, number), None)
                case AliasChanged(alias):
                    self._entries[alias.namespace, alias.function].aliases[alias.name] = alias
                case AliasRemoved(namespace, name, alias_name):
                    self._entries[namespace, name].aliases.pop(alias_name, None)
                case SettingChanged():
                    self._put_setting(change)
                case TagsChanged(resource, tags):
                    self._put_tags(resource, tags)
                case MappingChanged(namespace, uuid, arn):
                    self._put_mapping(namespace, uuid, arn)
                case _:
                    assert_never(change)

    def _put_version(self, version: FunctionVersion) -> None:
        entry = self._entries[version.namespace, version.name]
        before, runnable = entry.runnable(version.version, self._egress), _make_runnable(version, self._egress)
        if before is not None and before.spec == runnable.spec:
            runnable = _Runnable(version, before.spec)
        entry.versions[version.version] = runnable
        key = (version.namespace, version.name, version.version)
        if version.starts_ahead:
            self._ahead[key] = None
        else:
            self._ahead.pop(key, None)
        if not _is_changing(version):
            self._wake(version.namespace, version.name)

    def _put_setting(self, change: SettingChanged) -> None:
        entry = self._entries[change.namespace, change.function]
        key = (change.kind, change.qualifier)
        before = entry.settings.pop(key, None)
        if isinstance(before, FunctionUrl):
            self._urls.pop(before.id, None)
        if change.record is not None:
            entry.settings[key] = change.record
        if change.kind == PROVISIONED.name:
            self._note_provisioned((change.namespace, change.function), entry)
        if isinstance(change.record, FunctionUrl):
            self._urls[change.record.id] = (change.namespace, change.function, change.qualifier)

    def _put_tags(self, resource: str, tags: Mapping[str, str]) -> None:
        if tags:
            self._tags[resource] = tags
        else:
            self._tags.pop(resource, None)

    def _put_mapping(self, namespace: Namespace, uuid: str, arn: str | None) -> None:
        if arn is None:
            self._mapped.pop((namespace, uuid), None)
        else:
            self._mapped[namespace, uuid] = arn

    def _forget(self, namespace: Namespace, name: str) -> None:
        entry = self._entries.pop((namespace, name), None)
        self._tags.pop(function_arn(namespace, name), None)
        self._reserved.pop((namespace, name), None)
        self._provisioned.discard((namespace, name))
        for key in [key for key in self._ahead if key[:2] == (namespace, name)]:
            del self._ahead[key]
        for record in () if entry is None else entry.settings.values():
            if isinstance(record, FunctionUrl):
                self._urls.pop(record.id, None)
        self._wake(namespace, name)

    def _note_reservation(self, function: Function) -> None:
        key = (function.namespace, function.name)
        if function.reserved_concurrency is None:
            self._reserved.pop(key, None)
        else:
            self._reserved[key] = function.reserved_concurrency

    def _note_provisioned(self, key: tuple[Namespace, str], entry: _Entry) -> None:
        if any(kind == PROVISIONED.name for kind, _ in entry.settings):
            self._provisioned.add(key)
        else:
            self._provisioned.discard(key)

    def _wake(self, namespace: Namespace, name: str) -> None:
        for waiter in self._waiters.pop((namespace, name), ()):
            if not waiter.done():
                waiter.set_result(None)


def _is_away(version: FunctionVersion) -> bool:
    """Whether it is refused although it was ready before: Inactive, or on its way back.

    One that was published a moment ago is Pending, too, and runs at once: its code is that of `$LATEST`.
    """
    state = version.state
    return state.value == INACTIVE or (state.value == PENDING and state.code == "Restoring")


def _refusal(version: FunctionVersion) -> Exception:
    """AWS's answer to who calls what cannot run now."""
    is_coming = version.state.value in (INACTIVE, PENDING)
    if is_coming and version.starts_from_snapshot(version.deployment):
        text = (
            "Lambda is initializing your function. You can invoke the function when the function state becomes Active."
        )
        return ApiError("SnapStartNotReadyException", 409, text)
    if is_coming and version.serving is not None:  # a container image, which is made ready again
        text = "Lambda is initializing your function. It will be ready to invoke shortly."
        return ApiError("CodeArtifactUserPendingException", 409, text)
    return not_ready(version.state.value)


def _ignore(version: FunctionVersion) -> None:
    del version


def not_ready(state: str) -> Exception:
    """AWS's 409 for a function that cannot run, or cannot be changed, in this state."""
    return conflict(
        f"The operation cannot be performed at this time. The function is currently in the following state: {state}"
    )


def _is_changing(version: FunctionVersion) -> bool:
    update = version.last_update
    return version.state.value == PENDING or (update is not None and update.value == IN_PROGRESS)


def _parse(namespace: Namespace, text: str, qualifier: str | None) -> tuple[str, str | None]:
    """The function's name and the qualifier, from what a caller in `namespace` wrote."""
    if ":" not in text:
        return text, qualifier
    return resolve_reference(namespace, text, qualifier)


def resolve_reference(namespace: Namespace, text: str, qualifier: str | None) -> tuple[str, str | None]:
    """The name and qualifier that a reference means to a caller in `namespace`; raises AWS's errors."""
    reference = parse_function_reference(text)
    if reference is None:
        raise validation_error([Failure(show(text), "functionName", matches(_FUNCTION_NAME))])
    if reference.region is not None and reference.region != namespace.region:
        raise not_found(f"Functions from '{reference.region}' are not reachable in this region ('{namespace.region}')")
    if reference.account is not None and reference.account != namespace.account:
        theirs = Namespace(reference.account, namespace.region)
        raise access_denied(
            f"User: arn:aws:iam::{namespace.account}:root is not authorized to access "
            f"{function_arn(theirs, reference.name, reference.qualifier)}: functions of another account "
            "cannot be reached on this platform"
        )
    if reference.qualifier is not None and qualifier is not None and reference.qualifier != qualifier:
        raise invalid_parameter("The derived qualifier from the function name does not match the specified qualifier.")
    return reference.name, qualifier if reference.qualifier is None else reference.qualifier


def _make_runnable(version: FunctionVersion, egress: str) -> _Runnable:
    serving = version.serving
    return _Runnable(version, None if serving is None else environment_spec(version, serving, egress))


def _everything(transaction: Transaction) -> tuple[list[Change], list[tuple[Namespace, str, str, str]]]:
    """The whole state: the changes that lead to it, and the versions as text."""
    changes: list[Change] = []
    changes.extend(FunctionChanged(function) for function in transaction.functions.all())
    changes.extend(AliasChanged(alias) for alias in transaction.aliases.all())
    changes.extend(transaction.settings.all())
    changes.extend(transaction.tags.all())
    changes.extend(mapping_changed(mapping) for mapping in transaction.mappings.all())
    return changes, list(transaction.functions.version_documents())
