"""``finetune30 serve`` as an operator runs it: what it refuses, what it says, how it ends."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from finetune30.experiments import ExperimentStore, Status, open_store
from finetune30.registry import Actor, Models
from finetune30.settings import Settings
from tests import tiny
from tests.api.test_serve import SECRETS
from tests.serving.desk import succeeded
from tests.serving.process import PATIENCE_S, Served, refuses, served

ROOT = Path(__file__).parents[2]
SECRET_TEXT = "quite a private film"


class Place:
    """A folder of results with what a test puts there."""

    def __init__(self, home: Path, model: Path) -> None:
        self.home, self.model = home, model
        settings = Settings(_env_file=None, results_dir=home / "results", data_dir=home / "data", tz="UTC")
        self.store: ExperimentStore = open_store(settings)
        self.models = Models(self.store.engine, settings.results_dir)

    def run(self, **options: Any) -> str:
        """The id of a run that succeeded."""
        return succeeded(self.store, self.home / "results", self.model, **options)

    def failed(self) -> str:
        """The id of a run that failed."""
        made = self.store.create(tiny.experiment(self.model, "builtin:reviews"), owner="ana", tz="UTC").id
        self.store.finish(
            made,
            self.store.claim(made, "test"),
            "test",
            Status.FAILURE,
            error={"code": "diverged", "message": "it diverged"},
        )
        return made

    def files(self) -> set[str]:
        """Everything there is, but the database's own."""
        found = {str(path.relative_to(self.home)) for path in self.home.rglob("*")}
        return {name for name in found if "experiments.db" not in name and name != "serving.log"}


@pytest.fixture
def place(tmp_path: Path, tiny_model: Callable[[str], Path]) -> Iterator[Place]:
    found = Place(tmp_path, tiny_model("bert"))
    yield found
    found.store.close()


def waited(check: Callable[[], Any]) -> Any:
    """What ``check`` gives as soon as it gives anything."""
    until = time.monotonic() + PATIENCE_S
    while not (found := check()):
        assert time.monotonic() < until, "it never came"
        time.sleep(0.05)
    return found


def _no_such_run(place: Place) -> tuple[str, ...]:
    return ("nothing_20260101_000000",)


def _failed_run(place: Place) -> tuple[str, ...]:
    return (place.failed(),)


def _run_whose_files_are_elsewhere(place: Place) -> tuple[str, ...]:
    run = place.run()
    shutil.rmtree(place.home / "results" / run)
    return (run,)


def _run_whose_files_were_changed(place: Place) -> tuple[str, ...]:
    run = place.run()
    weights = place.home / "results" / run / "artifacts" / "final_model" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    return (run,)


def _no_such_model(place: Place) -> tuple[str, ...]:
    return ("films@champion",)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (_no_such_run, "there is no experiment"),
        (_failed_run, "FAILURE"),
        (_run_whose_files_are_elsewhere, "final_model is missing"),
        (_run_whose_files_were_changed, "adapter_model.safetensors"),
        (_no_such_model, "there is no model 'films'"),
    ],
)
def test_what_cannot_answer_is_refused_before_the_port_is_open(
    place: Place, make: Callable[[Place], tuple[str, ...]], said: str
) -> None:
    done = refuses(place.home, "--exp", *make(place))

    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "error: " in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 4, done.stderr


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"ENVIRONMENT": "production"}, "JWT_SECRET is not set"),
        ({"ENVIRONMENT": "production", **SECRETS, "JWT_SECRET": "changeme"}, "JWT_SECRET"),
        ({"ENVIRONMENT": "production", **SECRETS, "SERVING_HOST": "0.0.0.0"}, "plain HTTP"),  # noqa: S104
        ({"TLS_CERTFILE": "cert.pem"}, "TLS_KEYFILE"),
        ({"TLS_CERTFILE": "cert.pem", "TLS_KEYFILE": "key.pem"}, "is no file"),
        ({"SERVING_HOST": "no such host"}, "SERVING_HOST"),
        ({"SERVING_DEVICE": "abacus"}, "SERVING_DEVICE"),
        ({"SERVING_QUEUE": "3"}, "SERVING_QUEUE"),
    ],
)
def test_s45_what_is_not_safe_does_not_start(tmp_path: Path, values: dict[str, str], said: str) -> None:
    done = refuses(tmp_path, **values)

    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    for secret in ("changeme", *SECRETS.values()):
        assert secret not in done.stderr


