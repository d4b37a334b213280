"""The load client: what it counts as an answer, what as a failure, and that each body is asked."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from benchmarks import load

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@contextmanager
def answering(answer: Callable[[Any], list[bytes]]) -> Iterator[tuple[int, list[Any]]]:
    """A server that sends these pieces for each body; an empty piece closes the connection."""
    listener, heard, threads = socket.create_server(("127.0.0.1", 0)), [], []

    def talk(connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as file:
            while head := file.readline():
                length = 0
                while (line := file.readline()) != b"\r\n":
                    length = int(line.split(b":")[1]) if line.lower().startswith(b"content-length:") else length
                assert head == b"POST /predict HTTP/1.1\r\n"
                heard.append(json.loads(file.read(length)))
                for piece in answer(heard[-1]):
                    if not piece:
                        return
                    connection.sendall(piece)

    def listen() -> None:
        while True:
            connection, _ = listener.accept()
            if ending.is_set():
                connection.close()
                return
            threads.append(threading.Thread(target=talk, args=(connection,)))
            threads[-1].start()

    ending, port = threading.Event(), listener.getsockname()[1]
    listening = threading.Thread(target=listen)
    listening.start()
    try:
        yield port, heard
    finally:
        ending.set()
        socket.create_connection(("127.0.0.1", port)).close()
        for thread in (listening, *threads):
            thread.join()
        listener.close()


def run(port: int, bodies: list[Any], clients: int = 4, lasting_s: float = 0.2) -> load.Load:
    return load.run(port, "/predict", bodies, clients=clients, lasting_s=lasting_s)


def test_every_answer_is_counted_and_the_bodies_are_asked_in_turn() -> None:
    with answering(lambda _: [OK]) as (port, heard):
        found = run(port, [0, 1, 2])

    assert len(found.seconds) == len(heard) > 12
    assert found.failed == 0
    assert [*found.seconds] == sorted(found.seconds)
    counts = [heard.count(body) for body in (0, 1, 2)]
    assert max(counts) - min(counts) <= 1


def test_answers_that_come_in_pieces_or_in_chunks_are_whole() -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    ways = {"pieces": [OK[:10], OK[10:-1], OK[-1:]], "chunks": [chunked[:-7], chunked[-7:]]}
    with answering(lambda body: ways[body]) as (port, heard):
        found = run(port, ["pieces", "chunks"])

    assert (len(found.seconds), found.failed) == (len(heard), 0)


def test_errors_have_no_rate_and_the_first_is_told() -> None:
    refused = b"HTTP/1.1 422 Unprocessable Entity\r\nContent-Length: 4\r\n\r\nwhy?"
    with answering(lambda _: [refused]) as (port, heard):
        found = run(port, ["x"])

    assert (found.rate, found.failed) == (0, len(heard))
    assert found.fault.endswith("why?")


def test_a_connection_that_is_closed_is_a_failure_and_its_client_goes_on() -> None:
    with answering(lambda body: [OK] if body else [OK[:20], b""]) as (port, heard):
        found = run(port, [True, False])

    assert found.failed == heard.count(False) > 1
    assert len(found.seconds) == heard.count(True) > 1
    assert "was closed" in found.fault


def test_a_share_of_the_seconds_is_a_percentile() -> None:
    found = load.Load([i / 100 for i in range(1, 101)], 1.0, 0, "", 0.0)

    assert (found.share(0.5), found.share(0.99), found.share(1.0)) == (0.51, 1.0, 1.0)


def test_nobody_there_is_told_at_once() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionRefusedError):
            run(probe.getsockname()[1], ["x"])
