"""Clients for the benchmarks of services: keep-alive connections of one event loop, to 127.0.0.1, ended by the clock.

As little work a request as can be, for it shares the processor with what it measures.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Load:
    """What came back.

    Attributes:
        seconds: Of each answered request, ascending.
        rate: Answers a second.
        failed: Answers that were not 200.
    """

    seconds: Sequence[float]
    rate: float
    failed: int

    def share(self, part: float) -> float:
        """The seconds within which this part of the requests was answered."""
        return self.seconds[min(len(self.seconds) - 1, int(part * len(self.seconds)))]


def run(port: int, path: str, bodies: Sequence[Any], *, clients: int, lasting_s: float) -> Load:
    """Ask again and again, each client its next question when it has its answer."""
    requests = [_request(path, body) for body in bodies]
    return asyncio.run(_run(port, requests, clients, lasting_s))


async def _run(port: int, requests: Sequence[bytes], clients: int, lasting_s: float) -> Load:
    seconds: list[float] = []
    failed = 0
    ends = time.perf_counter() + lasting_s
    turn = _turns(requests)

    async def client() -> None:
        nonlocal failed
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            while time.perf_counter() < ends:
                began = time.perf_counter()
                writer.write(turn())
                failed += await _status(reader) != 200
                seconds.append(time.perf_counter() - began)
        finally:
            writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    took_s = time.perf_counter() - began
    return Load(sorted(seconds), len(seconds) / took_s, failed)


def _turns(requests: Sequence[bytes]) -> Callable[[], bytes]:
    number = -1

    def turn() -> bytes:
        nonlocal number
        number += 1
        return requests[number % len(requests)]

    return turn


async def _status(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    lower = head.lower()
    if b"content-length:" in lower:
        length = int(lower.split(b"content-length:")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
    else:
        while (size := int(await reader.readline(), 16)) > 0:
            await reader.readexactly(size + 2)
        await reader.readline()
    return int(head.split(b" ", 2)[1])


def _request(path: str, body: Any) -> bytes:
    content = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(content)}"
    )
    return head.encode() + b"\r\n\r\n" + content
