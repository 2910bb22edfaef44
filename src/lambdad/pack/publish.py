"""One build to many places: planned → published → permitted → verified, each place by itself.

Safe to run again at any time. A version is found by the digest in its description and confirmed by its CodeSha256
before anything is published, so a lost answer, a crash or a second run never makes a second version. Each step is
written to the journal before and after. A place that fails never stops another. Threads carry the blocking clients;
the decisions are in `Publisher._advance`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from threading import Lock
from typing import Protocol

from lambdad.pack.errors import PackError
from lambdad.pack.releases import Placed

PARALLEL = 6
ATTEMPTS = 6
DELAY_S = 0.5
DELAY_MAX_S = 20.0
JOURNAL_MAX = 64 * 1024 * 1024


class State(StrEnum):
    """How far a place is; in this order."""

    PLANNED = "planned"
    PUBLISHED = "published"
    PERMITTED = "permitted"
    VERIFIED = "verified"


class Retryable(Exception):
    """It may work next time; whether this time had an effect is unknown (timeout, throttle, 5xx, disconnect)."""


class Refused(Exception):
    """It will not work next time either (access denied, invalid request)."""


class Gone(Refused):
    """There is no such version (any more)."""


@dataclass(frozen=True, slots=True)
class Version:
    """A layer version as a service lists it."""

    number: int
    arn: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """What is published. code_sha256: base64 of the zip's SHA-256; principals: who may use it: `*`, account numbers."""

    name: str
    zip_path: Path
    size: int
    code_sha256: str
    content_digest: str
    description: str
    licence: str
    runtimes: tuple[str, ...]
    arch: str
    principals: tuple[str, ...]

    @property
    def mark(self) -> str:
        """What names the content inside a version's description."""
        return f"sha256:{self.content_digest[:16]}"

    @property
    def full_description(self) -> str:
        """At most 256 characters, the mark at the end."""
        text = self.description[: 256 - len(self.mark) - 3]
        return f"{text} | {self.mark}" if text else self.mark


class LayerService(Protocol):
    """The Lambda API of one region and account. Every method raises Retryable or Refused; of a version, Gone."""

    def versions(self, name: str) -> Iterable[Version]:
        """All versions of a layer, newest first; none if there is no such layer."""
        ...

    def code_sha256(self, name: str, number: int) -> str: ...

    def publish(self, package: Package) -> Version: ...

    def principals(self, name: str, number: int) -> frozenset[str]:
        """Who may use a version."""
        ...

    def permit(self, name: str, number: int, principal: str) -> None:
        """Allow a principal; allowed already is no error."""
        ...


