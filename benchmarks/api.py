"""What the API costs: requests a second and how long the slowest twentieth take, with 1,000 and with 100,000 runs.

Each server is a process of its own; the requests go round in turn, so that what else the machine does meets all alike.
The floor is a bare FastAPI endpoint with the same check of the token and the same one row by SQLAlchemy, as JSON.
Goals: a page of 100,000 runs takes at most 1.5 times what it takes with 1,000 (p95); importing the API takes less than
1.5 times what importing FastAPI and SQLAlchemy takes. Only this machine is asked, and all of it ends by itself.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.servers import PostgresServer

from benchmarks.rows import fill
from finetune30.access import Role
from finetune30.api.services import open_services
from finetune30.settings import Settings

SIZES, CLIENTS, SECONDS, ROUNDS, IMPORTS, WAITING = (1_000, 100_000), 8, 2.0, 3, 11, 200
PATHS = {
    "/task/{id}": "/task/run_500",
    "/task/{id}, waiting": "/task/wait_100",
    "/experiments": "/experiments?limit=50",
    "/experiments by accuracy": "/experiments?sort_by=eval_accuracy&limit=50",
    "/experiments q=": "/experiments?limit=50&q=status%3DSUCCESS%20AND%20(accuracy%3E0.5%20OR%20runtime%3C60)",
    "/experiments/stats": "/experiments/stats",
}
_SERVER = """
import sys
from finetune30.api.serve import listen
from finetune30.settings import get_settings
import uvicorn
if sys.argv[1] == "ours":
    from finetune30.api.app import create_app
    app = create_app(get_settings())
else:
    from benchmarks.floor import create_app
    app = create_app(get_settings())
listener = listen("127.0.0.1", 0)
print(listener.getsockname()[1], flush=True)
config = uvicorn.Config(app, log_config=None, access_log=False, server_header=False)
uvicorn.Server(config).run(sockets=[listener])
"""


@dataclass
class Server:
    """A server, whom it was asked for, and how long each answer took, round by round."""

    database: str
    rows: int
    port: int
    token: str
    took: dict[str, list[list[float]]] = field(default_factory=dict)
    rates: dict[str, list[float]] = field(default_factory=dict)

    def p95_ms(self, name: str) -> float:
        """Of the round in the middle."""
        return statistics.median(_p95_ms(times) for times in self.took[name])


def measure() -> dict[str, Any]:
    """Every figure, with tables on the screen."""
    found: dict[str, Any] = {"import": _imports()}
    postgres = PostgresServer()
    try:
        with ExitStack() as stack:
            servers, floors = [], []
            for rows in SIZES:
                for name, url in (("SQLite", None), ("PostgreSQL", postgres.database(f"api{rows}"))):
                    started = stack.enter_context(_served(name, url, rows, floor=rows == SIZES[0]))
                    servers.append(started[0])
                    floors += started[1:]
            for _ in range(ROUNDS):
                for name, path in PATHS.items():
                    for server in servers:
                        asyncio.run(_ask(server, name, path))
                for floor in floors:
                    asyncio.run(_ask(floor, "floor", "/row/run_500"))
        found |= _told(servers, floors)
    finally:
        postgres.remove()
    return found


@contextmanager
def _served(name: str, url: str | None, rows: int, *, floor: bool) -> Iterator[list[Server]]:
    """The API over a database with so many rows, and where wanted the floor over the same one."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        env = {"RESULTS_DIR": f"{folder}/results", "DATA_DIR": f"{folder}/data", "TZ": "UTC"}
        env |= {"READS_PER_MINUTE": "0", **({"DATABASE_URL": url} if url else {})}
        services = open_services(Settings(_env_file=None, **{key.lower(): value for key, value in env.items()}))  # type: ignore[arg-type]
        fill(services.engine, rows, WAITING, time.time())
        token = services.access.tokens.issue(
            services.access.users.add("bench", Role.ADMIN, "four words in a row")
        ).token
        services.close()
        kinds = ["ours", "floor"] if floor else ["ours"]
        yield [Server(name, rows, stack.enter_context(_process(kind, env)), token) for kind in kinds]


