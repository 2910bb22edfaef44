"""Live tail: sessions as event streams, decoded by botocore."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from botocore.eventstream import EventStreamBuffer

from lambdad.model.arn import Namespace
from lambdad.neighbours import live_tail
from lambdad.neighbours.json_protocol import Input, JsonError
from lambdad.neighbours.live_tail import LiveTail
from lambdad.telemetry.log_groups import GroupRecord, LogGroups
from lambdad.telemetry.log_store import LogStore

SPACE = Namespace("000000000000", "us-east-1")


class Session:
    """A tail of the group `g` whose updates come when they are asked for."""

    def __init__(self, root: Path) -> None:
        self.groups = LogGroups(LogStore(root / "functions"), LogStore(root / "clients"), root / "records")
        self.groups.create(SPACE, GroupRecord(name="g"))
        self.now = 1.0
        self.tail = LiveTail(self.groups, lambda: self.now, pause=self._pause)

    async def _pause(self) -> None:
        await asyncio.sleep(0)

    def put(self, text: str, stream: str = "s") -> None:
        self.groups.put(SPACE, "g", stream, [(2000, text.encode())])

    async def start(self, **params: Any) -> AsyncIterator[bytes]:
        given = {"logGroupIdentifiers": ["arn:aws:logs:us-east-1:000000000000:log-group:g"]} | params
        return await self.tail.start(SPACE, Input(orjson.dumps(given)))


async def _next(stream: AsyncIterator[bytes]) -> tuple[str, Any]:
    buffer = EventStreamBuffer()
    buffer.add_data(await anext(stream))
    (message,) = buffer
    headers: Any = message.headers
    kind = headers.get(":event-type") or headers[":exception-type"]
    return kind, orjson.loads(message.payload)


def test_a_session_begins_and_shows_what_comes_and_not_what_was_there(tmp_path: Path) -> None:
    async def follow() -> None:
        session = Session(tmp_path)
        session.put("before")
        stream = await session.start(logEventFilterPattern="-noise")
        assert await _next(stream) == ("initial-response", {})
        kind, start = await _next(stream)
        assert (kind, start["logEventFilterPattern"]) == ("sessionStart", "-noise")
        kind, update = await _next(stream)
        assert (kind, update["sessionResults"]) == ("sessionUpdate", [])
        session.put("hello")
        session.put("noise")
        _, update = await _next(stream)
        assert [event["message"] for event in update["sessionResults"]] == ["hello"]
        session.now += live_tail.SESSION_S
        assert (await _next(stream))[0] == "SessionTimeoutException"
        with pytest.raises(StopAsyncIteration):
            await anext(stream)

    asyncio.run(follow())


def test_streams_are_chosen_by_name_and_by_prefix(tmp_path: Path) -> None:
    async def follow() -> None:
        session = Session(tmp_path)
        by_name = await session.start(logStreamNames=["a"])
        by_prefix = await session.start(logStreamNamePrefixes=["b"])
        for stream in (by_name, by_prefix):
            await _next(stream)
            await _next(stream)
        for name in ("a", "b1", "c"):
            session.put(name, name)
        for stream, expected in ((by_name, ["a"]), (by_prefix, ["b1"])):
            _, update = await _next(stream)
            assert [event["message"] for event in update["sessionResults"]] == expected

    asyncio.run(follow())


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"logGroupIdentifiers": []}, "InvalidParameterException"),
        ({"logGroupIdentifiers": ["x"]}, "ResourceNotFoundException"),
        ({"logGroupIdentifiers": [str(number) for number in range(11)]}, "InvalidParameterException"),
        ({"logGroupIdentifiers": ["g", "h"], "logStreamNames": ["s"]}, "InvalidParameterException"),
        ({"logStreamNames": ["s"], "logStreamNamePrefixes": ["s"]}, "InvalidParameterException"),
        ({"logEventFilterPattern": "{"}, "InvalidParameterException"),
    ],
)
def test_what_cannot_be_followed_is_refused(tmp_path: Path, params: dict[str, Any], code: str) -> None:
    with pytest.raises(JsonError) as error:
        asyncio.run(Session(tmp_path).start(**params))
    assert error.value.code == code


def test_sessions_are_counted_and_an_update_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_tail, "SESSIONS_MAX", 1)
    monkeypatch.setattr(live_tail, "UPDATE_EVENTS_MAX", 2)

    async def follow() -> None:
        session = Session(tmp_path)
        stream = await session.start()
        await _next(stream)
        await _next(stream)
        with pytest.raises(JsonError, match="end one of them"):
            await session.start()
        for _ in range(3):
            session.put("x")
        _, update = await _next(stream)
        assert (len(update["sessionResults"]), update["sessionMetadata"]) == (2, {"sampled": True})

    asyncio.run(follow())
