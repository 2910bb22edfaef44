"""What every `EventTable` promises, as checks: each takes an empty table."""

from __future__ import annotations

from collections.abc import Callable

from lambdad.store.event_queue import Death, EventTable, Lane, Leased, LeaseKey, Message, Retry, Selection, Usage

Check = Callable[[EventTable], None]
NOW = 1_000.0


def make_message(name: str, scope: str = "a", lane: Lane = "event", payload: bytes = b"{}") -> Message:
    return Message(lane=lane, id=name, scope=scope, meta="{}", payload=payload, accepted=NOW)


def lease(table: EventTable, now: float = NOW, scope: str = "a", limit: int = 10) -> Leased:
    return table.lease("event", scope, now, now + 60, limit)


def lease_one(table: EventTable, now: float = NOW) -> LeaseKey:
    [found] = lease(table, now, limit=1).leases
    return found.key


def death(reason: str = "RetriesExhausted", attempts: int = 3) -> Death:
    return Death(now=NOW + 5, reason=reason, attempts=attempts, last=b'"why"')


def check_what_was_put_is_leased_whole(table: EventTable) -> None:
    message = Message(
        lane="event",
        id="1",
        scope="a",
        meta='{"x":1}',
        payload=b"\x00payload",
        accepted=NOW,
        attempts=2,
        refusals=1,
        last=b"last",
    )
    table.put([message], NOW)
    [found] = lease(table).leases
    assert found.message == message
    assert found.until == NOW + 60
    assert (found.key.lane, found.key.id) == ("event", "1")


def check_nothing_is_leased_before_it_is_due(table: EventTable) -> None:
    table.put([make_message("1")], NOW + 10)
    early = lease(table, NOW + 9.5)
    assert (list(early.leases), early.next_due) == ([], NOW + 10)
    assert len(lease(table, NOW + 10).leases) == 1


def check_the_longest_due_comes_first_and_the_limit_holds(table: EventTable) -> None:
    for number in (3, 1, 2):
        table.put([make_message(str(number))], NOW + number)
    first = lease(table, NOW + 9, limit=2)
    assert [found.message.id for found in first.leases] == ["1", "2"]
    assert first.next_due == NOW + 3


def check_scopes_and_lanes_are_apart(table: EventTable) -> None:
    table.put([make_message("1"), make_message("2", "b"), make_message("3", lane="delivery")], NOW)
    assert [found.message.id for found in lease(table).leases] == ["1"]
    assert [found.message.id for found in lease(table, scope="b").leases] == ["2"]
    assert [found.message.id for found in table.lease("delivery", "a", NOW, NOW + 1, 9).leases] == ["3"]
    assert lease(table, scope="nobody").next_due is None


def check_a_leased_message_is_leased_again_only_when_its_lease_ends(table: EventTable) -> None:
    table.put([make_message("1")], NOW)
    first = lease_one(table)
    again = lease(table, NOW + 59)
    assert (list(again.leases), again.next_due) == ([], NOW + 60)
    second = lease_one(table, NOW + 60)
    assert second != first
    assert not table.ack(first)
    assert not table.nack(first, Retry(due=NOW, attempts=1))
    assert not table.kill(first, death())
    assert not table.extend(first, NOW + 999)
    assert table.ack(second)


def check_a_lease_can_be_extended(table: EventTable) -> None:
    table.put([make_message("1")], NOW)
    key = lease_one(table)
    assert table.extend(key, NOW + 100)
    assert not lease(table, NOW + 99).leases
    assert len(lease(table, NOW + 100).leases) == 1


def check_a_message_is_settled_once(table: EventTable) -> None:
    table.put([make_message("1"), make_message("2"), make_message("3")], NOW)
    acked, put_back, killed = (found.key for found in lease(table).leases)
    assert table.ack(acked)
    assert table.nack(put_back, Retry(due=NOW + 5, attempts=1))
    assert table.kill(killed, death())
    for key in (acked, put_back, killed):
        assert not table.ack(key)
        assert not table.nack(key, Retry(due=NOW, attempts=9))
        assert not table.kill(key, death("Again"))
        assert not table.extend(key, NOW + 99)
    assert table.usage("event") == Usage(waiting=1, leased=0, size=2, dead=1, dead_size=2)


def check_what_was_put_back_comes_again_with_its_progress(table: EventTable) -> None:
    table.put([make_message("1")], NOW)
    assert table.nack(lease_one(table), Retry(due=NOW + 60, attempts=1, refusals=2, last=b"x"))
    assert not lease(table, NOW + 59).leases
    [found] = lease(table, NOW + 60).leases
    assert (found.message.attempts, found.message.refusals, found.message.last) == (1, 2, b"x")


def check_putting_twice_is_putting_once(table: EventTable) -> None:
    table.put([make_message("1")], NOW)
    table.put([make_message("1", payload=b"other")], NOW)
    key = lease_one(table)
    table.put([make_message("1")], NOW)
    assert table.usage("event") == Usage(leased=1, size=2)
    assert table.kill(key, death())
    table.put([make_message("1")], NOW)
    assert table.usage("event") == Usage(dead=1, dead_size=2)


