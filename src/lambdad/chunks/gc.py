"""The collector: observe → plan (pure) → print → execute.

Nothing counts references, and nothing is deleted chunk by chunk: old roots die whole, after what is still wanted has
been copied out of them (`roots.py` has the states). It needs no keys.

Safe under a crash at any step: every step checks again what it relies on, does the part that can be repeated first, and
writes the word that makes it count last. Safe beside uploads: they write into active roots only, and a root that is
retired under one stays open for `grace_s`, which must be longer than any upload takes. Safe beside another collector.
Deletion stops for good at the first read of an expired root, until somebody removes the alarm.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

from lambdad.chunks.interface import ChunkError, ChunkInvalid, ChunkName, name_of
from lambdad.chunks.manifest import ManifestInvalid, parse_manifest
from lambdad.chunks.objects import ObjectMissing, Objects
from lambdad.chunks.origin import chunk_path, manifest_path
from lambdad.chunks.roots import (
    Root,
    RootState,
    alarm_path,
    encode_root,
    load_root,
    load_roots,
    new_root,
    root_path,
)

LiveManifests = Callable[[], Awaitable[frozenset[str]]]
"""Digests of every manifest that a function version refers to, now. Asked again before anything expires."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GcPolicy:
    """Seconds. active_s: age at which the active root is retired. grace_s: shortest time in RETIRED; longer than any
    upload. expired_s: how long an expired root is watched for reads before it is deleted.
    """

    active_s: float = 7 * 86_400
    grace_s: float = 86_400
    expired_s: float = 7 * 86_400


@dataclass(frozen=True, slots=True)
class CreateRoot:
    root: Root


@dataclass(frozen=True, slots=True)
class RetireRoot:
    root: str


@dataclass(frozen=True, slots=True)
class MigrateManifest:
    digest: str
    source: str
    target: str


@dataclass(frozen=True, slots=True)
class ExpireRoot:
    root: str


@dataclass(frozen=True, slots=True)
class DeleteRoot:
    root: str


@dataclass(frozen=True, slots=True)
class Hold:
    """Nothing is done about the root, and this is why. `root` empty: nothing at all is expired or deleted."""

    root: str
    reason: str


Step = CreateRoot | RetireRoot | MigrateManifest | ExpireRoot | DeleteRoot | Hold


@dataclass(frozen=True, slots=True)
class Observed:
    """What is there. manifests: digests by root. alarms: roots that were read after they expired."""

    roots: tuple[Root, ...]
    manifests: Mapping[str, frozenset[str]]
    alarms: frozenset[str]


async def observe(objects: Objects) -> Observed:
    """Read roots, manifests' names and alarms. Raises `RootsInvalid`, `StoreUnavailable`."""
    roots = await load_roots(objects)
    manifests = {}
    for root in roots:
        manifests[root.id] = frozenset([digest async for digest in _list(objects, f"{root.id}/manifests")])
    alarms = frozenset([root_id async for root_id in _list(objects, "alarms")])
    return Observed(roots, manifests, alarms)


def plan_collection(observed: Observed, live: frozenset[str], policy: GcPolicy, now: float) -> tuple[Step, ...]:
    """What to do now. Pure. Run again and again (hourly, say): each run does what has become possible."""
    steps: list[Step] = []
    active = [root for root in observed.roots if root.state is RootState.ACTIVE]
    young = [root for root in active if now - root.since < policy.active_s]
    target = young[0] if young else new_root(now)
    if not young:
        steps.append(CreateRoot(target))
        steps += [RetireRoot(root.id) for root in active if root.id != target.id]
    kept = frozenset().union(*(observed.manifests[root.id] for root in young)) if young else frozenset()
    found = frozenset().union(*observed.manifests.values()) if observed.manifests else frozenset()
    lost = live - found
    if lost:
        reason = f"{len(lost)} wanted manifests are in no root, {min(lost)} among them"
        steps.append(Hold("", f"{reason}: nothing is expired or deleted until that is explained"))
    planned: set[str] = set()
    for root in observed.roots:
        if root.state is RootState.RETIRED:
            wanted = sorted((live & observed.manifests[root.id]) - kept - planned)
            planned.update(wanted)
            steps += [MigrateManifest(digest, root.id, target.id) for digest in wanted]
        if not lost:
            steps += _end_of_life(root, observed, policy, now)
    return tuple(steps)


