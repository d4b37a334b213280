"""``finetune30 predict`` through the service's host: rows of files in, rows with answers out."""

from __future__ import annotations

import csv
import io
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from finetune30.experiments import open_store
from finetune30.settings import Settings
from tests import tiny
from tests.cli_cases import Cli, run_here
from tests.modeling.test_shared import alone
from tests.serving.desk import succeeded
from tests.serving.process import PATIENCE_S, environment

TEXTS = ['so, "so" film', "good food", "  ", "=HYPERLINK(1)", "很好 book", " ".join(["very"] * 60), ""]
EMPTY = [at for at, text in enumerate(TEXTS) if not text.strip()]


@pytest.fixture(scope="module")
def model(tiny_model: Callable[[str], Path]) -> Path:
    return tiny_model("roberta")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Any]:
    settings = Settings(_env_file=None, results_dir=tmp_path / "results", data_dir=tmp_path / "data")
    store = open_store(settings)
    yield store
    store.close()


@pytest.fixture
def predict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return run_here(monkeypatch, capsys, tmp_path, "predict")


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    """Rows in the format of the name."""
    names = list(rows[0])
    match path.suffix:
        case ".parquet":
            pq.write_table(pa.Table.from_pylist(rows), path)
        case ".jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        case ".tsv":
            path.write_text("\n".join(["\t".join(names), *("\t".join(row.values()) for row in rows)]) + "\n")
        case _:
            with path.open("w", newline="") as file:
                writer = csv.DictWriter(file, names)
                writer.writeheader()
                writer.writerows(rows)


def read(path: Path) -> list[dict[str, Any]]:
    match path.suffix:
        case ".parquet":
            return pq.read_table(path).to_pylist()
        case ".jsonl":
            return [json.loads(line) for line in path.read_text().splitlines()]
        case ".tsv":
            header, *lines = path.read_text().splitlines()
            return [dict(zip(header.split("\t"), line.split("\t"), strict=True)) for line in lines]
        case _:
            with path.open(newline="") as file:
                return list(csv.DictReader(file))


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_each_row_of_a_file_is_answered_as_its_adapter_answers_alone(
    tmp_path: Path, store: Any, model: Path, predict: Cli, ending: str
) -> None:
    run = succeeded(store, tmp_path / "results", model, labels=3)
    write(tmp_path / f"in{ending}", [{"id": str(at), "review": text} for at, text in enumerate(TEXTS)])

    ended = predict("--file", f"in{ending}", "--out", f"out{ending}", "--json")

    assert ended.code == 0, ended.err
    told = ended.json
    assert told | {"took_s": 0} == {
        "experiment": run,
        "out": f"out{ending}",
        "rows": len(TEXTS),
        "empty": 2,
        "truncated": 1,
        "apostrophes": int(ending == ".csv"),
        "took_s": 0,
    }
    rows = read(tmp_path / f"out{ending}")
    assert [int(row["row"]) for row in rows] == list(range(len(TEXTS)))
    assert list(rows[0]) == ["review", "row", "label", "label_name", "probability", "truncated"]
    expected = alone(tmp_path / "results" / run / "artifacts" / "final_model", model, TEXTS)
    for at, row in enumerate(rows):
        if at in EMPTY:
            assert not row["label_name"]
            assert row["probability"] in ("", None)
            continue
        assert row["label_name"] == f"label {expected[at].argmax()}"
        assert float(row["probability"]) == pytest.approx(expected[at].max(), abs=1e-4)
    assert rows[3]["review"] == ("'" if ending == ".csv" else "") + "=HYPERLINK(1)"  # S72
    assert not list(tmp_path.glob(".staging*"))


def test_more_rows_than_are_computed_at_once_keep_their_order(
    tmp_path: Path, store: Any, model: Path, predict: Cli
) -> None:
    run = succeeded(store, tmp_path / "results", model)
    texts = [text for text, _ in tiny.rows(2500)]
    write(tmp_path / "in.csv", [{"text": text} for text in texts])

    ended = predict("--file", "in.csv", "--out", "out.parquet", "--exp", run)

    assert ended.code == 0, ended.err
    assert f"2,500 rows answered by {run}" in ended.err
    rows = read(tmp_path / "out.parquet")
    assert [row["text"] for row in rows] == texts
    expected = alone(tmp_path / "results" / run / "artifacts" / "final_model", model, texts)
    np.testing.assert_allclose([row["probability"] for row in rows], expected.max(axis=1), atol=1e-4)
    assert [row["label"] for row in rows] == expected.argmax(axis=1).tolist()


