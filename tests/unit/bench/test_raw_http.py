"""The benchmark's own client: splits answers wherever the network cuts them, and refuses to measure errors."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator

import pytest
from bench.raw_http import Answer, BadAnswer, Connection, build_request, measure_latency, run_lanes, split_answer
from hypothesis import given
from hypothesis import strategies as st

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX-Lambdad-Timings: {}\r\n\r\nbody"


class _Echo(socketserver.StreamRequestHandler):
    """Answers each POST with its own body."""

    def handle(self) -> None:
        while self.rfile.readline():
            length = 0
            while (line := self.rfile.readline()) != b"\r\n":
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            body = self.rfile.read(length)
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 64


@pytest.fixture
def port() -> Iterator[int]:
    with _Server(("127.0.0.1", 0), _Echo) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@given(st.integers(0, len(OK) - 1))
def test_an_answer_that_is_not_whole_is_no_answer(length: int) -> None:
    assert split_answer(OK[:length]) is None


def test_what_follows_an_answer_is_kept() -> None:
    split = split_answer(OK + OK[:9])
    assert split is not None
    answer, rest = split
    assert (answer.body, answer.header("x-lambdad-timings"), answer.header("other"), rest) == (
        b"body",
        "{}",
        None,
        OK[:9],
    )


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 429 Too Many\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Amz-Function-Error: Unhandled\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_an_error_is_never_counted_as_an_answer(answer: bytes) -> None:
    with pytest.raises(BadAnswer):
        split_answer(answer)


def test_a_connection_serves_one_call_after_the_other(port: int) -> None:
    connection = Connection(port)
    try:
        assert [connection.call(build_request("/", body)).body for body in (b"one", b"", b"x" * 200_000)] == [
            b"one",
            b"",
            b"x" * 200_000,
        ]
    finally:
        connection.close()


def test_every_lane_gets_all_its_answers(port: int) -> None:
    requests = [build_request("/", f"lane {number}".encode()) for number in range(10)]
    answers = run_lanes(port, requests, repeat=3, timeout=60)
    bodies = [answer.body.decode() for _, answer in answers]
    assert bodies == [f"lane {number}" for number in range(10) for _ in range(3)]


def test_latency_is_sampled_at_least_once_in_any_time(port: int) -> None:
    assert len(measure_latency(port, build_request("/", b"{}"), 0.05)) >= 1


def test_headers_are_found_by_their_lower_case_name() -> None:
    assert Answer("HTTP/1.1 200 OK\r\nContent-Type: text/plain", b"").header("content-type") == "text/plain"