def _end_of_life(root: Root, observed: Observed, policy: GcPolicy, now: float) -> list[Step]:
    age = now - root.since
    match root.state:
        case RootState.ACTIVE:
            return []
        case RootState.RETIRED:
            if age < policy.grace_s:
                return [Hold(root.id, f"retired {age:.0f} s ago: uploads into it may still end")]
            return [ExpireRoot(root.id)]
        case RootState.EXPIRED | RootState.DELETING:
            if root.id in observed.alarms:
                return [Hold(root.id, f"read after it expired: see {alarm_path(root.id)}, find the reader, remove it")]
            if root.state is RootState.EXPIRED and age < policy.expired_s:
                return [Hold(root.id, f"expired {age:.0f} s ago: watched for reads")]
            return [DeleteRoot(root.id)]
    assert_never(root.state)


def plan_in_one_go(observed: Observed, live: frozenset[str], now: float) -> tuple[Step, ...]:
    """The same without time between a root's states, for a store that nobody reads or writes meanwhile. Pure.

    What is wanted is copied to a new root, the others end. The new root is younger than all others, also if the clock
    went back.
    """
    lost = live - frozenset().union(*observed.manifests.values())
    if lost:
        return (Hold("", f"{len(lost)} wanted manifests are in no root, {min(lost)} among them"),)
    youngest = max((int(root.id[1:]) for root in observed.roots), default=0)
    target = new_root(max(now, youngest + 1))
    steps: list[Step] = [CreateRoot(target)]
    steps += [RetireRoot(root.id) for root in observed.roots if root.state is RootState.ACTIVE]
    planned: set[str] = set()
    for root in observed.roots:
        wanted = sorted((live & observed.manifests[root.id]) - planned)
        planned.update(wanted)
        steps += [MigrateManifest(digest, root.id, target.id) for digest in wanted]
    for root in observed.roots:
        if root.id in observed.alarms:
            steps.append(Hold(root.id, f"read after it expired: see {alarm_path(root.id)}, find the reader, remove it"))
            continue
        if root.state in (RootState.ACTIVE, RootState.RETIRED):
            steps.append(ExpireRoot(root.id))
        steps.append(DeleteRoot(root.id))
    return tuple(steps)


def describe(step: Step) -> str:
    """One line for people."""
    match step:
        case CreateRoot(root):
            return f"create root {root.id}; new uploads go there"
        case RetireRoot(root):
            return f"retire root {root}: no new uploads"
        case MigrateManifest(digest, source, target):
            return f"copy manifest {digest[:16]} and its chunks from {source} to {target}"
        case ExpireRoot(root):
            return f"expire root {root}: everything wanted is elsewhere"
        case DeleteRoot(root):
            return f"delete root {root} and all in it"
        case Hold(root, reason):
            return f"leave {root or 'everything'}: {reason}"
    assert_never(step)


def summarize(steps: Sequence[Step]) -> list[str]:
    """The steps in lines, manifests by number: whose they are is nobody else's business."""
    lines: list[str] = []
    copies: Counter[tuple[str, str]] = Counter()
    for step in steps:
        if isinstance(step, MigrateManifest):
            copies[step.source, step.target] += 1
    for step in steps:
        if not isinstance(step, MigrateManifest):
            lines.append(describe(step))
        elif count := copies.pop((step.source, step.target), 0):
            lines.append(f"copy {count} wanted manifests and their chunks from {step.source} to {step.target}")
    return lines


@dataclass(slots=True)
class GcCounts:
    """What a collection has done. copied: bytes."""

    copied_chunks: int = 0
    copied: int = 0
    deleted_objects: int = 0


