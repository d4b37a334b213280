"""Webhooks over each database, and what tests do with runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from finetune30 import database
from finetune30.config import ExperimentConfig
from finetune30.experiments import ExperimentStore, Status
from finetune30.settings import Settings
from finetune30.webhooks import Postman, Webhooks, carrying
from tests.servers import PostgresServer
from tests.webhooks.receiver import Receiver, receiving

TOTAL_S = 1.0


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Address of an empty database, on each backend."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'experiments.db'}"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.database("webhooks")


@pytest.fixture
def settings(url: str, tmp_path: Path) -> Settings:
    """Of a machine whose own addresses may be told of things."""
    values: dict[str, Any] = {"results_dir": tmp_path / "results", "webhook_hosts": "127.0.0.1", "database_url": url}
    return Settings(_env_file=None, **values)


@pytest.fixture
def house(settings: Settings) -> Iterator[House]:
    """An empty database."""
    found = House(settings)
    yield found
    found.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """One that answers 204."""
    with receiving() as found:
        yield found


class House:
    """Runs, webhooks and a postman over one database; the postman goes when he is told to."""

    def __init__(self, settings: Settings, **postman: Any) -> None:
        self.settings = settings
        self.engine: Engine = database.open_engine(settings.resolved_database_url)
        database.upgrade(self.engine)
        self.store = ExperimentStore(self.engine, 60)
        self.webhooks = Webhooks(settings, self.engine)
        self.said: list[str] = []
        carry = partial(carrying.carry, total_s=TOTAL_S)
        self.postman = Postman(self.webhooks, self.said.append, **{"carry": carry, "look_s": 0.02, **postman})

    def close(self) -> None:
        self.engine.dispose()

    def run(self, owner: str = "ana", name: str = "reviews") -> str:
        """A run that is under way."""
        config = ExperimentConfig(experiment_name=name)
        return self.store.create(config, owner=owner, tz="UTC", claimed_by="local:1").id

    def end(self, task_id: str, status: Status = Status.SUCCESS, **more: Any) -> None:
        """It ends so."""
        self.store.finish(task_id, 1, "local:1", status, **more)

    def ended(self, owner: str = "ana", **more: Any) -> str:
        """A run that has ended."""
        task_id = self.run(owner)
        self.end(task_id, **more)
        return task_id

    def send_due(self) -> int:
        """Send what is due, one after the other; how many that were."""
        return sum(self.postman.send(number) for number, _ in self.postman.outbox.due())

    def rows(self, what: str = "number, kind, experiment_id, state", tail: str = "") -> list[Any]:
        """Of the table of deliveries."""
        with database.read(self.engine) as connection:
            statement = text(f"SELECT {what} FROM deliveries {tail} ORDER BY number")  # noqa: S608 - of our tests
            return [tuple(one) for one in connection.execute(statement)]

    def change(self, statement: str) -> None:
        """Let time pass, or something else that takes long."""
        with database.write(self.engine) as connection:
            connection.execute(text(statement))

    def make_due(self) -> None:
        """The next attempt is now."""
        self.change("UPDATE deliveries SET next_at = 0 WHERE state = 'waiting'")


@pytest.fixture
def another(settings: Settings) -> Iterator[Callable[..., House]]:
    """Another process's view of the same database."""
    made: list[House] = []

    def make(**postman: Any) -> House:
        made.append(House(settings, **postman))
        return made[-1]

    yield make
    for one in made:
        one.close()
