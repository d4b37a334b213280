"""Several labels and pairs of texts, from files to a run and to its answers on the command line."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from finetune30 import data
from finetune30.config import load
from tests import tiny
from tests.e2e.conftest import Ended, Workplace

Cli = Callable[..., Ended]
Train = Callable[..., Path]


@pytest.fixture
def train(workplace: Workplace, run_cli: Cli) -> Train:
    """Trains on a folder with these settings; the run's folder."""

    def call(*settings: str, rows: str = "rows") -> Path:
        named = [part for setting in settings for part in ("--set", setting)]
        ended = run_cli("train", str(workplace.config), "--json", "--set", f"data.dataset_name=./{rows}", *named)
        assert ended.code == 0, ended.err
        return workplace.path / ended.json["folder"]

    return call


def write_files(folder: Path, splits: Any, form: str) -> list[str]:
    """Train and validation as files, the validation rows as test too; the settings that reading them needs."""
    folder.mkdir(exist_ok=True)
    parts = {"train": splits.train, "validation": splits.validation, "test": splits.validation}
    for name, split in parts.items():
        named = [*splits.named(split.labels)]
        if form == "lists":
            rows = ({"text": text, "label": labels} for text, labels in zip(split.texts, named, strict=True))
            (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
            continue
        with (folder / f"{name}.csv").open("w", newline="") as file:
            if form == "flags":
                header = ["text", *splits.label_names]
                cells = [[text, *flags] for text, flags in zip(split.texts, split.labels.tolist(), strict=True)]
            elif form == "separator":
                header = ["text", "topics"]
                cells = [[text, ";".join(labels)] for text, labels in zip(split.texts, named, strict=True)]
            else:
                header = ["question", "answer", "label"]
                cells = [[*row] for row in zip(split.texts, split.pairs, named, strict=True)]
            csv.writer(file).writerows([header, *cells])
    return {
        "lists": [],
        "flags": ["data.label_columns=[book, film, food]"],
        "separator": ["data.label_separator=;", "data.label_column=topics"],
        "pairs": ["data.text_column=question", "data.text_pair_column=answer"],
    }[form]


def piped(run_cli: Cli, monkeypatch: pytest.MonkeyPatch, lines: str, *arguments: str) -> Ended:
    monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
    return run_cli("predict", *arguments)


def run_the_cards_code(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the code in the model card prints, run where it says it runs."""
    import contextlib
    import warnings

    (code,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    monkeypatch.chdir(folder)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # transformers' own, on a user's screen
        exec(code, {})  # noqa: S102 - our own file
    return printed.getvalue()


def test_a_run_with_several_labels_is_recorded_published_and_answers(
    workplace: Workplace, train: Train, run_cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    splits = tiny.several_labels()
    folder = train("model.threshold=0.45", *write_files(workplace.path / "rows", splits, "separator"))

    metrics = json.loads((folder / "metrics.json").read_text())
    assert {"accuracy", "hamming_accuracy", "f1_micro", "f1_macro", "roc_auc"} <= metrics["eval"].keys()
    assert metrics["eval"] == metrics["test"]
    rows = pq.read_table(folder / "artifacts" / "eval_predictions.parquet").to_pydict()
    assert rows["label"] == [[i for i in range(3) if row[i]] for row in splits.validation.labels]
    assert rows["predicted"] == [[i for i, p in enumerate(row) if p >= 0.45] for row in rows["probabilities"]]
    right = sum(a == b for a, b in zip(rows["label"], rows["predicted"], strict=True))
    assert right / 32 == pytest.approx(metrics["eval"]["accuracy"])
    both = sum(len({*a} & {*b}) for a, b in zip(rows["label"], rows["predicted"], strict=True))
    assert metrics["eval"]["f1_micro"] == pytest.approx(2 * both / sum(map(len, rows["label"] + rows["predicted"])))
    assert "3 labels (book, film, food), any number of them a row" in (folder / "logs.txt").read_text()

    answer = run_cli("predict", "--json", *splits.validation.texts).json
    assert answer["label_names"] == list(tiny.SEVERAL)
    for place, said in enumerate(answer["predictions"]):
        assert said["labels"] == rows["predicted"][place]
        assert said["label_names"] == [tiny.SEVERAL[i] for i in said["labels"]]
        assert list(said["probabilities"].values()) == pytest.approx(rows["probabilities"][place], abs=1e-4)
        assert said["probability"] == max(said["probabilities"].values())
        assert said["label_name"] == tiny.SEVERAL[said["label"]]
    told = run_cli("predict", *splits.validation.texts).out.splitlines()
    for line, said in zip(told, answer["predictions"], strict=True):
        names, numbers, text = line.split("\t")
        assert names == (",".join(said["label_names"]) or "-")
        assert numbers == (",".join(f"{said['probabilities'][n]:.4f}" for n in said["label_names"]) or "-")
        assert text == said["text"]

    model = folder / "artifacts" / "final_model"
    asked = run_cli("predict", "--json", "This movie was great!").json["predictions"][0]
    printed = run_the_cards_code(model, monkeypatch)
    assert set(re.findall(r"'label': '(\w+)'", printed)) == set(asked["label_names"])
    assert [float(p) for p in re.findall(r"'score': ([0-9.]+)", printed)] == pytest.approx(
        sorted((asked["probabilities"][n] for n in asked["label_names"]), reverse=True), abs=1e-4
    )
    assert "a row has each whose probability is at least 0.45, or none" in (model / "README.md").read_text()


def test_lists_flags_and_separated_labels_are_the_same_rows_and_one_version(
    workplace: Workplace, train: Train, run_cli: Cli
) -> None:
    splits = tiny.several_labels()
    for form in ("lists", "flags"):
        folder = train("training.num_train_epochs=1", *write_files(workplace.path / form, splits, form), rows=form)
        rows = pq.read_table(folder / "artifacts" / "eval_predictions.parquet").to_pydict()
        assert rows["label"] == [[i for i in range(3) if row[i]] for row in splits.validation.labels]
        answer = run_cli("predict", "--json", splits.validation.texts[0]).json
        assert answer["label_names"] == list(tiny.SEVERAL)
    told = write_files(workplace.path / "separator", splits, "separator")

    (version,) = run_cli("data", "versions", "list", "--json").json["versions"]
    assert len(version["runs"]) == 2
    separated = load(None, ["data.dataset_name=./separator", *told])
    assert data.load(separated).fingerprint == version["id"]


def test_a_run_on_pairs_answers_pairs_and_refuses_anything_else(
    workplace: Workplace, train: Train, run_cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    splits = tiny.pairs_of_texts(96, 32)
    folder = train(*write_files(workplace.path / "rows", splits, "pairs"))

    rows = pq.read_table(folder / "artifacts" / "eval_predictions.parquet").to_pydict()
    texts, pairs = splits.validation.texts, splits.validation.pairs
    given = run_cli("predict", "--json", *texts, *(part for pair in pairs for part in ("--pair", pair))).json
    lines = "".join(f"{text}\t{pair}\n" for text, pair in zip(texts, pairs, strict=True))
    streamed = piped(run_cli, monkeypatch, lines, "--json").json
    assert given["predictions"] == streamed["predictions"]
    assert [p["label"] for p in given["predictions"]] == rows["predicted"]
    assert [p["pair"] for p in given["predictions"]] == pairs
    assert "labels" not in given["predictions"][0]
    first = run_cli("predict", texts[0], "--pair", pairs[0]).out.strip().split("\t")
    assert first[2:] == [texts[0], pairs[0]]

    alone = run_cli("predict", texts[0], "--json")
    assert (alone.code, alone.json["error"]["code"]) == (2, "bad_input")
    assert "trained on pairs of texts" in alone.err
    assert "there are 2 texts and 1 second texts" in run_cli("predict", "a", "b", "--pair", "c").err
    torn = piped(run_cli, monkeypatch, f"{lines}good film\n")
    assert torn.code == 2
    assert "text 33 has 0 tabs, expected one" in torn.err

    said = run_cli("predict", "--json", "Is it good?", "--pair", "It is great!").json["predictions"][0]
    printed = run_the_cards_code(folder / "artifacts" / "final_model", monkeypatch)
    assert f"'label': '{said['label_name']}'" in printed
    assert float(re.findall(r"'score': ([0-9.]+)", printed)[0]) == pytest.approx(said["probability"], abs=1e-4)
    card = (folder / "artifacts" / "final_model" / "README.md").read_text()
    assert "classifies pairs of texts" in card
    assert 'classify({"text": "Is it good?", "text_pair": "It is great!"}' in card


def test_a_run_on_single_texts_takes_tabs_as_they_are_and_refuses_pairs(
    workplace: Workplace, run_cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_cli("train", str(workplace.config), "--json", "--epochs", "1").code == 0

    said = piped(run_cli, monkeypatch, "good\tfilm\n", "--json").json["predictions"]

    assert said[0].keys() == {"text", "label", "label_name", "probability", "truncated"}
    assert said[0]["text"] == "good\tfilm"
    refused = run_cli("predict", "good film", "--pair", "fine")
    assert refused.code == 2
    assert "trained on single texts" in refused.err
