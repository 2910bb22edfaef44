"""Servers for tests come up, can be stopped in the middle, and are gone afterwards."""

from __future__ import annotations

import socket

import pytest

from lambdad.testing.chunk_servers import find_redis, free_port, run_redis


def test_a_redis_server_answers_until_it_is_killed() -> None:
    program = find_redis()
    if program is None:
        pytest.skip("no redis-server or valkey-server: install one to test the cache nodes")
    with run_redis(program) as server:
        host, port = server.address.split(":")
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            server.pause()
            connection.sendall(b"PING\r\n")
            server.resume()
            assert connection.recv(7) == b"+PONG\r\n"
        server.kill()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((host, int(port)), timeout=60)
    assert server.process.poll() is not None


def test_a_free_port_can_be_bound() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", free_port()))