def test_production_on_loopback_wants_a_token(place: Place) -> None:
    place.run()
    with served(place.home, ENVIRONMENT="production", **SECRETS) as service, service.client() as client:
        assert client.get("/ready").json() == {"status": "ready"}
        assert client.post("/predict", json={"text": "film"}).status_code == 401
        assert "strict-transport-security" in client.get("/health").headers


def test_a_port_that_is_taken_is_told(place: Place) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = refuses(place.home, "--port", str(port))

    assert done.returncode == 2
    assert f"cannot listen on 127.0.0.1 port {port}" in done.stderr
    assert "--port" in done.stderr


def test_it_waits_for_the_first_run_follows_it_and_says_what_it_does(place: Place) -> None:
    with served(place.home) as service, service.client() as client:
        assert client.get("/ready").status_code == 503
        assert client.post("/predict", json={"text": SECRET_TEXT}).status_code == 404
        first = place.run(seed=1)
        waited(lambda: client.get("/ready").status_code == 200)
        waited(lambda: any(line.startswith(f"{first} answers") for line in service.messages()))
        assert client.post("/predict", json={"text": SECRET_TEXT}).json()["adapter"]["id"] == first

        second = place.run(seed=2)
        waited(lambda: client.post("/predict", json={"text": SECRET_TEXT}).json()["adapter"]["id"] == second)

        place.models.register("films", place.models.candidate(second), Actor("ana"), alias="champion")
        answer = client.post("/predict", json={"text": SECRET_TEXT, "adapter": "films@champion"})
        assert answer.json()["adapter"]["alias"] == "champion"

        bad = place.run(seed=3)
        config = place.home / "results" / bad / "artifacts" / "final_model" / "adapter_config.json"
        config.write_text("{}")
        waited(lambda: any(line.startswith(f"{bad} does not answer as newest: ") for line in service.messages()))
        assert client.post("/predict", json={"text": SECRET_TEXT}).json()["adapter"]["id"] == second
        assert client.post("/predict", json={"text": SECRET_TEXT, "adapter": bad}).status_code == 409

        said = service.messages()
        assert "there is no successful run yet; the first one will answer as soon as it is there" in said
        assert f"newest is {second} now, it was {first}" in said
        assert any(line.startswith("refused, model_invalid: ") for line in said)
        assert any(line.startswith(f"{second} is in memory: ") for line in said)
        assert SECRET_TEXT not in service.text


def test_s99_what_is_being_asked_is_answered_when_it_is_told_to_end(place: Place) -> None:
    place.run()
    body = {"text": [" ".join([text] * 20) for text, _ in tiny.rows(500)]}
    answers: list[httpx.Response] = []
    with served(place.home) as service, service.client() as client:
        asker = threading.Thread(target=lambda: answers.append(client.post("/predict", json=body)))
        asker.start()
        with service.client() as other:
            waited(lambda: "te_embed_count 0.0" not in other.get("/metrics").text)
        service.process.send_signal(signal.SIGTERM)
        asker.join(PATIENCE_S)
        assert service.process.wait(PATIENCE_S) == 0
    [answer] = answers
    assert answer.status_code == 200
    assert len(answer.json()["predictions"]) == 500


def test_killed_it_leaves_nothing_and_starts_again_on_the_same_port(place: Place) -> None:
    place.run()
    before = place.files()
    with served(place.home) as service, service.client() as client:
        client.post("/predict", json={"text": "film"}).raise_for_status()
        port = service.url.rpartition(":")[2]
        service.process.kill()
        service.process.wait()
    assert place.files() == before
    with served(place.home, "--port", port) as service, service.client() as client:
        client.post("/predict", json={"text": "film"}).raise_for_status()
    assert place.files() == before


@pytest.mark.skipif(shutil.which("make") is None or shutil.which("curl") is None, reason="make or curl is missing")
def test_make_asks_it(place: Place) -> None:
    place.run()
    with served(place.home) as service:
        assert '"status":"ok"' in _make(service, "predict-health")
        for target in ("predict-positive", "predict-negative"):
            assert '"label":' in _make(service, target)
        assert '"label":' in _make(service, "predict-text", 'text=it\'s "quoted" $$HOME; `true` 很好 100%')


def _make(service: Served, *words: str) -> str:
    # The environment of this machine stands for the one `make setup` makes.
    fake = service.log.parent / "venv"
    (fake / "bin").mkdir(parents=True, exist_ok=True)
    (fake / ".ready").touch()
    python = fake / "bin" / "python"
    if not python.exists():
        python.symlink_to(shutil.which("python3") or "python3")
    done = subprocess.run(
        ["make", "--no-print-directory", "-o", f"{fake}/.ready", f"VENV={fake}", f"SERVING={service.url}", *words],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("MAKE")},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
