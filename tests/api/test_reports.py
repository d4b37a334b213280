"""Curves, predictions and comparisons over HTTP, on runs that were trained."""

from __future__ import annotations

import csv
import io
import json
import random
import subprocess
import sys
import threading

import pytest

from finetune30.experiments import ExperimentFolder
from tests.api.service import Person, Service, refused
from tests.trained import Trained


@pytest.fixture
def ids(service: Service, ana: Person, trained: Trained) -> dict[str, str]:
    """Ids of finished runs of ana's."""
    store = service.services.jobs.store
    return {name: trained.copy(name, store, service.settings, ana.name) for name in trained.runs}


def folder(service: Service, id: str) -> ExperimentFolder:
    return ExperimentFolder(service.settings.results_dir, id)


def strict(text: str) -> object:
    return json.loads(text, parse_constant=lambda _: 1 / 0)


def test_curves_are_columns_of_what_the_run_said(ana: Person, ids: dict[str, str]) -> None:
    answer = ana.get(f"/experiments/{ids['trained']}/curves").json()

    assert (answer["status"], answer["whole"]) == ("SUCCESS", True)
    training = answer["training"]
    assert training["steps"] == list(range(1, 13))
    assert training["found"] == 12
    assert all(len(column) == 12 for column in training["figures"].values())
    for name in ("loss", "learning_rate", "tokens_per_s", "at", "cpu_percent", "memory_bytes"):
        assert any(value is not None for value in training["figures"][name]), name
    assert answer["evaluations"]["steps"][-1] == 12
    assert all(0 <= value <= 1 for value in answer["evaluations"]["figures"]["accuracy"])


def test_curves_of_a_run_that_writes_meanwhile_are_always_whole_json(
    service: Service, ana: Person, ids: dict[str, str]
) -> None:
    path = folder(service, ids["guessed"]).progress_jsonl
    ended = threading.Event()

    def write() -> None:
        draw, step = random.Random(1), 0
        with path.open("a", encoding="utf-8") as file:
            while not ended.is_set():
                step += 1
                line = json.dumps({"kind": "step", "step": step, "loss": draw.choice([1.5, float("nan")])}) + "\n"
                cut = draw.randrange(len(line))
                file.write(line[:cut])
                file.flush()
                file.write(line[cut:])
                ended.wait(0.001)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(20):
            answer = ana.get(f"/experiments/{ids['guessed']}/curves?points=50")
            assert answer.status_code == 200
            strict(answer.text)
            assert len(answer.json()["training"]["steps"]) <= 50
    finally:
        ended.set()
        writer.join()


def test_curves_of_what_has_not_begun_are_empty(ana: Person) -> None:
    waiting = ana.post("/train", {}).json()["task_id"]

    assert ana.get(f"/experiments/{waiting}/curves").json()["training"]["steps"] == []
    for wrong in ("points=49", "points=5001", "points=NaN", "points=1e3", "point=100"):
        refused(ana.get(f"/experiments/{waiting}/curves?{wrong}"), 422)


def test_predictions_come_in_pages_that_hold_each_row_once(ana: Person, ids: dict[str, str]) -> None:
    path = f"/experiments/{ids['guessed']}/predictions"
    for order in ("row", "worst", "best"):
        whole = ana.get(path, params={"order": order}).json()
        seen, after = [], 0
        while after is not None:
            page = ana.get(path, params={"order": order, "limit": 7, "after": after}).json()
            seen += page["predictions"]
            after = page["next"]
        assert (whole["rows"], whole["has_more"]) == (32, False)
        assert seen == whole["predictions"]
    first = ana.get(path, params={"order": "worst", "limit": 1}).json()["predictions"][0]
    assert first["text"]
    assert first["certainty"] == first["probabilities"][first["label"]]
    wrong = ana.get(path, params={"only": "wrong"}).json()
    assert len(wrong["predictions"]) == wrong["wrong"] > 0
    assert not any(one["right"] for one in wrong["predictions"])
    assert ana.get(path, params={"after": 2**53}).json()["predictions"] == []


@pytest.mark.parametrize("query", ["order=random", "only=right", "limit=0", "limit=1001", "after=-1", "after=x", "a=1"])
def test_a_wrong_query_for_predictions_is_422(ana: Person, ids: dict[str, str], query: str) -> None:
    refused(ana.get(f"/experiments/{ids['guessed']}/predictions?{query}"), 422)


