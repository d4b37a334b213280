"""What is served is what was evaluated: real trainings, and the running service asked for each row."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from finetune30 import cli
from tests import tiny
from tests.serving.process import served

_SEVERAL = ["data.label_columns=[book, film, food]"]
_PAIRS = ["data.text_column=question", "data.text_pair_column=answer"]
KINDS = {
    "distilbert": ("distilbert", "one label", []),
    "roberta": ("roberta", "one label", []),
    "several labels": ("albert", "several labels", _SEVERAL),
    "pairs": ("bert", "pairs", _PAIRS),
}
TOLERANCE = {"float32": 1e-4, "bfloat16": 0.01}


@dataclass(frozen=True)
class Trained:
    """A run, and the rows it was evaluated on."""

    id: str
    texts: Sequence[str]
    pairs: Sequence[str] | None
    predictions: Any

    def question(self) -> dict[str, Any]:
        """Each of its rows, in the order of ``predictions``."""
        order = self.predictions["row"].to_pylist()
        asked: dict[str, Any] = {"adapter": self.id, "text": [self.texts[row] for row in order], "top_k": 10}
        return asked if self.pairs is None else {**asked, "text_pair": [self.pairs[row] for row in order]}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("parity")


@pytest.fixture(scope="module")
def trainings(home: Path, tiny_model: Callable[[str], Path]) -> dict[str, Trained]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setenv("TZ", "UTC")
        return {
            name: _train(home, name.replace(" ", "-"), tiny_model(kind[0]), *kind[1:]) for name, kind in KINDS.items()
        }


@pytest.mark.parametrize("precision", TOLERANCE)
def test_each_row_of_the_evaluation_is_answered_as_it_was_evaluated(
    home: Path, trainings: dict[str, Trained], precision: str
) -> None:
    worst: dict[str, float] = {}
    with served(home, SERVING_PRECISION=precision) as service, service.client() as client:
        for name, run in trainings.items():
            answer = client.post("/predict", json=run.question())
            assert answer.status_code == 200, answer.text
            rows, expected = answer.json()["predictions"], run.predictions
            assert len(rows) == len(expected["row"]) == 32
            assert {row["adapter"]["id"] for row in rows} == {run.id}
            assert [_given(row) for row in rows] == expected["predicted"].to_pylist()
            differences = np.array([_by_label(row) for row in rows]) - np.array(expected["probabilities"].to_pylist())
            worst[name] = float(np.abs(differences).max())
    assert max(worst.values()) <= TOLERANCE[precision], worst


def _by_label(row: dict[str, Any]) -> list[float]:
    return [one["probability"] for one in sorted(row["top_k"], key=lambda one: one["label"])]


def _given(row: dict[str, Any]) -> Any:
    return [one["label"] for one in row["labels"]] if "labels" in row else row["label"]


def _train(home: Path, name: str, model: Path, form: str, settings: Sequence[str]) -> Trained:
    texts, pairs = _write(home / name, form)
    config = home / f"{name}.yaml"
    config.write_text(
        f"""
experiment_name: {name}
seed: 3
model: {{name: {model}}}
lora: {{r: 4, lora_alpha: 64, lora_dropout: 0.1, target_modules: null}}
data: {{dataset_name: ./{name}, max_length: 32}}
training: {{learning_rate: 1e-2, num_train_epochs: 3, per_device_train_batch_size: 8, device: cpu, bf16: false}}
""",
        encoding="utf-8",
    )
    told = _run("train", str(config), "--json", *_each("--set", settings))
    folder = home / told["folder"]
    return Trained(told["id"], texts, pairs, pq.read_table(folder / "artifacts" / "eval_predictions.parquet"))


def _run(*arguments: str) -> dict[str, Any]:
    """The verb in this process; the object it prints last."""
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setattr(sys, "argv", ["finetune30", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
    assert not end.value.code, printed.getvalue()
    found: dict[str, Any] = json.loads(printed.getvalue().splitlines()[-1])
    return found


def _each(option: str, values: Sequence[str]) -> list[str]:
    return [part for value in values for part in (option, value)]


def _write(folder: Path, form: str) -> tuple[Sequence[str], Sequence[str] | None]:
    """The files of a dataset; the texts of its validation rows."""
    if form == "one label":
        tiny.write_dataset(folder)
        with (folder / "validation.csv").open(newline="") as file:
            return [row["text"] for row in csv.DictReader(file)], None
    splits = tiny.several_labels() if form == "several labels" else tiny.pairs_of_texts(96, 32)
    folder.mkdir()
    for name, split in (("train", splits.train), ("validation", splits.validation)):
        if form == "several labels":
            header = ["text", *splits.label_names]
            cells = [[text, *flags] for text, flags in zip(split.texts, split.labels.tolist(), strict=True)]
        else:
            header = ["question", "answer", "label"]
            cells = [[*row] for row in zip(split.texts, split.pairs, splits.named(split.labels), strict=True)]
        with (folder / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([header, *cells])
    return splits.validation.texts, splits.validation.pairs