def check_a_restart_makes_what_was_leased_due(table: EventTable) -> None:
    table.put([make_message("1"), make_message("2")], NOW)
    key = lease_one(table)
    assert table.recover(NOW + 1, NOW + 99) == 1
    assert not table.ack(key)
    assert len(lease(table, NOW + 1).leases) == 2


def check_a_clock_that_was_set_back_is_survived(table: EventTable) -> None:
    table.put([make_message("1")], NOW + 1_000_000)
    assert table.recover(NOW - 500, NOW + 99) == 0
    [found] = lease(table, NOW + 99).leases
    assert found.message.accepted == NOW - 500


def check_the_dead_are_found_and_redriven_fresh(table: EventTable) -> None:
    table.put([make_message("1"), make_message("2", "b")], NOW)
    for scope in ("a", "b"):
        [found] = lease(table, scope=scope).leases
        old = found.key
        assert table.kill(old, death())
    entry = table.find("event", "2")
    assert entry is not None
    assert (entry.reason, entry.died, entry.message.attempts) == ("RetriesExhausted", NOW + 5, 3)
    assert (entry.message.payload, entry.message.last, entry.size) == (b"{}", b'"why"', 2)
    assert list(table.redrive(Selection(scope_prefix="b"), NOW + 50)) == [("event", "b")]
    [again] = lease(table, NOW + 50, scope="b").leases
    assert (again.message.accepted, again.message.attempts, again.message.last) == (NOW + 50, 0, b"")
    assert not table.ack(old)
    assert [entry.message.id for entry in table.entries(Selection(), 9, dead=True)] == ["1"]


def check_entries_are_listed_in_order_without_payloads(table: EventTable) -> None:
    for number in (2, 1, 3):
        table.put([make_message(str(number))], NOW + number)
    waiting = table.entries(Selection(lane="event"), 2, dead=False)
    assert [(entry.message.id, entry.due, entry.leased, entry.message.payload) for entry in waiting] == [
        ("1", NOW + 1, False, b""),
        ("2", NOW + 2, False, b""),
    ]
    for _ in range(3):
        assert table.kill(lease_one(table, NOW + 9), death())
    assert [entry.message.id for entry in table.entries(Selection(), 2, dead=True)] == ["3", "2"]


def check_selections_mean_what_they_say(table: EventTable) -> None:
    names = ("x/f:", "x/f:v", "x/f:v2", "x/g:", "y/f:")
    table.put([make_message(name, name) for name in names], NOW)
    table.put([make_message("x/f:", "x/f:", "delivery")], NOW)

    def chosen(selection: Selection) -> list[str]:
        return [entry.message.id for entry in table.entries(selection, 99, dead=False)]

    assert len(chosen(Selection())) == 6
    assert chosen(Selection(lane="event", scope_prefix="x/f:")) == ["x/f:", "x/f:v", "x/f:v2"]
    assert chosen(Selection(scope="x/f:v")) == ["x/f:v"]
    assert chosen(Selection(lane="event", id="y/f:")) == ["y/f:"]
    assert chosen(Selection(lane="delivery")) == ["x/f:"]
    assert chosen(Selection(scope_prefix="x/%")) == []
    assert table.purge(Selection(lane="event", scope_prefix="x/"), dead=False) == 4
    assert table.purge(Selection(), dead=True) == 0
    assert chosen(Selection()) == ["y/f:", "x/f:"] or chosen(Selection()) == ["x/f:", "y/f:"]


def check_the_oldest_dead_are_trimmed(table: EventTable) -> None:
    for name in "12345":
        table.put([make_message(name, payload=b"x" * 10)], NOW)
        assert table.kill(lease_one(table), death())
    assert table.trim_dead(4, 1_000) == 1
    assert table.trim_dead(4, 25) == 2
    assert [entry.message.id for entry in table.entries(Selection(), 9, dead=True)] == ["5", "4"]


def check_due_times_are_known_by_scope(table: EventTable) -> None:
    assert table.due_by_scope("event") == {}
    table.put([make_message("1", "b"), make_message("2", "a")], NOW + 7)
    table.put([make_message("3", "b"), make_message("4", "é")], NOW + 3)
    assert table.due_by_scope("event") == {"a": NOW + 7, "b": NOW + 3, "é": NOW + 3}
    assert table.due_by_scope("delivery") == {}


CHECKS: tuple[Check, ...] = (
    check_what_was_put_is_leased_whole,
    check_nothing_is_leased_before_it_is_due,
    check_the_longest_due_comes_first_and_the_limit_holds,
    check_scopes_and_lanes_are_apart,
    check_a_leased_message_is_leased_again_only_when_its_lease_ends,
    check_a_lease_can_be_extended,
    check_a_message_is_settled_once,
    check_what_was_put_back_comes_again_with_its_progress,
    check_putting_twice_is_putting_once,
    check_a_restart_makes_what_was_leased_due,
    check_a_clock_that_was_set_back_is_survived,
    check_the_dead_are_found_and_redriven_fresh,
    check_entries_are_listed_in_order_without_payloads,
    check_selections_mean_what_they_say,
    check_the_oldest_dead_are_trimmed,
    check_due_times_are_known_by_scope,
)