@pytest.mark.parametrize("name", ["guessed", "several"])
def test_s72_predictions_as_csv_and_as_json_lines_hold_all_rows(
    service: Service, ana: Person, ids: dict[str, str], name: str
) -> None:
    path = f"/experiments/{ids[name]}/predictions?order=worst"
    rows = ana.get(f"{path}&limit=1000").json()["predictions"]

    answer = ana.get(path, headers={"Accept": "text/csv"})
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["content-disposition"] == f'attachment; filename="{ids[name]}-predictions.csv"'
    table = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert [int(line["position"]) for line in table] == [one["position"] for one in rows]
    joined = ["|".join(one["label"]) if name == "several" else one["label"] for one in rows]
    assert [line["label"] for line in table] == joined
    lines = ana.get(path, headers={"Accept": "application/x-ndjson"})
    assert [strict(line) for line in lines.text.splitlines()] == rows
    assert len(ana.get(f"{path}&limit=3", headers={"Accept": "text/csv"}).text.splitlines()) == 4


def test_a_run_without_predictions_is_404_and_damaged_ones_are_503(
    service: Service, ana: Person, ids: dict[str, str]
) -> None:
    broken = ids["guessed"]
    files = folder(service, broken)
    files.eval_predictions.write_bytes(b"PAR1" + b"\0" * 500)
    for accept in ("application/json", "text/csv"):
        problem = refused(
            ana.get(f"/experiments/{broken}/predictions", headers={"Accept": accept}), 503, "storage_unusable"
        )
        assert str(service.home) not in json.dumps(problem)
    refused(ana.get(f"/experiments/compare?ids={broken},{ids['trained']}"), 503, "storage_unusable")

    files.eval_predictions.unlink()
    refused(ana.get(f"/experiments/{broken}/predictions"), 404, "not_found")
    left = ana.get(f"/experiments/compare?ids={broken},{ids['trained']}").json()
    assert left["evaluated"]["match"] == "unknown"
    assert left["figures"]


def test_a_damaged_file_never_is_a_fault_of_the_server(service: Service, ana: Person, ids: dict[str, str]) -> None:
    path = folder(service, ids["guessed"]).eval_predictions
    whole, draw = path.read_bytes(), random.Random(11)
    for _ in range(40):
        content = bytearray(whole)
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        path.write_bytes(content)
        answer = ana.get(f"/experiments/{ids['guessed']}/predictions?order=worst")
        assert answer.status_code in (200, 503), answer.text
        strict(answer.text)


def test_runs_are_compared_with_the_first(ana: Person, ids: dict[str, str]) -> None:
    asked = ",".join([ids["trained"], ids["guessed"], ids["fewer"]])
    answer = ana.get("/experiments/compare", params={"ids": asked, "limit": 2})
    told = strict(answer.text)

    assert isinstance(told, dict)
    assert [one["id"] for one in told["runs"]] == asked.split(",")
    assert "training.learning_rate" in [one["key"] for one in told["configuration"]]
    accuracy = next(one["values"] for one in told["figures"] if one["figure"] == "eval.accuracy")
    assert accuracy == [ana.get(f"/experiments/{id}").json()["eval_accuracy"] for id in asked.split(",")]
    assert told["evaluated"]["rows"] == 20
    assert len(told["flipped"]) == 2
    assert told["next"] == 2
    second = ana.get("/experiments/compare", params={"ids": asked, "limit": 1, "after": 1}).json()
    assert second["flipped"] == told["flipped"][1:]
    lost = ana.get("/experiments/compare", params={"ids": asked, "flips": "lost", "limit": 1000}).json()
    assert all(row["answers"][0]["right"] for row in lost["flipped"])


@pytest.mark.parametrize(
    "given",
    ["", "a", "a,", ",a", "a,b,c,d,e,f", "A,b", "a,b;c", "a,../b", "a,%00", "a,b "],
)
def test_ids_that_are_not_two_to_five_different_ones_are_422(ana: Person, given: str) -> None:
    refused(ana.get("/experiments/compare", params={"ids": given}), 422)
    refused(ana.get("/experiments/compare"), 422)


def test_s26_ones_own_runs_are_compared_only_but_by_admins(
    service: Service, ana: Person, bo: Person, admin: Person, ids: dict[str, str]
) -> None:
    theirs = bo.post("/train", {}).json()["task_id"]

    for pair in (f"{ids['trained']},{theirs}", f"{theirs},{ids['trained']}"):
        refused(ana.get(f"/experiments/compare?ids={pair}"), 403, "forbidden")
    refused(ana.get(f"/experiments/compare?ids={ids['trained']},nobody_20260101_000000"), 404, "not_found")
    refused(ana.get(f"/experiments/compare?ids={ids['trained']},{ids['trained']}"), 422, "query_invalid")
    both = admin.get(f"/experiments/compare?ids={ids['trained']},{theirs}")
    assert both.status_code == 200
    assert both.json()["evaluated"]["match"] == "unknown"


def test_the_api_starts_without_what_only_reports_need() -> None:
    heavy = ("numpy", "pyarrow", "torch", "pandas", "sklearn")
    code = f"import sys, finetune30.api.app; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
