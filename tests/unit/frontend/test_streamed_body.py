"""A streamed body between a fast function and a slow client."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from lambdad.frontend.pace import Pace
from lambdad.frontend.streamed_body import CREDIT_STEP, StreamedBody
from lambdad.model.limits import STREAM_UNPACED_MAX


class Client:
    """A connection that takes `room` pieces, then is full."""

    def __init__(self, room: int = 1_000_000) -> None:
        self.room = room
        self.log: list[bytes | str] = []

    def write(self, data: bytes) -> bool:
        assert self.room > 0, "a full client was written to"
        self.room -= 1
        self.log.append(data)
        return self.room > 0

    def end(self) -> None:
        self.log.append("end")

    def abort(self) -> None:
        self.log.append("abort")


def make() -> tuple[StreamedBody, list[int]]:
    given: list[int] = []
    return StreamedBody(given.append), given


def test_pieces_go_through_in_order_and_the_end_after_them() -> None:
    body, _ = make()
    client = Client()
    body.push(b"a", 1)
    body.open(client)
    body.push(b"b", 1)
    body.end(b"c")
    assert client.log == [b"a", b"b", b"c", "end"]


def test_a_slow_client_is_waited_for_and_the_function_not_credited() -> None:
    body, given = make()
    client = Client(room=1)
    body.open(client)
    body.push(b"a", CREDIT_STEP)
    body.push(b"b", CREDIT_STEP)
    body.end()
    assert (client.log, given, body.held) == ([b"a"], [CREDIT_STEP], 1)
    client.room = 2
    body.drained()
    assert (client.log, given) == ([b"a", b"b", b"", "end"], [CREDIT_STEP, CREDIT_STEP])


def test_a_cut_comes_after_what_was_sent_before_it() -> None:
    body, _ = make()
    client = Client(room=1)
    body.open(client)
    body.push(b"a", 1)
    body.push(b"b", 1)
    body.cut()
    assert client.log == [b"a"]
    client.room = 5
    body.drained()
    assert client.log == [b"a", b"b", "abort"]


def test_a_client_that_leaves_lets_the_function_go_on() -> None:
    body, given = make()
    client = Client(room=1)
    body.open(client)
    body.push(b"a", CREDIT_STEP)
    body.push(b"b", CREDIT_STEP)
    body.lost()
    body.push(b"c", CREDIT_STEP)
    body.end(b"d")
    body.cut()
    assert (client.log, given, body.held) == ([b"a"], [CREDIT_STEP] * 3, 0)


@given(st.lists(st.sampled_from(["push", "drain", "lost"]), max_size=60))
def test_every_byte_is_credited_in_the_end_but_for_less_than_a_step(steps: list[str]) -> None:
    body, given = make()
    client = Client(room=1)
    body.open(client)
    pushed = 0
    lost = False
    for step in steps:
        match step:
            case "push":
                pushed += 100_000
                body.push(b"x", 100_000)
            case "lost":
                lost = True
                body.lost()
            case _ if not lost:
                client.room = 2
                body.drained()
    body.lost()
    assert 0 <= pushed - sum(given) < CREDIT_STEP


class Later:
    """Time that passes when a test says so. timers: what is to be called, and when."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.cancelled = 0

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Later:
        self.timers.append((self.now + seconds, callback))
        return self

    def cancel(self) -> None:
        self.timers.clear()
        self.cancelled += 1

    def next(self) -> None:
        self.now, callback = self.timers.pop(0)
        callback()


def paced(rate: float = 100.0) -> tuple[StreamedBody, Client, Later, list[int]]:
    """A body whose first 6 MB have gone already."""
    later, given, client = Later(), list[int](), Client()
    body = StreamedBody(given.append, Pace(rate, lambda: later.now, later.call_later))
    body.open(client)
    body.push(b"free", STREAM_UNPACED_MAX)
    return body, client, later, given


def test_with_a_pace_pieces_go_when_it_is_their_time_and_the_end_after_them() -> None:
    body, client, later, given = paced()
    before = sum(given)
    body.push(b"a", CREDIT_STEP)
    body.push(b"b", CREDIT_STEP)
    body.end(b"c")
    assert client.log == [b"free", b"a"]
    assert sum(given) == before + CREDIT_STEP, "the function waits with it"
    later.next()
    assert later.now == CREDIT_STEP / 100.0
    assert client.log == [b"free", b"a", b"b", b"c", "end"]
    assert later.timers == [], "the last message is none of the function's bytes"


def test_a_client_that_leaves_meanwhile_is_waited_for_no_more() -> None:
    body, client, later, given = paced()
    for _ in range(3):
        body.push(b"a", CREDIT_STEP)
    body.lost()
    assert (later.cancelled, later.timers, client.log) == (1, [], [b"free", b"a"])
    assert sum(given) == STREAM_UNPACED_MAX + 3 * CREDIT_STEP