def test_several_labels_and_top_k(tmp_path: Path, store: Any, model: Path, predict: Cli) -> None:
    succeeded(store, tmp_path / "results", model, labels=4, multi_label=True)
    write(tmp_path / "in.jsonl", [{"text": text} for text, _ in tiny.rows(5)])

    assert predict("--file", "in.jsonl", "--out", "out.csv", "--top-k", "2").code == 0
    assert predict("--file", "in.jsonl", "--out", "out.jsonl", "--top-k", "2").code == 0

    for row, flat in zip(read(tmp_path / "out.jsonl"), read(tmp_path / "out.csv"), strict=True):
        assert row["label_names"] == [f"label {label}" for label in row["labels"]]
        assert flat["label_names"] == "|".join(row["label_names"])
        assert row["top_names"][0] == row["label_name"]
        assert row["top_probabilities"] == sorted(row["top_probabilities"], reverse=True)
        assert len(row["top_names"]) == 2


def test_pairs_from_columns_that_are_named(tmp_path: Path, store: Any, model: Path, predict: Cli) -> None:
    succeeded(store, tmp_path / "results", model, text_pair=True)
    write(tmp_path / "in.csv", [{"q": "good film", "a": "bad food"}, {"q": "good", "a": " "}])
    named = ("--text-column", "q", "--pair-column", "a")

    ended = predict("--file", "in.csv", "--out", "out.jsonl", *named)

    assert ended.code == 0, ended.err
    first, second = read(tmp_path / "out.jsonl")
    assert (first["q"], first["a"]) == ("good film", "bad food")
    assert first["label_name"]
    assert second["label"] is None
    refused = predict("--file", "in.csv", "--out", "other.jsonl", "--text-column", "q")
    assert refused.code == 2
    assert "--pair-column" in refused.err


def test_rows_go_to_standard_output_in_the_files_format(tmp_path: Path, store: Any, model: Path, predict: Cli) -> None:
    succeeded(store, tmp_path / "results", model)
    write(tmp_path / "in.csv", [{"text": "good film"}, {"text": "bad, bad"}])

    ended = predict("--file", "in.csv", "--out", "-")

    assert ended.code == 0
    assert [row["text"] for row in csv.DictReader(io.StringIO(ended.out))] == ["good film", "bad, bad"]


def test_texts_with_top_k(tmp_path: Path, store: Any, model: Path, predict: Cli) -> None:
    succeeded(store, tmp_path / "results", model, labels=3)

    told = predict("good film", "--top-k", "2", "--json").json["predictions"][0]

    assert told["top_k"][0]["label_name"] == told["label_name"]
    names, probabilities, _ = predict("good film", "--top-k", "2").out.strip().split("\t")
    assert len(names.split(",")) == len(probabilities.split(",")) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--file", "missing.csv", "--out", "o.csv"), "missing.csv"),
        (("--file", "in.csv", "--out", "there.csv"), "exists already"),
        (("--file", "in.csv", "--out", "o.xlsx"), "cannot be written"),
        (("--file", "in.csv", "--out", "folder"), "expected the name of a file"),
        (("--file", "in.csv", "--out", "nowhere/o.csv"), "cannot be written"),
        (("--file", "in.csv", "--out", "o.csv", "--text-column", "txt"), "--text-column"),
        (("--file", "in.csv", "--out", "o.csv", "a text"), "--file brings the texts"),
        (("--out", "o.csv", "a text"), "go with --file"),
        (("--file", "in.csv", "--json"), "--out"),
        (("--file", "ragged.csv", "--out", "o.csv"), "ragged.csv"),
    ],
)
def test_what_cannot_be_done_is_refused_and_nothing_is_written(
    tmp_path: Path, store: Any, model: Path, predict: Cli, arguments: tuple[str, ...], said: str
) -> None:
    succeeded(store, tmp_path / "results", model)
    write(tmp_path / "in.csv", [{"text": "good film"}])
    (tmp_path / "there.csv").write_text("mine")
    (tmp_path / "ragged.csv").write_text("text,label\na,b,c,d\n")
    before = {path.name for path in tmp_path.iterdir()}

    ended = predict(*arguments)

    assert ended.code == 2, ended.err
    assert said in ended.err
    assert {path.name for path in tmp_path.iterdir()} == before
    assert (tmp_path / "there.csv").read_text() == "mine"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_no_half_file(tmp_path: Path, store: Any, model: Path, number: signal.Signals) -> None:
    succeeded(store, tmp_path / "results", model)
    text = " ".join(["film"] * 60)
    write(tmp_path / "in.csv", [{"text": f"{text} {row}"} for row in range(60_000)])
    before = {path.name for path in tmp_path.iterdir()}
    process = subprocess.Popen(
        [sys.executable, "-m", "finetune30", "predict", "--file", "in.csv", "--out", "out.csv"],
        env=environment(tmp_path, {}),
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + PATIENCE_S
    while not any(path.stat().st_size for path in tmp_path.glob(".staging-*")):
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.02)
    process.send_signal(number)
    _, err = process.communicate(timeout=PATIENCE_S)

    assert process.returncode == 128 + number
    assert "out.csv was not written" in err
    assert "Traceback" not in err
    assert {path.name for path in tmp_path.iterdir()} == before