class Journal:
    """Append-only file of steps, one JSON object a line, on disk before the step's effect. path None: memory only."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = Lock()

    def write(self, entry: Mapping[str, object]) -> None:
        if self._path is None:
            return
        with self._lock, self._path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(entry) + "\n")
            stream.flush()
            os.fsync(stream.fileno())

    def replay(self, code_sha256: str) -> dict[str, Placed]:
        """The last known state of each place for one build; a torn last line is ignored."""
        found: dict[str, Placed] = {}
        if self._path is None or not self._path.exists():
            return found
        if self._path.stat().st_size > JOURNAL_MAX:
            raise PackError(f"{self._path} is larger than {JOURNAL_MAX} bytes: remove it, what it says is found again")
        for line in self._path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                entry = json.loads(line)
                if entry["code"] == code_sha256 and entry["state"] in set(State):
                    found[entry["place"]] = Placed(
                        entry["state"], int(entry["version"]), str(entry["arn"]), str(entry["at"])
                    )
            except (ValueError, KeyError, TypeError):
                continue
        return found


@dataclass(slots=True)
class Publisher:
    """Brings one package to many places.

    services: by place; clock: ISO time for the records; sleep: seconds; jitter: a number in [0, 1).
    changed: called with place and record after every change, from any thread, one at a time.
    """

    package: Package
    services: Mapping[str, LayerService]
    journal: Journal
    clock: Callable[[], str]
    sleep: Callable[[float], None]
    jitter: Callable[[], float]
    changed: Callable[[str, Placed], None] = lambda place, placed: None
    parallel: int = PARALLEL
    attempts: int = ATTEMPTS
    _lock: Lock = field(default_factory=Lock)

    def run(self, known: Mapping[str, Placed]) -> dict[str, Placed]:
        """The record of every place at the end; one with an `error` is not finished and can be run again."""
        start = {**known, **self.journal.replay(self.package.code_sha256)}
        with ThreadPoolExecutor(max_workers=max(1, self.parallel)) as pool:
            futures = {
                place: pool.submit(self._bring, place, service, start.get(place, Placed()))
                for place, service in self.services.items()
            }
            return {place: future.result() for place, future in futures.items()}

    def _bring(self, place: str, service: LayerService, placed: Placed) -> Placed:
        failures = 0
        order = list(State)
        placed = Placed(placed.state, placed.version, placed.arn, placed.at)
        if placed.state == State.VERIFIED:
            placed = Placed(State.PERMITTED, placed.version, placed.arn, placed.at)  # verify again: it costs two reads
        while placed.state != State.VERIFIED:
            try:
                following = self._advance(service, placed)
                if order.index(State(following.state)) < order.index(State(placed.state)):
                    placed = following
                    raise Retryable("what was done before is not there any more")
            except Refused as refusal:
                return self._record(place, placed, str(refusal))
            except Retryable as failure:
                failures += 1
                if failures >= self.attempts:
                    return self._record(place, placed, f"gave up after {failures} attempts: {failure}")
                delay = min(DELAY_MAX_S, DELAY_S * 2 ** (failures - 1))
                self.sleep(delay * (0.5 + self.jitter() / 2))
                continue
            placed = self._record(place, following, "")
        return placed

    def _advance(self, service: LayerService, placed: Placed) -> Placed:
        """One step from `placed`. Every step may be repeated without harm."""
        package = self.package
        match State(placed.state):
            case State.PLANNED:
                version = self._adopt(service) or service.publish(package)
                return Placed(State.PUBLISHED, version.number, version.arn, self.clock())
            case State.PUBLISHED:
                missing = set(package.principals) - service.principals(package.name, placed.version)
                for principal in sorted(missing):
                    service.permit(package.name, placed.version, principal)
                return Placed(State.PERMITTED, placed.version, placed.arn, self.clock())
            case State.PERMITTED | State.VERIFIED:
                return self._verify(service, placed)

    def _adopt(self, service: LayerService) -> Version | None:
        for version in service.versions(self.package.name):
            if self.package.mark not in version.description:
                continue
            try:
                digest = service.code_sha256(self.package.name, version.number)
            except Gone:
                continue  # deleted since it was listed
            if digest == self.package.code_sha256:
                return version
        return None

    def _verify(self, service: LayerService, placed: Placed) -> Placed:
        package = self.package
        try:
            digest = service.code_sha256(package.name, placed.version)
        except Gone:
            return Placed()  # somebody deleted it: begin again, numbers are never reused
        if digest != package.code_sha256:
            return Placed()
        if set(package.principals) - service.principals(package.name, placed.version):
            return Placed(State.PUBLISHED, placed.version, placed.arn, placed.at)
        return Placed(State.VERIFIED, placed.version, placed.arn, self.clock())

    def _record(self, place: str, placed: Placed, error: str) -> Placed:
        done = Placed(placed.state, placed.version, placed.arn, placed.at, error)
        with self._lock:
            self.journal.write(
                {
                    "code": self.package.code_sha256,
                    "layer": self.package.name,
                    "place": place,
                    "state": str(placed.state),
                    "version": placed.version,
                    "arn": placed.arn,
                    "at": placed.at,
                    "error": error,
                }
            )
            self.changed(place, done)
        return done
