"""The table in memory is a twin of the SQL one: the property test runs both; here, that it copies what it was given."""

from __future__ import annotations

from lambdad.store.event_queue import Retry
from lambdad.store.event_queue_memory import MemoryEvents
from lambdad.testing.conformance.event_queue import NOW, lease, lease_one, make_message


def test_a_message_that_was_handed_out_is_not_changed_afterwards() -> None:
    table = MemoryEvents()
    table.put([make_message("1")], NOW)
    key = lease_one(table)
    table.nack(key, Retry(due=NOW, attempts=1))
    [second] = lease(table).leases
    table.nack(second.key, Retry(due=NOW, attempts=2))
    assert second.message.attempts == 1
