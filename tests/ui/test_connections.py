"""Deadlines of connections hold for the page, and not for a websocket, which may be quiet."""

from __future__ import annotations

import socket
import threading
import time

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket
from websockets.sync.client import connect

from finetune30.web.guard import Guarded, Loop
from finetune30.web.listening import listen

HEAD_S = 0.3


class Hasty(Guarded):
    """A head has much less time than it has else."""

    head_s = HEAD_S


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(await websocket.receive_text())
    await websocket.close()


@pytest.fixture
def port() -> object:
    listener = listen("127.0.0.1", 0)
    app = Starlette(routes=[WebSocketRoute("/", echo)])
    config = uvicorn.Config(app, log_config=None, http=Hasty, loop=Loop, ws="websockets-sansio", lifespan="off")  # type: ignore[arg-type]
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield listener.getsockname()[1]
    server.should_exit = True
    thread.join()
    listener.close()


def test_a_websocket_may_be_quiet_for_longer_than_a_head_may_take(port: int) -> None:
    with connect(f"ws://127.0.0.1:{port}/", proxy=None) as connection:
        time.sleep(3 * HEAD_S)
        connection.send("still here")

        assert connection.recv() == "still here"


def test_s47_a_head_that_drips_is_given_up_all_the_same(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as drip:
        drip.sendall(b"GET / HTTP/1.1\r\nHost: ")

        assert drip.recv(1) == b""
