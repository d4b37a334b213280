"""What an attempt process finds around it: its environment, its folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from finetune30.experiments import Status
from finetune30.settings import Settings
from tests.worker.conftest import Bench

SECRET = (
    "DATABASE_URL broker_url Jwt_Secret PGPASSWORD PGPASSFILE PGSERVICEFILE REDIS_PASSWORD db_password APP_SECRET "
    "DJANGO_SECRET_KEY AWS_SECRET_ACCESS_KEY GITHUB_TOKEN"
)
NEEDED = (
    "HF_TOKEN HUGGING_FACE_HUB_TOKEN WANDB_API_KEY MLFLOW_TRACKING_URI MLFLOW_TRACKING_PASSWORD MLFLOW_TRACKING_TOKEN"
)


def test_no_secret_in_any_spelling_reaches_an_attempt_and_what_its_trackers_need_does(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = [name for name, field in Settings.model_fields.items() if not field.repr]
    assert {"webhook_key", "page_key"} < set(ours)
    for name in (*SECRET.split(), *ours, *(name.upper() for name in ours), *NEEDED.split()):
        monkeypatch.setenv(name, "canary")
    row = bench.run(
        f"names = [name for name, value in os.environ.items() if value == 'canary']\n"
        f"Path({str(tmp_path / 'names')!r}).write_text(' '.join(names))\nhold.succeeded({{}})"
    )

    assert row.status is Status.SUCCESS
    assert sorted((tmp_path / "names").read_text().split()) == sorted(NEEDED.split())


def test_an_attempt_runs_in_its_own_folder_out_of_reach_of_the_workers(
    make_bench: Callable[..., Bench], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where every path the worker was given is relative."""
    (tmp_path / ".env").write_text("JWT_SECRET=canary\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HOME", "hub")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([os.environ.get("PYTHONPATH", ""), "mine"]))
    bench = make_bench(results_dir=Path("results"), data_dir=Path("data"))
    row = bench.run(
        f"paths = [os.getcwd(), order['results_dir'], order['data_dir'], os.environ['HF_HOME']]\n"
        f"Path({str(tmp_path / 'paths')!r}).write_text(' '.join([*paths, os.environ['PYTHONPATH']]))\n"
        "hold.succeeded({})"
    )

    assert row.status is Status.SUCCESS
    *paths, packages = (tmp_path / "paths").read_text().split(" ")
    assert paths == [str(tmp_path / part) for part in (f"results/{row.id}", "results", "data", "hub")]
    assert packages.endswith(f"{os.pathsep}{tmp_path / 'mine'}")
    assert not (tmp_path / "results" / row.id / ".env").exists()
