"""A store on each database: SQLite, and a real PostgreSQL started for the session."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from finetune30 import database
from finetune30.experiments import ExperimentStore

LEASE_S = 60.0


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Address of a running PostgreSQL; it is stopped and removed at the end."""
    if shutil.which("initdb") is None or shutil.which("pg_ctl") is None:
        pytest.skip("initdb and pg_ctl of PostgreSQL are not on the PATH")
    as_user = _as_other_user()
    home = Path(tempfile.mkdtemp(prefix="finetune30-postgres-"))
    try:
        if as_user:
            shutil.chown(home, "postgres")
        data, log, port = home / "data", home / "log", _free_port()
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c fsync=off -k {home}"
        _run([*as_user, "initdb", "-D", str(data), "-U", "postgres", "-A", "trust", "--no-sync"])
        _run([*as_user, "pg_ctl", "-D", str(data), "-o", options, "-l", str(log), "-w", "start"])
        try:
            yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
        finally:
            _run([*as_user, "pg_ctl", "-D", str(data), "-m", "immediate", "-w", "stop"])
    finally:
        shutil.rmtree(home)


def _as_other_user() -> list[str]:
    """PostgreSQL refuses to run as root: the words that run a command as somebody else."""
    if os.geteuid() != 0:
        return []
    try:
        pwd.getpwnam("postgres")
    except KeyError:
        pytest.skip("running as root, and there is no user postgres to run PostgreSQL")
    return ["runuser", "-u", "postgres", "--"]


def _run(command: list[str]) -> None:
    # Its own session: Ctrl+C of the tests must not reach the server. No pipe: the server would keep it open.
    subprocess.run(
        command,
        check=True,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Address of an empty database, on each backend."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'experiments.db'}"
    address = str(request.getfixturevalue("postgres"))
    engine = database.open_engine(address)
    with database.write(engine) as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    engine.dispose()
    return address


@pytest.fixture
def store(url: str) -> Iterator[ExperimentStore]:
    """An empty store, on each backend."""
    engine = database.open_engine(url)
    database.upgrade(engine)
    store = ExperimentStore(engine, LEASE_S)
    yield store
    store.close()