@contextmanager
def _process(kind: str, env: dict[str, str]) -> Iterator[int]:
    """The port of a server in a process of its own."""
    command = [sys.executable, "-c", _SERVER, kind]
    process = subprocess.Popen(command, env={**os.environ, **env}, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(30)


async def _ask(server: Server, name: str, path: str) -> None:
    """For some seconds, ``CLIENTS`` at once over connections that stay open; the first fifth warms up."""
    head = (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nAuthorization: Bearer {server.token}\r\n\r\n".encode()
    )
    times: list[float] = []
    began = time.perf_counter()
    until, counts_from = began + SECONDS, began + SECONDS / 5

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        while (sent := time.perf_counter()) < until:
            writer.write(head)
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 200"), answer[:200]
            length = int(answer.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
            await reader.readexactly(length)
            if sent >= counts_from:
                times.append(time.perf_counter() - sent)
        writer.close()

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    server.took.setdefault(name, []).append(times)
    server.rates.setdefault(name, []).append(len(times) / (time.perf_counter() - counts_from))


def _p95_ms(times: list[float]) -> float:
    return 1000 * sorted(times)[int(len(times) * 0.95)]


def _told(servers: list[Server], floors: list[Server]) -> dict[str, Any]:
    few, many = ({one.database: one for one in servers if one.rows == rows} for rows in SIZES)
    found: dict[str, Any] = {}
    print(f"\n{CLIENTS} clients at once, p95 of the middle one of {ROUNDS} rounds in turn; the goal of a page is 1.5\n")
    print("| request | database | requests/s, 1,000 runs | p95 ms | requests/s, 100,000 runs | p95 ms | p95 ratio |")
    print("|---|---|---|---|---|---|---|")
    for name in PATHS:
        for database, one in few.items():
            other = many[database]
            pairs = zip(one.took[name], other.took[name], strict=True)
            ratio = statistics.median(_p95_ms(b) / _p95_ms(a) for a, b in pairs)
            figures = {
                "rate": statistics.median(one.rates[name]),
                "p95_ms": one.p95_ms(name),
                "rate_many": statistics.median(other.rates[name]),
                "p95_many_ms": other.p95_ms(name),
            }
            told = " | ".join(f"{value:.0f}" if "rate" in what else f"{value:.1f}" for what, value in figures.items())
            print(f"| `{name}` | {database} | {told} | {ratio:.2f} |")
            found[f"{name} {database}"] = {**figures, "ratio": ratio}
    for floor in floors:
        rate, p95 = statistics.median(floor.rates["floor"]), floor.p95_ms("floor")
        found[f"floor {floor.database}"] = {"rate": rate, "p95_ms": p95}
        print(f"| bare FastAPI, one row | {floor.database} | {rate:.0f} | {p95:.1f} | – | – | – |")
    return found


def _imports() -> dict[str, float]:
    """Whole processes in turn, their code compiled before, as after an installation: the first pair does that."""
    ours, peer = [], []
    with tempfile.TemporaryDirectory() as compiled:
        env = {**os.environ, "PYTHONPYCACHEPREFIX": compiled}
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        for _ in range(IMPORTS + 1):
            for times, code in ((ours, "import finetune30.api.app"), (peer, "import fastapi, sqlalchemy")):
                began = time.perf_counter()
                subprocess.run([sys.executable, "-c", code], check=True, env=env)
                times.append(time.perf_counter() - began)
    ratios = sorted(a / b for a, b in zip(ours[1:], peer[1:], strict=True))
    found = {
        "ours_s": statistics.median(ours[1:]),
        "peer_s": statistics.median(peer[1:]),
        "ratio": statistics.median(ratios),
    }
    print("| importing | seconds |\n|---|---|")
    print(f"| `finetune30.api.app` | {found['ours_s']:.2f} |\n| FastAPI and SQLAlchemy alone | {found['peer_s']:.2f} |")
    told = f"{found['ratio']:.2f} ({ratios[0]:.2f}, {ratios[-1]:.2f})"
    print(f"| ratio, pair by pair: median (least, most); the goal is below 1.5 | {told} |")
    return found
