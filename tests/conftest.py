"""Fixtures every test may use: tiny models and data, and where the shared real data lies."""

from __future__ import annotations

import fcntl
import gc
import os
import pickle
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

# Tiny models: a second thread only waits, and on a busy machine it waits long. Before torch is imported,
# and for the processes the tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import hypothesis
import pytest

from finetune30.standby import Standby
from tests import tiny
from tests.order import longest_first
from tests.servers import PostgresServer, RedisServer
from tests.trained import Trained, train

ROOT = Path(__file__).parents[1]
Server = TypeVar("Server")
_START = Standby._start

# No test asserts a time; the examples are the same on every machine.
hypothesis.settings.register_profile("unhurried", deadline=None, derandomize=True)
hypothesis.settings.load_profile("unhurried")


def pytest_configure(config: pytest.Config) -> None:
    """xdist takes the files in our order, not those of many tests first."""
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


def pytest_collection(session: pytest.Session) -> None:
    """Importing all there is makes no garbage that is worth looking for: a third of the time would go into that."""
    gc.disable()


def pytest_collection_finish(session: pytest.Session) -> None:
    """What was imported and collected stays: nobody looks through it again and again while the tests run."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files begin first; one process alone keeps pytest's order, which starts each shared service once."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items[:] = longest_first(items)


@pytest.fixture(scope="session", autouse=True)
def _offline() -> None:
    """No test reaches a hub, whatever the machine could."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["HF_DATASETS_OFFLINE"] = "1"


@pytest.fixture(scope="session", autouse=True)
def _checkers(_offline: None) -> Iterator[None]:
    """The check of what is trained in this process is a copy of one that has imported; see ``tests.checkers``."""
    if sys.platform != "linux":
        yield
        return
    from tests.checkers import Checkers

    checkers = Checkers()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Standby, "_start", lambda standby: checkers.new(standby) or _START(standby))
        yield
    checkers.close()


@pytest.fixture
def new_interpreters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that stand by are started as outside of tests."""
    monkeypatch.setattr(Standby, "_start", _START)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folder of a tiny model by architecture, made once."""
    made: dict[str, Path] = {}

    def get(architecture: str) -> Path:
        if architecture not in made:
            made[architecture] = tiny.save_model(tmp_path_factory.mktemp(architecture), architecture)
        return made[architecture]

    return get


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with train.csv (96 rows), validation.csv (32) and test.csv (16)."""
    return tiny.write_dataset(tmp_path_factory.mktemp("data"), test=16)


@pytest.fixture(scope="session")
def trained(tiny_model: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A run that was really trained, and some that only answered; made once, however many processes run the tests."""
    own = tmp_path_factory.mktemp("trained")
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return train(own, tiny_model("distilbert"))
    with in_turn(tmp_path_factory.getbasetemp().parent / "trained") as (shared, is_first):
        if is_first:
            made = train(shared / "made", tiny_model("distilbert"))
            (shared / "made.pickle").write_bytes(pickle.dumps(made))
        # A copy for each process: tests move files of it away for a while.
        made = pickle.loads((shared / "made.pickle").read_bytes())  # noqa: S301
        return made.moved(Path(shutil.copytree(shared / "made", own, dirs_exist_ok=True)))


@pytest.fixture
def shared_data() -> Path:
    """The shared real data; skips where it is absent."""
    folder = Path(os.environ.get("FINETUNE30_DATA", ROOT / ".." / "shared" / "data")).resolve()
    if not folder.is_dir():
        pytest.skip(f"no shared data at {folder} (set FINETUNE30_DATA)")
    return folder


@pytest.fixture
def free_port() -> int:
    """A TCP port of this machine that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A running PostgreSQL; it is stopped and removed at the end."""
    server = started(PostgresServer)
    yield server
    server.remove()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A running Redis; it is stopped and removed at the end."""
    server = started(RedisServer)
    yield server
    server.remove()


@contextmanager
def in_turn(folder: Path) -> Iterator[tuple[Path, bool]]:
    """The folder, for one process at a time; and whether nobody came to its end before."""
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder, not (folder / "done").exists()
        (folder / "done").touch()


def started(program: Callable[[], Server]) -> Server:
    """The running server; skips the test where this machine has no such program."""
    try:
        return program()
    except FileNotFoundError as lack:
        pytest.skip(str(lack))
