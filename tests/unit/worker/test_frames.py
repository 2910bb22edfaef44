"""Frames: what goes in comes out, however the stream is cut, and garbage is refused."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.model.environment import Code, Image
from lambdad.model.invocation import Invocation, InvocationResult
from lambdad.testing.specs import make_spec
from lambdad.worker import frames
from lambdad.worker.frames import FRAME_MAX, FrameError, FrameReader, Kind

SPEC = make_spec(
    environment={"A": "1"},
    code=Code(sha256="ab", size=3),
    layers=(Code(sha256="cd", size=4),),
    image=Image(uri="u", resolved_uri="v", manifest_sha256="ef", entry_point=("a",), command=("b",)),
)


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=5), st.integers(1, 50))
def test_frames_survive_any_cut_of_the_stream(payloads: list[bytes], step: int) -> None:
    stream = b"".join(frames.encode(Kind.RESULT, number, [number], data) for number, data in enumerate(payloads))
    reader = FrameReader()
    received = [frame for start in range(0, len(stream), step) for frame in reader.feed(stream[start : start + step])]
    assert [(frame.call, frame.header, frame.payload) for frame in received] == [
        (number, [number], data) for number, data in enumerate(payloads)
    ]


@given(st.binary(min_size=1, max_size=200))
def test_garbage_is_a_frame_error_or_nothing_yet(data: bytes) -> None:
    reader = FrameReader()
    try:
        for frame in reader.feed(data):
            assert isinstance(frame.kind, Kind)
    except FrameError:
        pass


def test_a_frame_that_claims_too_much_is_refused() -> None:
    with pytest.raises(FrameError, match="a frame of"):
        list(FrameReader().feed((FRAME_MAX + 1).to_bytes(4, "big") + bytes(20)))


def test_an_invocation_arrives_as_it_was() -> None:
    invocation = Invocation(
        request_id="r", payload=b'{"a":1}', invoked_arn="arn", client_context='{"ü":1}', trace_id="Root=1", tail=True
    )
    [frame] = FrameReader().feed(frames.encode_invocation(7, "e1", invocation))
    assert frames.decode_invocation(frame) == ("e1", invocation)


def test_a_result_arrives_as_it_was() -> None:
    result = InvocationResult(
        payload=b"payload",
        error="Unhandled",
        error_type="X",
        log_tail=b"tail",
        timings={"duration": 1.5},
        memory_used_mb=3,
    )
    [frame] = FrameReader().feed(frames.encode_result(9, result))
    assert frames.decode_result(frame) == result


def test_a_spec_arrives_as_it_was() -> None:
    assert frames.decode_spec(json.loads(orjson.dumps(SPEC))) == SPEC
