"""What a run left behind, fetched over HTTP: files, the model, checkpoints; S65 and S66 of the security checklist."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import socket
import threading
import time
import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from finetune30.api import downloads
from finetune30.api.routes.artifacts import NAMES
from finetune30.experiments import ExperimentFolder
from tests.api.service import Person, Service, refused
from tests.trained import Trained


@pytest.fixture
def run(service: Service, ana: Person, trained: Trained) -> ExperimentFolder:
    """A finished run of ana's."""
    id = trained.copy("trained", service.services.jobs.store, service.settings, ana.name)
    return ExperimentFolder(service.settings.results_dir, id)


@pytest.fixture
def secret(service: Service) -> Iterator[Path]:
    """A file of the server's that nobody may read."""
    path = service.home / "secret.json"
    path.write_text('{"secret": "canary-4711"}', encoding="utf-8")
    yield path
    path.unlink()


def test_the_list_names_what_there_is_and_every_file_is_what_it_says(ana: Person, run: ExperimentFolder) -> None:
    listed = ana.get(f"/experiments/{run.id}/artifacts").json()["artifacts"]

    assert [one["name"] for one in listed] == list(NAMES)
    for one in listed[1:]:
        answer = ana.get(f"/experiments/{run.id}/artifacts/{one['name']}")
        assert len(answer.content) == one["bytes"] == int(answer.headers["content-length"])
        assert hashlib.sha256(answer.content).hexdigest() == one["sha256"]
        assert answer.headers["content-type"] == one["media_type"]
        assert answer.headers["content-disposition"] == f'attachment; filename="{run.id}-{one["name"]}"'
    assert ana.get(f"/experiments/{run.id}/artifacts/metrics.json").json() == json.loads(run.metrics_json.read_text())


