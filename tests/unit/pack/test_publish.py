"""Publishing under every kind of failure, at every step, in five regions: one version per digest and region."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from lambdad.pack.publish import Gone, Journal, Package, Publisher, Refused, Retryable, State, Version
from lambdad.pack.releases import Placed

REGIONS = ("us-east-1", "eu-west-1", "eu-central-1", "ap-south-1", "sa-east-1")
OPERATIONS = ("versions", "code_sha256", "publish", "principals", "permit")
FAILURES = ("timeout before", "timeout after", "throttled", "broken", "disconnected", "denied", "killed")


class Killed(BaseException):
    """The publishing process dies here."""


class Region:
    """Lambda in one region. fail: (operation, number of the call, kind), or None."""

    def __init__(self, name: str, fail: tuple[str, int, str] | None = None, first: int = 1) -> None:
        self.name = name
        self.fail = fail
        self.stored: dict[int, tuple[Version, str]] = {}
        self.policies: dict[int, set[str]] = {}
        self.next = first
        self.calls: dict[str, int] = {}
        self.order: list[str] = []

    def _enter(self, operation: str) -> bool:
        """Whether to fail after the effect."""
        self.calls[operation] = self.calls.get(operation, 0) + 1
        self.order.append(operation)
        if self.fail is None or self.fail[:2] != (operation, self.calls[operation]):
            return False
        kind = self.fail[2]
        if kind == "denied":
            raise Refused("AccessDeniedException")
        if kind == "killed" or kind.endswith("after"):
            return True
        raise Retryable(kind)

    def _leave(self, late: bool) -> None:
        if late:
            assert self.fail is not None
            if self.fail[2] == "killed":
                raise Killed
            raise Retryable("read timeout")

    def versions(self, name: str):
        late = self._enter("versions")
        self._leave(late)
        return [version for version, _ in reversed(self.stored.values())]

    def code_sha256(self, name: str, number: int) -> str:
        late = self._enter("code_sha256")
        self._leave(late)
        if number not in self.stored:
            raise Gone("ResourceNotFoundException")
        return self.stored[number][1]

    def publish(self, package: Package) -> Version:
        late = self._enter("publish")
        number, self.next = self.next, self.next + 1
        version = Version(number, f"arn:aws:lambda:{self.name}:1:layer:x:{number}", package.full_description)
        self.stored[number] = (version, package.code_sha256)
        self._leave(late)
        return version

    def principals(self, name: str, number: int) -> frozenset[str]:
        late = self._enter("principals")
        self._leave(late)
        return frozenset(self.policies.get(number, ()))

    def permit(self, name: str, number: int, principal: str) -> None:
        late = self._enter("permit")
        self.policies.setdefault(number, set()).add(principal)
        self._leave(late)


def package(code: str = "aaaa", digest: str = "d" * 64, principals: tuple[str, ...] = ("*",)) -> Package:
    return Package(
        name="php",
        zip_path=Path("php.zip"),
        size=1,
        code_sha256=code,
        content_digest=digest,
        description="PHP",
        licence="",
        runtimes=(),
        arch="x86_64",
        principals=principals,
    )


def publisher(services, journal: Path | None = None, what: Package | None = None, **more) -> Publisher:
    return Publisher(
        package=what or package(),
        services=services,
        journal=Journal(journal),
        clock=lambda: "2026-01-01T00:00:00+00:00",
        sleep=lambda seconds: None,
        jitter=lambda: 0.5,
        **more,
    )


def run(services, journal: Path, known=None) -> dict[str, Placed]:
    """One run of the command; a killed one leaves only the journal."""
    try:
        return publisher(services, journal).run(known or {})
    except Killed:
        return {}


@pytest.mark.parametrize("kind", FAILURES)
@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_after_any_failure_anywhere_a_second_run_leaves_one_version_in_each_region(tmp_path, operation, nth, kind):
    for bad in REGIONS:
        regions = {name: Region(name, (operation, nth, kind) if name == bad else None) for name in REGIONS}
        journal = tmp_path / f"{bad}.journal"
        first = run(regions, journal)
        for name, placed in first.items():
            assert name == bad or placed.state == State.VERIFIED
        for region in regions.values():
            region.fail = None
        second = run(regions, journal)
        assert {placed.state for placed in second.values()} == {State.VERIFIED}
        for name, region in regions.items():
            assert len(region.stored) == 1, (bad, name)
            assert region.policies == {1: {"*"}}
            assert second[name].arn == f"arn:aws:lambda:{name}:1:layer:x:1"


@pytest.mark.parametrize("kind", [kind for kind in FAILURES if kind not in ("denied", "killed")])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_what_may_pass_is_tried_again_within_one_run(tmp_path, operation, kind):
    regions = {name: Region(name, (operation, 1, kind)) for name in REGIONS}
    done = run(regions, tmp_path / "journal")
    assert {placed.state for placed in done.values()} == {State.VERIFIED}
    assert [len(region.stored) for region in regions.values()] == [1] * 5


def test_a_refused_region_does_not_stop_the_others_and_says_why(tmp_path):
    regions = {name: Region(name, ("permit", 1, "denied") if name == "eu-west-1" else None) for name in REGIONS}
    done = run(regions, tmp_path / "journal")
    assert done["eu-west-1"].state == State.PUBLISHED
    assert "AccessDenied" in done["eu-west-1"].error
    assert sum(placed.state == State.VERIFIED for placed in done.values()) == 4


def test_a_second_run_publishes_nothing(tmp_path):
    regions = {name: Region(name) for name in REGIONS}
    run(regions, tmp_path / "journal")
    run(regions, tmp_path / "journal")
    assert [region.calls["publish"] for region in regions.values()] == [1] * 5


def test_without_a_journal_the_version_is_found_by_its_digest():
    region = Region("us-east-1")
    publisher({"us-east-1": region}).run({})
    assert publisher({"us-east-1": region}).run({})["us-east-1"].version == 1
    assert region.calls["publish"] == 1


def test_a_version_whose_description_matches_and_whose_bytes_do_not_is_not_adopted():
    region = Region("us-east-1")
    publisher({"us-east-1": region}, what=package(code="other")).run({})
    assert publisher({"us-east-1": region}).run({})["us-east-1"].version == 2


def test_numbers_differ_between_regions_and_each_is_kept():
    regions = {"a": Region("a", first=1), "b": Region("b", first=19)}
    done = publisher(regions).run({})
    assert {place: placed.version for place, placed in done.items()} == {"a": 1, "b": 19}


def test_a_new_region_is_filled_without_touching_the_old_ones(tmp_path):
    old = {"a": Region("a")}
    done = run(old, tmp_path / "journal")
    both = {**old, "b": Region("b")}
    run(both, tmp_path / "journal", done)
    assert old["a"].calls["publish"] == 1 and both["b"].calls["publish"] == 1


def test_a_version_that_was_deleted_is_published_again_under_a_new_number(tmp_path):
    region = Region("a")
    run({"a": region}, tmp_path / "journal")
    region.stored.clear()
    done = run({"a": region}, tmp_path / "journal")
    assert (done["a"].state, done["a"].version) == (State.VERIFIED, 2)


def test_a_permission_that_was_taken_away_is_given_again(tmp_path):
    region = Region("a")
    run({"a": region}, tmp_path / "journal")
    region.policies.clear()
    run({"a": region}, tmp_path / "journal")
    assert region.policies == {1: {"*"}}


def test_a_service_that_forgets_what_it_was_told_is_given_up():
    class Forgetful(Region):
        def principals(self, name, number):
            return frozenset()

    region = Forgetful("a")
    done = publisher({"a": region}).run({})
    assert "gave up" in done["a"].error
    assert len(region.stored) == 1


def test_attempts_are_bounded_and_wait_longer_each_time():
    class Down(Region):
        def versions(self, name):
            raise Retryable("503")

    waits: list[float] = []
    one = publisher({"a": Down("a")})
    one.sleep = waits.append
    assert "gave up after 6 attempts: 503" in one.run({})["a"].error
    assert waits == sorted(waits) and len(waits) == 5


def test_no_more_places_are_worked_on_at_once_than_allowed():
    lock, now, most = threading.Lock(), [0], [0]

    class Counting(Region):
        def publish(self, what):
            with lock:
                now[0] += 1
                most[0] = max(most[0], now[0])
            version = super().publish(what)
            with lock:
                now[0] -= 1
            return version

    publisher({str(number): Counting(str(number)) for number in range(20)}, parallel=3).run({})
    assert 1 <= most[0] <= 3


def test_changes_are_told_in_order():
    told: list[tuple[str, str]] = []
    one = publisher({"a": Region("a")})
    one.changed = lambda place, placed: told.append((place, placed.state))
    one.run({})
    assert told == [("a", "published"), ("a", "permitted"), ("a", "verified")]


def test_a_torn_or_foreign_line_of_the_journal_is_ignored(tmp_path):
    path = tmp_path / "journal"
    Journal(path).write({"code": "aaaa", "place": "a", "state": "published", "version": 3, "arn": "x", "at": ""})
    with path.open("a") as stream:
        stream.write('[]\n{"code": "bbbb"}\n{"code": "aaaa", "place": "a", "sta')
    assert Journal(path).replay("aaaa") == {"a": Placed("published", 3, "x", "")}


def test_the_mark_survives_a_long_description():
    long = package()
    assert package().full_description == f"PHP | sha256:{'d' * 16}"
    long = Package(**{name: getattr(long, name) for name in Package.__dataclass_fields__} | {"description": "x" * 400})
    assert len(long.full_description) == 256 and long.full_description.endswith(long.mark)


def test_a_version_that_may_not_be_looked_at_is_not_taken_for_deleted():
    region = Region("us-east-1", ("code_sha256", 1, "denied"))
    placed = publisher({"us-east-1": region}).run({})["us-east-1"]
    assert (placed.state, placed.version, placed.error) == (State.PERMITTED, 1, "AccessDeniedException")
    assert region.calls["publish"] == 1


def test_a_version_that_was_deleted_since_it_was_listed_is_passed_over(tmp_path):
    region = Region("us-east-1")
    ghost = Version(9, "arn:ghost", package().full_description)
    region.versions = lambda name: [ghost, *(version for version, _ in region.stored.values())]
    placed = publisher({"us-east-1": region}).run({})["us-east-1"]
    assert (placed.state, placed.version) == (State.VERIFIED, 1)