class Collector:
    """Executes plans. `live` is asked again at the moment of truth."""

    def __init__(self, objects: Objects, live: LiveManifests, policy: GcPolicy) -> None:
        self._objects = objects
        self._live = live
        self._policy = policy
        self.counts = GcCounts()

    async def plan(self, now: float) -> tuple[Step, ...]:
        return plan_collection(await observe(self._objects), await self._live(), self._policy, now)

    async def plan_at_once(self, now: float) -> tuple[Step, ...]:
        """For a store that nobody else uses until the plan is executed; empty if nothing can be freed."""
        observed, live = await observe(self._objects), await self._live()
        return () if await self._is_tidy(observed, live) else plan_in_one_go(observed, live, now)

    async def execute(self, steps: Sequence[Step], now: float) -> None:
        """Do the steps in order. Raises `ChunkError` at the first that fails; running a new plan goes on from there."""
        for step in steps:
            match step:
                case CreateRoot(root):
                    await self._objects.create(root_path(root.id), encode_root(root))
                case RetireRoot(root):
                    await self._move(root, RootState.ACTIVE, RootState.RETIRED, now)
                case MigrateManifest(digest, source, target):
                    await self._migrate(digest, source, target)
                case ExpireRoot(root):
                    await self._expire(root, now)
                case DeleteRoot(root):
                    await self._delete(root, now)
                case Hold():
                    pass
                case _:
                    assert_never(step)

    async def _is_tidy(self, observed: Observed, live: frozenset[str]) -> bool:
        """Whether the only root has the wanted manifests, their chunks, and nothing else."""
        if len(observed.roots) != 1:
            return not observed.roots and not live
        root = observed.roots[0]
        if root.state is not RootState.ACTIVE or observed.manifests[root.id] != live:
            return False
        needed: set[str] = set()
        for digest in live:
            try:
                index = parse_manifest(await self._objects.get(manifest_path(root.id, digest)))
            except (ObjectMissing, ManifestInvalid) as error:
                raise ChunkError(f"manifest {digest} of root {root.id} is damaged: {error}") from error
            needed.update(chunk_path(root.id, chunk) for chunk in index.names())
        async for path in self._objects.list(f"{root.id}/chunks"):
            if path not in needed:
                return False
        return True

    async def _move(self, root: str, old: RootState, new: RootState, now: float) -> bool:
        record = await load_root(self._objects, root)
        if record is None or record.state is not old:
            return False
        await self._objects.put(root_path(root), encode_root(Root(root, new, now)))
        return True

    async def _migrate(self, digest: str, source: str, target: str) -> None:
        try:
            manifest = await self._objects.get(manifest_path(source, digest))
            index = parse_manifest(manifest)
        except (ObjectMissing, ManifestInvalid) as error:
            raise ChunkError(f"manifest {digest} of root {source} cannot be copied: {error}") from error
        if index.digest != digest:
            raise ChunkError(f"manifest {digest} of root {source} is damaged: nothing is expired until it is repaired")
        for name in dict.fromkeys(index.names()):
            await self._copy_chunk(name, source, target)
        # Last: from here on the manifest is in the target, with all its chunks.
        await self._objects.put(manifest_path(target, digest), manifest)

    async def _copy_chunk(self, name: ChunkName, source: str, target: str) -> None:
        if await self._objects.head(chunk_path(target, name)):
            return
        try:
            data = await self._objects.get(chunk_path(source, name))
        except ObjectMissing:
            raise ChunkError(f"chunk {name.hex()} of root {source} is lost: it cannot be copied to {target}") from None
        if name_of(data) != name:
            raise ChunkInvalid(name, f"root {source}", "the hash of the bytes is not the name")
        await self._objects.put(chunk_path(target, name), data)
        self.counts.copied_chunks += 1
        self.counts.copied += len(data)

    async def _expire(self, root: str, now: float) -> None:
        """Only if everything wanted is in a root that stays, as of now and not as of the plan."""
        observed = await observe(self._objects)
        kept: frozenset[str] = frozenset()
        for other in observed.roots:
            if other.state is RootState.ACTIVE and other.id != root:
                kept |= observed.manifests[other.id]
        if (await self._live()) & observed.manifests.get(root, frozenset()) <= kept:
            await self._move(root, RootState.RETIRED, RootState.EXPIRED, now)

    async def _delete(self, root: str, now: float) -> None:
        await self._move(root, RootState.EXPIRED, RootState.DELETING, now)
        record = await load_root(self._objects, root)
        if record is None or record.state is not RootState.DELETING:
            return
        for folder in ("traces", "manifests", "chunks"):
            async for path in self._objects.list(f"{root}/{folder}"):
                if self.counts.deleted_objects % 256 == 0 and await self._objects.head(alarm_path(root)) is not None:
                    raise ChunkError(f"root {root} was read while it was being deleted: deletion stopped")
                await self._objects.delete(path)
                self.counts.deleted_objects += 1
        # Last: as long as the record is there, the next run finds the rest.
        await self._objects.delete(root_path(root))


async def _list(objects: Objects, folder: str) -> AsyncIterator[str]:
    async for path in objects.list(folder):
        yield path.rpartition("/")[2]