def test_the_model_is_an_archive_of_the_folder_that_peft_opens(
    ana: Person, run: ExperimentFolder, tmp_path: Path
) -> None:
    listed = ana.get(f"/experiments/{run.id}/artifacts").json()["artifacts"][0]
    answer = ana.get(f"/experiments/{run.id}/artifacts/final_model.zip")

    assert answer.headers["content-type"] == "application/zip"
    assert int(answer.headers["content-length"]) == len(answer.content)
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        archive.extractall(tmp_path)
    assert [one["name"] for one in listed["files"]] == sorted(p.name for p in run.final_model.iterdir())
    for one in listed["files"]:
        content = (tmp_path / "final_model" / one["name"]).read_bytes()
        assert content == (run.final_model / one["name"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == one["sha256"]
    assert ana.get(f"/experiments/{run.id}/artifacts/final_model.zip").content == answer.content


def test_a_run_that_has_not_ended_has_nothing_yet(ana: Person) -> None:
    waiting = ana.post("/train", {}).json()["task_id"]

    assert ana.get(f"/experiments/{waiting}/artifacts").json() == {"experiment_id": waiting, "artifacts": []}
    assert ana.get(f"/experiments/{waiting}/checkpoints").json()["checkpoints"] == []
    for name in NAMES:
        refused(ana.get(f"/experiments/{waiting}/artifacts/{name}"), 404, "not_found")


def test_s26_what_another_user_made_is_403_and_no_byte_of_it_comes(
    ana: Person, bo: Person, admin: Person, run: ExperimentFolder
) -> None:
    tails = [f"artifacts/{name}" for name in NAMES]
    for tail in ("artifacts", *tails, "checkpoints", "checkpoints/checkpoint-12.zip", "curves", "predictions"):
        refused(bo.get(f"/experiments/{run.id}/{tail}"), 403, "forbidden")
        assert admin.get(f"/experiments/{run.id}/{tail}").status_code == 200, tail


@pytest.mark.parametrize(
    "name",
    [
        "..",
        ".",
        "../metrics.json",
        "..%2f..%2fsecret.json",
        "%2e%2e%2f%2e%2e%2fsecret.json",
        "..%5csecret.json",
        "%2fetc%2fpasswd",
        "metrics.json%2f..%2f..%2fsecret.json",
        "metrics.json%23",
        "metrics.json%3f",
        "metrics.json%00",
        "metrics.json%00.zip",
        "METRICS.JSON",
        "metrics.json/",
        ".made",
        "artifacts",
        "final_model",
        "final_model/adapter_config.json",
        "environment.json",
        "file:%2f%2f%2fetc%2fpasswd",
        "%ef%bc%8e%ef%bc%8e",
        "a" * 5000,
    ],
)
def test_s65_no_name_but_those_of_the_list_opens_a_file(
    service: Service, ana: Person, run: ExperimentFolder, secret: Path, name: str
) -> None:
    for below in ("artifacts", "checkpoints"):
        target = f"GET /experiments/{run.id}/{below}/{name} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        answer = service.raw(f"{target}Authorization: Bearer {ana.token}\r\n\r\n".encode())
        assert answer.split()[1] == b"404", answer[:200]
        assert b"canary-4711" not in answer


def test_s65_a_link_in_a_runs_folder_is_followed_nowhere(
    ana: Person, run: ExperimentFolder, secret: Path, tmp_path: Path
) -> None:
    model = run.final_model.rename(tmp_path / "model")
    places = [(run.metrics_json, secret), (run.config_yaml, Path("..", "..", "secret.json")), (run.final_model, model)]
    for path, target in places:
        path.unlink(missing_ok=True)
        path.symlink_to(target)
    checkpoint = next(run.artifacts.glob("checkpoint-*"))
    moved = checkpoint.rename(tmp_path / checkpoint.name)
    checkpoint.symlink_to(moved)
    run.eval_predictions.unlink()
    os.mkfifo(run.eval_predictions)

    for name in ("metrics.json", "config.yaml", "final_model.zip", "eval_predictions.parquet"):
        refused(ana.get(f"/experiments/{run.id}/artifacts/{name}"), 404, "not_found")
    refused(ana.get(f"/experiments/{run.id}/checkpoints/{checkpoint.name}.zip"), 404, "not_found")
    refused(ana.get(f"/experiments/{run.id}/predictions"), 404, "not_found")
    listed = [one["name"] for one in ana.get(f"/experiments/{run.id}/artifacts").json()["artifacts"]]
    assert listed == ["quality.json", "logs.txt", "progress.jsonl"]
    steps = [one["archive"] for one in ana.get(f"/experiments/{run.id}/checkpoints").json()["checkpoints"]]
    assert f"{checkpoint.name}.zip" not in steps


def test_s65_a_link_inside_the_model_is_no_part_of_the_archive(
    ana: Person, run: ExperimentFolder, secret: Path
) -> None:
    (run.final_model / "extra.json").symlink_to(secret)
    (run.final_model / "folder").mkdir()
    os.mkfifo(run.final_model / "pipe")

    with zipfile.ZipFile(io.BytesIO(ana.get(f"/experiments/{run.id}/artifacts/final_model.zip").content)) as archive:
        names = archive.namelist()
        assert all(b"canary-4711" not in archive.read(name) for name in names)
    assert "final_model/adapter_model.safetensors" in names
    assert not {"final_model/extra.json", "final_model/folder", "final_model/pipe"} & set(names)


def test_s65_a_runs_folder_that_is_a_link_is_no_runs_folder(ana: Person, run: ExperimentFolder, tmp_path: Path) -> None:
    elsewhere = run.path.rename(tmp_path / "elsewhere")
    run.path.symlink_to(elsewhere)

    assert ana.get(f"/experiments/{run.id}/artifacts").json()["artifacts"] == []
    refused(ana.get(f"/experiments/{run.id}/artifacts/metrics.json"), 404)
    run.path.unlink()
    shutil.move(elsewhere, run.path)


@pytest.mark.parametrize(
    "ranges",
    [
        "bytes=" + ",".join(f"{at}-{at}" for at in range(5000)),
        "bytes=0-0",
        "bytes=-1",
        "bytes=99999999999-",
        "bytes=" + "0-," * 10_000,
        "lines=1-2",
        "bytes=5-1",
    ],
)
def test_s66_ranges_cost_nothing_for_none_is_served(ana: Person, run: ExperimentFolder, ranges: str) -> None:
    for name in ("metrics.json", "final_model.zip"):
        path = f"/experiments/{run.id}/artifacts/{name}"
        answer = ana.get(path, headers={"Range": ranges})
        assert answer.status_code == 200
        assert answer.headers["accept-ranges"] == "none"
        assert answer.content == ana.get(path).content


def test_s66_ten_thousand_ranges_are_refused_before_anything_is_read(
    service: Service, ana: Person, run: ExperimentFolder
) -> None:
    ranges = ",".join(f"{at}-{at}" for at in range(20_000))
    target = f"GET /experiments/{run.id}/artifacts/metrics.json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    answer = service.raw(f"{target}Authorization: Bearer {ana.token}\r\nRange: bytes={ranges}\r\n\r\n".encode())

    assert not answer or answer.split()[1] in (b"200", b"400", b"416", b"431")


def test_a_log_that_grows_is_sent_as_long_as_it_was(ana: Person, run: ExperimentFolder) -> None:
    with run.logs_txt.open("a", encoding="utf-8") as log:
        ended = threading.Event()

        def grow() -> None:
            while not ended.is_set():
                log.write("one more line\n")
                log.flush()
                ended.wait(0.001)

        writer = threading.Thread(target=grow)
        writer.start()
        try:
            for _ in range(20):
                answer = ana.get(f"/experiments/{run.id}/artifacts/logs.txt")
                assert len(answer.content) == int(answer.headers["content-length"])
        finally:
            ended.set()
            writer.join()


def test_a_large_model_takes_no_memory_and_no_second_place_on_the_disk(
    service: Service, ana: Person, run: ExperimentFolder
) -> None:
    size = 200 << 20
    with (run.final_model / "large.safetensors").open("wb") as file:
        file.truncate(size)  # holes: they read as zeros
    used = shutil.disk_usage(service.home).used
    tracemalloc.start()
    try:
        count, headers = 0, ana.bearer
        with service.client.stream(
            "GET", f"/experiments/{run.id}/artifacts/final_model.zip", headers=headers
        ) as answer:
            for chunk in answer.iter_raw(1 << 20):
                count += len(chunk)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert size < count == int(answer.headers["content-length"])
    assert peak < 24 << 20
    assert shutil.disk_usage(service.home).used - used < size / 2


def test_who_leaves_in_the_middle_leaves_no_open_file(service: Service, ana: Person, run: ExperimentFolder) -> None:
    with (run.final_model / "large.safetensors").open("wb") as file:
        file.truncate(64 << 20)
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", service.port)) as connection:
            target = f"GET /experiments/{run.id}/artifacts/final_model.zip HTTP/1.1\r\nHost: localhost\r\n"
            connection.sendall(f"{target}Authorization: Bearer {ana.token}\r\n\r\n".encode())
            connection.recv(65_536)
    until = time.monotonic() + 30
    while ana.user.id in downloads._open:
        assert time.monotonic() < until
        time.sleep(0.02)

    assert not [path for path in map(_target, Path("/proc/self/fd").iterdir()) if run.id in path]


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except FileNotFoundError:  # closed meanwhile
        return ""


def test_downloads_at_once_are_limited_for_each_user(service: Service, ana: Person, run: ExperimentFolder) -> None:
    with (run.final_model / "large.safetensors").open("wb") as file:
        file.truncate(64 << 20)
    target = f"GET /experiments/{run.id}/artifacts/final_model.zip HTTP/1.1\r\nHost: localhost\r\n"
    waiting = [socket.create_connection(("127.0.0.1", service.port)) for _ in range(downloads._MOST_AT_ONCE)]
    try:
        for connection in waiting:
            connection.sendall(f"{target}Authorization: Bearer {ana.token}\r\n\r\n".encode())
            assert connection.recv(20).startswith(b"HTTP/1.1 200")

        refused(ana.get(f"/experiments/{run.id}/artifacts/metrics.json"), 429, "too_many_requests")
    finally:
        for connection in waiting:
            connection.close()


def test_checkpoints_say_why_they_are_kept_and_come_as_they_were_written(
    ana: Person, run: ExperimentFolder, tmp_path: Path
) -> None:
    kept = ana.get(f"/experiments/{run.id}/checkpoints").json()["checkpoints"]

    assert [one["step"] for one in kept] == sorted(int(p.name[11:]) for p in run.artifacts.glob("checkpoint-*"))
    assert sorted(role for one in kept for role in one["roles"]) == ["best", "fastest", "last"]
    assert "last" in kept[-1]["roles"]
    assert all(0 <= one["accuracy"] <= 1 and one["train_seconds"] > 0 for one in kept)
    for one in kept:
        answer = ana.get(f"/experiments/{run.id}/checkpoints/{one['archive']}")
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            assert archive.testzip() is None
            archive.extractall(tmp_path)
        folder = tmp_path / f"checkpoint-{one['step']}"
        assert {p.name for p in folder.iterdir()} == {file["name"] for file in one["files"]} | {"manifest.json"}
        for file in one["files"]:
            assert hashlib.sha256((folder / file["name"]).read_bytes()).hexdigest() == file["sha256"]
        assert one["bytes"] == sum(file["bytes"] for file in one["files"])


def test_a_damaged_checkpoint_is_not_handed_out(ana: Person, run: ExperimentFolder) -> None:
    folder = max(run.artifacts.glob("checkpoint-*"))
    weights = folder / "adapter_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    problem = refused(ana.get(f"/experiments/{run.id}/checkpoints/{folder.name}.zip"), 503, "checkpoint_rejected")
    assert str(run.results_dir) not in json.dumps(problem)

    (folder / "trainer_state.json").write_text("[", encoding="utf-8")
    (folder / "manifest.json").write_text('{"files": 3}', encoding="utf-8")
    assert ana.get(f"/experiments/{run.id}/checkpoints").status_code == 200
    refused(ana.get(f"/experiments/{run.id}/checkpoints/{folder.name}.zip"), 404)
    assert ana.user.id not in downloads._open


def test_the_row_says_what_an_experiment_takes_and_the_log_what_its_end_freed(
    service: Service, ana: Person, run: ExperimentFolder
) -> None:
    size = ana.get(f"/experiments/{run.id}").json()["bytes"]
    assert size == run.size_bytes() > 10_000

    assert ana.delete(f"/experiments/{run.id}").status_code == 204

    (row,) = [one for one in service.audit(user_id=ana.user.id) if one.action == "experiment.delete"]
    assert (row.target, row.outcome, row.detail) == (run.id, "ok", {"bytes": size})
    assert not run.path.exists()
    refused(ana.get(f"/experiments/{run.id}/artifacts"), 404)


def test_run_again_with_changes_a_configuration_goes_back_as_it_came(service: Service, ana: Person) -> None:
    wish = {
        "experiment_name": "first",
        "lora": {"r": 4, "target_modules": "all-linear"},
        "data": {"train_samples": 50, "validation_rules": {"min_rows_per_label": 2}},
        "training": {"num_train_epochs": 2, "warmup_steps": 0.1},
    }
    first = ana.post("/train", wish).json()["task_id"]
    config = ana.get(f"/experiments/{first}").json()["config"]

    again = ana.post("/train", config)
    assert again.status_code == 202, again.text
    assert again.json()["notes"] == []
    store = service.services.jobs.store
    assert store.get(again.json()["task_id"]).config == config == store.get(first).config
    changed = ana.post("/train", config | {"seed": 7}).json()["task_id"]
    assert store.get(changed).config == config | {"seed": 7}
    refused(ana.post("/train", config | {"owner": "admin"}), 422, "config_invalid")
