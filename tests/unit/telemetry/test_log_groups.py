"""Log groups: what functions wrote and clients put, without what was deleted or has expired."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from lambdad.model.arn import Namespace
from lambdad.telemetry import log_groups
from lambdad.telemetry.log_groups import DAY_MS, GroupRecord, LogGroups, Reading, TooManyGroups, read_floor
from lambdad.telemetry.log_store import LogStore

SPACE = Namespace("000000000000", "us-east-1")
GROUP = "/aws/lambda/f"
NOW = 40 * DAY_MS


class Logs:
    def __init__(self, root: Path) -> None:
        self.records = root / "records"
        self.folder = root / "functions" / SPACE.account / SPACE.region / "%2Faws%2Flambda%2Ff"

        def floor(group: Path) -> int:
            return read_floor(self.records, group, NOW)

        self.functions = LogStore(root / "functions", floor=floor)
        self.groups = LogGroups(self.functions, LogStore(root / "clients", floor=floor), self.records)

    def write(self, moment: int, text: str, stream: str = "s") -> None:
        """What a function writes; the file is as old as its last record."""
        writer = self.functions.open(SPACE, GROUP, stream)
        writer.append(moment, text.encode())
        writer.close()
        os.utime(self.folder / f"{stream}.log", ns=(moment * 1_000_000, moment * 1_000_000))

    def texts(self, **options: Any) -> list[str]:
        return [record.text for record in self.groups.read(SPACE, GROUP, now_ms=NOW, **options)]


@pytest.fixture
def logs(tmp_path: Path) -> Logs:
    return Logs(tmp_path)


def test_a_group_is_there_once_a_client_made_it_or_a_function_logged(logs: Logs) -> None:
    assert logs.groups.names(SPACE) == []
    assert logs.groups.create(SPACE, GroupRecord(name="mine", created_ms=5))
    assert not logs.groups.create(SPACE, GroupRecord(name="mine"))
    logs.write(1, "x")
    assert logs.groups.names(SPACE) == [GROUP, "mine"]
    assert not logs.groups.create(SPACE, GroupRecord(name=GROUP))
    assert logs.groups.names(Namespace("000000000000", "eu-west-1")) == []
    long = "l" * 512
    assert logs.groups.create(SPACE, GroupRecord(name=long))
    assert long in logs.groups.names(SPACE)


def test_records_of_functions_and_of_clients_are_one_log_in_order(logs: Logs) -> None:
    logs.write(1000, "function")
    assert logs.groups.create_stream(SPACE, GROUP, "theirs")
    assert not logs.groups.create_stream(SPACE, GROUP, "theirs")
    assert not logs.groups.create_stream(SPACE, GROUP, "s")
    logs.groups.put(SPACE, GROUP, "theirs", [(2000, b"later"), (3000, b"last")])
    logs.groups.put(SPACE, GROUP, "theirs", [(500, b"earlier")])
    assert logs.texts() == ["earlier", "function", "later", "last"]
    assert logs.texts(since_ms=1000, until_ms=3000) == ["function", "later"]
    assert logs.texts(limit=1) == ["earlier"]
    assert {info.name for info in logs.groups.streams(SPACE, GROUP)} == {"s", "theirs"}


def test_a_deleted_group_is_gone_and_what_comes_later_makes_it_anew(logs: Logs) -> None:
    logs.write(1000, "old")
    logs.groups.change(SPACE, GROUP, retention_days=1, tags={"a": "b"})
    assert logs.groups.delete(SPACE, GROUP, 2000)
    assert not logs.groups.delete(SPACE, GROUP, 2000)
    assert (logs.groups.names(SPACE), logs.groups.get(SPACE, GROUP)) == ([], None)
    logs.write(NOW, "new")
    assert logs.groups.names(SPACE) == [GROUP]
    assert logs.texts() == ["new"]
    record = logs.groups.get(SPACE, GROUP)
    assert record is not None
    assert (record.retention_days, record.tags) == (0, {})


def test_what_is_older_than_the_retention_is_not_shown_and_its_files_are_removed(logs: Logs) -> None:
    logs.write(NOW - 31 * DAY_MS, "old")
    logs.write(NOW - DAY_MS, "new", "other")
    logs.groups.change(SPACE, GROUP, retention_days=30)
    assert logs.texts() == ["new"]
    logs.functions.sweep()
    assert [path.name for path in logs.folder.iterdir()] == ["other.log"]
    logs.groups.change(SPACE, GROUP, retention_days=0)
    assert logs.texts() == ["new"]


def test_what_clients_put_expires_as_well(logs: Logs) -> None:
    logs.groups.create(SPACE, GroupRecord(name=GROUP, retention_days=30))
    logs.groups.create_stream(SPACE, GROUP, "s")
    logs.groups.put(SPACE, GROUP, "s", [(NOW, b"put")])
    logs.groups.sweep()
    assert logs.texts() == ["put"]
    (written,) = (logs.records.parent / "clients").rglob("s.log")
    past = (NOW - 31 * DAY_MS) * 1_000_000
    os.utime(written, ns=(past, past))
    logs.groups.sweep()
    assert not written.exists()
    assert logs.groups.names(SPACE) == [GROUP]


def test_a_deleted_stream_is_gone_whoever_wrote_it(logs: Logs) -> None:
    logs.write(1000, "function")
    logs.groups.create_stream(SPACE, GROUP, "theirs")
    for stream in ("s", "theirs"):
        assert logs.groups.delete_stream(SPACE, GROUP, stream, 2000)
        assert not logs.groups.delete_stream(SPACE, GROUP, stream, 2000)
    assert logs.texts() == []
    logs.write(3000, "again")
    assert logs.texts() == ["again"]


def test_followers_see_what_comes_and_nothing_twice(logs: Logs) -> None:
    logs.write(1000, "before")
    reading = Reading(since_ms=0)
    assert [record.text for record in logs.groups.news(SPACE, GROUP, reading)] == ["before"]
    logs.write(2000, "function")
    logs.groups.put(SPACE, GROUP, "theirs", [(1500, b"client")])
    assert [record.text for record in logs.groups.news(SPACE, GROUP, reading)] == ["client", "function"]
    assert logs.groups.news(SPACE, GROUP, reading) == []


def test_groups_are_counted(logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_groups, "GROUPS_MAX", 1)
    assert logs.groups.create(SPACE, GroupRecord(name="a"))
    with pytest.raises(TooManyGroups):
        logs.groups.create(SPACE, GroupRecord(name="b"))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"retention_days": "x"}', '{"retention_days": -5}', "[" * 100_000])
def test_a_record_that_says_nothing_removes_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "a" / "r").mkdir(parents=True)
    (tmp_path / "a" / "r" / "g.json").write_text(text)
    assert read_floor(tmp_path, Path("a/r/g"), NOW) == 0


def test_a_record_can_remove_no_more_than_what_is_past(tmp_path: Path) -> None:
    (tmp_path / "a" / "r").mkdir(parents=True)
    (tmp_path / "a" / "r" / "g.json").write_text('{"emptied_ms": 99999999999999999}')
    assert read_floor(tmp_path, Path("a/r/g"), NOW) == NOW
