"""A TCP proxy whose wire a test can cut, mute or slow: what a bad network does, on one machine.

``pass`` carries on. ``blackhole`` takes everything and delivers nothing, without a word to either
side (a cable pulled out). ``mute`` delivers what goes to the server and swallows its answers.
``reset`` ends every connection and refuses new ones. ``latency`` delays each piece by ``delay_s``.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Literal

Mode = Literal["pass", "blackhole", "mute", "reset", "latency"]


class Proxy:
    """Listens on a free port of 127.0.0.1 and carries everything to ``port``."""

    def __init__(self, port: int, delay_s: float = 0.2) -> None:
        self._target = port
        self._delay_s = delay_s
        self._mode: Mode = "pass"
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._serve, name="proxy", daemon=True)
        self._thread.start()

    def become(self, mode: Mode) -> None:
        """Change what happens to everything from now on; what a blackhole took stays lost.

        Connections that lost bytes are of no use afterwards and end when the wire is whole again.
        """
        asyncio.run_coroutine_threadsafe(self._become(mode), self._loop).result(10)

    def close(self) -> None:
        """End all connections and stop listening."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._thread.join(10)
        self._loop.close()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(asyncio.start_server(self._carry, sock=self._listener))
        self._loop.run_forever()

    async def _become(self, mode: Mode) -> None:
        torn = self._mode in ("blackhole", "mute") and mode == "pass"
        self._mode = mode
        if torn or mode == "reset":
            for writer in list(self._writers):
                writer.transport.abort()

    async def _close(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()
        self._listener.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._loop.call_soon(self._loop.stop)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self._mode == "reset":
            writer.transport.abort()
            return
        self._writers.add(writer)
        far: asyncio.StreamWriter | None = None
        pumps: list[asyncio.Task[None]] = []
        try:
            answers, far = await asyncio.open_connection("127.0.0.1", self._target)
            self._writers.add(far)
            pumps = [
                asyncio.create_task(self._pump(reader, far, answer=False)),
                asyncio.create_task(self._pump(answers, writer, answer=True)),
            ]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        except (OSError, asyncio.CancelledError):
            pass  # the server is away, or the test is over: the client sees a closed connection
        finally:
            for end in (writer, far):
                if end is not None:
                    self._writers.discard(end)
                    end.transport.abort()
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answer: bool) -> None:
        try:
            while piece := await reader.read(65536):
                if self._mode == "blackhole" or (self._mode == "mute" and answer):
                    continue
                if self._mode == "latency":
                    await asyncio.sleep(self._delay_s)
                writer.write(piece)
                await writer.drain()
        except (OSError, asyncio.CancelledError):
            return
