"""The cases of a conformance run: what is played, and what a runtime has to make of it. docs/runtimes.md says why.

Rule: a case fails only a runtime that breaks the contract. What a runtime need not have, or what its function does not
know, is `Unsupported`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from lambdad.model.limits import CLIENT_CONTEXT_MAX, PAYLOAD_RESPONSE_MAX, PAYLOAD_SYNC_MAX
from lambdad.testing.runtime_session import Ended, NonConformance, Reply, Script, Session, Unsupported, expect

HANGS_S = 1.0
"""The deadline of an invocation that is never answered."""
_EVER_MS = 3_600_000
_LATE_MS = 200
_EXPECTS = 2 * 1024 * 1024
"""Above 1 MiB, from where curl asks before it sends."""
_NO_STREAM = "the function answered with an error: its runtime does not stream"


@dataclass(frozen=True, slots=True)
class Case:
    """play: raises `NonConformance` or `Unsupported`; else the runtime has passed."""

    name: str
    play: Callable[[Session], Awaitable[None]]
    script: Script = field(default_factory=Script)


async def _three_invokes(session: Session) -> None:
    await session.ready()
    for number in range(3):
        await _echo(session, {"number": number})


async def _utf8(session: Session) -> None:
    await session.ready()
    await _echo(session, {"text": "grüße, 世界, 🐘, \u2028"})


async def _large(session: Session) -> None:
    await session.ready()
    frame = len(orjson.dumps({"conformance": "echo", "text": ""}))
    await _echo(session, {"text": "x" * (PAYLOAD_SYNC_MAX - frame)})


async def _too_large(session: Session) -> None:
    await session.ready()
    reply = await session.invoke({"conformance": "large", "bytes": PAYLOAD_RESPONSE_MAX + 1})
    if reply.kind == "error":
        raise Unsupported("the function answered `large` with an error")
    if reply.kind == "stream":
        raise Unsupported("the function streams: the limit is not for it")
    expect(reply, "too_large")
    await _goes_on(session)


async def _error(session: Session) -> None:
    await session.ready()
    reply = await session.invoke({"conformance": "error"})
    if reply.kind != "stream_error":
        expect(reply, "error")
    _check_error(reply)
    await _echo(session, {"after": "error"})


async def _deadline(session: Session) -> None:
    await session.ready()
    reply = await session.invoke({"conformance": "deadline"})
    _expect_answer(reply)
    if _json(reply.payload) != {"deadline_ms": session.deadline_ms}:
        raise NonConformance(f"the function saw {reply.payload[:80]!r}, not the deadline {session.deadline_ms}")


async def _timeout(session: Session) -> None:
    await session.ready()
    session.give({"conformance": "sleep", "ms": _EVER_MS}, HANGS_S)
    reply = await session.is_quiet(HANGS_S)
    if reply is not None:
        if reply.kind == "error":
            raise Unsupported("the function answered `sleep` with an error")
        raise NonConformance(f"expected nothing for an hour, got {reply.kind} {reply.payload[:120]!r}")
    await session.restart()
    await session.ready()
    await _echo(session, {"after": "timeout"})


async def _late_response(session: Session) -> None:
    await session.ready()
    session.give({"conformance": "sleep", "ms": _LATE_MS}, _LATE_MS / 2000)
    session.take_back()
    await _goes_on(session)
    if session.seen.late[:1] == ["error"]:
        raise Unsupported("the function answered `sleep` with an error")


async def _freeze(session: Session) -> None:
    await session.ready()
    await _echo(session, {"before": "freeze"})
    session.freeze()
    session.give({"conformance": "echo", "after": "freeze"})
    session.thaw()
    _expect_answer(await session.reply())


async def _stream(session: Session) -> None:
    await session.ready()
    reply = await session.invoke({"conformance": "stream"})
    if reply.kind == "error":
        raise Unsupported(_NO_STREAM)
    expect(reply, "stream")
    if reply.payload != b"one two three":
        raise NonConformance(f"the stream was {reply.payload[:80]!r}")
    await _echo(session, {"after": "stream"})


async def _stream_error(session: Session) -> None:
    await session.ready()
    reply = await session.invoke({"conformance": "stream-error"})
    if reply.kind == "error":
        raise Unsupported(_NO_STREAM)
    expect(reply, "stream_error")
    _check_error(reply)
    await _echo(session, {"after": "stream-error"})


async def _init_error(session: Session) -> None:
    reply = await session.reply()
    expect(reply, "init_error")
    _check_error(reply)
    await _fails(session)


async def _missing_handler(session: Session) -> None:
    """Some tell at once, some when the handler is needed, and some have no use for its name."""
    reply = await session.reply()
    if reply.kind == "init_error":
        _check_error(reply)
        await _fails(session)
        return
    expect(reply, "ready")
    reply = await session.invoke({"conformance": "echo"})
    if reply.kind in ("response", "stream"):
        raise Unsupported("the runtime takes no notice of _HANDLER")
    expect(reply, "error")
    _check_error(reply)


async def _next_refused(session: Session) -> None:
    await _fails(session)


async def _expect_continue(session: Session) -> None:
    await session.ready()
    await _echo(session, {"text": "x" * _EXPECTS})
    if not session.seen.expects:
        raise Unsupported("the runtime does not ask before it sends a large body")
    await _echo(session, {"after": "continue"})


async def _chunked_event(session: Session) -> None:
    await session.ready()
    await _echo(session, {"text": "x" * 20_000})
    await _echo(session, {"after": "chunks"})


async def _chunked_answers(session: Session) -> None:
    await session.ready()
    await _echo(session, {"text": "x" * 5000})
    if not session.seen.chunked:
        raise Unsupported("the runtime sends its answers with a Content-Length")
    await _echo(session, {"after": "chunks"})


async def _idle(session: Session, seconds: float) -> None:
    await session.ready()
    reply = await session.is_quiet(seconds)
    if reply is not None:
        raise NonConformance(f"{reply.kind} while there was nothing to do for {seconds:g} s")
    await _echo(session, {"after": "idle"})


_CONTEXT = orjson.dumps({"custom": {"text": "c" * (CLIENT_CONTEXT_MAX * 3 // 4 - 30)}}).decode()
"""The largest that a caller can send, which is in base64."""
_LONG_HEADERS = Script(
    client_context=_CONTEXT,
    trace_id=f"Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1;Lineage={'a' * 2000}",
    headers=(("Lambda-Runtime-Cognito-Identity", orjson.dumps({"identityId": "i" * 2000}).decode()),),
)

CASES = (
    Case("three-invokes", _three_invokes),
    Case("utf-8", _utf8),
    Case("large-body", _large),
    Case("too-large", _too_large),
    Case("error", _error),
    Case("deadline", _deadline),
    Case("timeout", _timeout),
    Case("late-response", _late_response),
    Case("freeze", _freeze),
    Case("stream", _stream),
    Case("stream-error", _stream_error),
    Case("init-error", _init_error, Script(environment={"CONFORMANCE_INIT_ERROR": "1"})),
    Case("missing-handler", _missing_handler, Script(environment={"_HANDLER": "no_such_file.handler"})),
    Case("next-refused", _next_refused, Script(refuses_next=True)),
    Case("reconnect", _three_invokes, Script(closes=True)),
    Case("chunked-event", _chunked_event, Script(chunks=True)),
    Case("chunked-answer", _chunked_answers),
    Case("expect-continue", _expect_continue),
    Case("long-headers", _three_invokes, _LONG_HEADERS),
)


def idle_case(seconds: float) -> Case:
    """`next` is answered only after so long: many HTTP clients give up after 30 or 60 seconds by default."""

    async def play(session: Session) -> None:
        await _idle(session, seconds)

    return Case("idle", play)


async def _echo(session: Session, more: dict[str, Any]) -> None:
    event = {"conformance": "echo", **more}
    reply = await session.invoke(event)
    _expect_answer(reply)
    if _json(reply.payload) != event:
        raise NonConformance(f"an event of {len(orjson.dumps(event))} bytes came back changed: {reply.payload[:80]!r}")


def _expect_answer(reply: Reply) -> None:
    """A response in one, or in pieces: that is for the function to choose."""
    if reply.kind != "stream":
        expect(reply, "response")


async def _goes_on(session: Session) -> None:
    """After an answer that was refused the process serves the next event, or ends by itself and the next one does."""
    try:
        await _echo(session, {"after": "a refused answer"})
    except Ended as ended:
        if ended.status.signal is not None:
            raise
        await session.restart()
        await session.ready()
        await _echo(session, {"after": "a new start"})


async def _fails(session: Session) -> None:
    status = await session.exit_status()
    if status.code == 0:
        raise NonConformance("the process exited with 0; it should exit with another status")


def _check_error(reply: Reply) -> None:
    told = _json(reply.payload)
    if not isinstance(told, dict) or not isinstance(told.get("errorMessage"), str):
        raise NonConformance(f"the error has no errorMessage: {reply.payload[:120]!r}")


def _json(payload: bytes) -> Any:
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError:
        raise NonConformance(f"not JSON: {payload[:80]!r}") from None
