"""The service as its clients meet it: uvicorn on a free port, over a real database and tiny real adapters.

Neighbours: ``conftest`` starts it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from finetune30.access import Access, Role
from finetune30.experiments import ExperimentFolder, Status, open_store
from finetune30.registry import Actor, Models, seal
from finetune30.serving.serve import open_service
from finetune30.settings import Settings
from finetune30.web.listening import config_of, listen
from tests import tiny
from tests.modeling.test_shared import save_adapter

PASSWORD = "four words in a row"
_PATIENCE_S = 60.0


class Desk:
    """One running service and the database it reads.

    Args:
        values: Settings by their variables' names.
    """

    def __init__(self, home: Path, model: Path, values: Mapping[str, Any], address: str | None = None) -> None:
        self.home = home
        self.model = model
        given = {
            "RESULTS_DIR": home / "results",
            "DATA_DIR": home / "data",
            "TZ": "UTC",
            "SERVING_PRECISION": "float32",
            "SERVING_DEVICE": "cpu",
            "SERVING_POLL_S": 0.05,
            **values,
        }
        self.settings = Settings(_env_file=None, **{name.lower(): value for name, value in given.items()})
        self.store = open_store(self.settings)
        self.models = Models(self.store.engine, self.settings.results_dir)
        self.access = Access(self.settings, self.store.engine)
        self.service = open_service(self.settings, address)
        self._listener = listen("127.0.0.1", 0)
        self.port = int(self._listener.getsockname()[1])
        self._server = uvicorn.Server(config_of(self.service.gate, self.settings, lifespan="off"))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._listener]}, daemon=True)
        self.client = httpx.Client(base_url=self.url, timeout=_PATIENCE_S, trust_env=False)

    @property
    def url(self) -> str:
        """Where it is reached."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Serve, from a thread."""
        self._thread.start()
        self.service.following.start()
        until = time.monotonic() + _PATIENCE_S
        while not self._server.started:
            assert time.monotonic() < until, "the service does not start"
            time.sleep(0.01)

    def stop(self) -> None:
        """End it and give the database back."""
        self.client.close()
        self._server.should_exit = True
        self._thread.join(_PATIENCE_S)
        assert not self._thread.is_alive()
        self.service.close()
        self._listener.close()
        self.store.close()

    def run(self, *, owner: str = "ana", labels: int = 2, seed: int = 1, **changes: Any) -> str:
        """The id of a run that succeeded, with an adapter of random weights."""
        config = tiny.experiment(self.model, "builtin:reviews")
        made = self.store.create(config, owner=owner, tz="UTC").id
        attempt = self.store.claim(made, "test")
        folder = ExperimentFolder.create(self.settings.results_dir, made)
        save_adapter(folder.final_model, self.model, labels=labels, seed=seed, **changes)
        seal(folder.final_model)
        metrics = {"train": {"runtime_s": 1.0}, "eval": {"accuracy": 0.9}}
        self.store.finish(made, attempt, "test", Status.SUCCESS, metrics=metrics)
        return made

    def folder(self, run: str) -> Path:
        """Where a run's adapter lies."""
        return ExperimentFolder(self.settings.results_dir, run).final_model

    def alias(self, name: str, alias: str, run: str, owner: str = "ana") -> None:
        """Register a run and let the alias point at it."""
        self.models.register(name, self.models.candidate(run), Actor(owner), alias=alias)

    def token(self, name: str, role: Role = Role.USER) -> str:
        """A token of a new user."""
        user = self.access.users.add(name, role, PASSWORD)
        return self.access.tokens.issue(user).token

    def post(self, path: str, body: Any, token: str | None = None, **options: Any) -> httpx.Response:
        """POST JSON."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return self.client.post(path, json=body, headers=headers, **options)

    def get(self, path: str, token: str | None = None) -> httpx.Response:
        """GET."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return self.client.get(path, headers=headers)


@contextmanager
def serving(home: Path, model: Path, values: Mapping[str, Any], address: str | None = None) -> Iterator[Desk]:
    """A service, ended with the block."""
    desk = Desk(home, model, values, address)
    desk.start()
    try:
        yield desk
    finally:
        desk.stop()
