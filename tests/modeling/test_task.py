"""The folder of an adapter says by itself what it answers, and how."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finetune30 import modeling
from finetune30.errors import ModelError
from finetune30.modeling import Task
from finetune30.modeling.predict import sigmoid, softmax

NAMES = {"0": "a", "1": "b"}


@pytest.mark.parametrize(
    "task",
    [
        Task(("a", "b")),
        Task(("a", "b"), multi_label=True, threshold=0.25),
        Task(("a", "b"), text_pair=True),
        Task(("a", "b"), multi_label=True, text_pair=True, threshold=0.9),
        Task(("a",), multi_label=True),
    ],
)
def test_what_is_written_beside_an_adapter_is_what_is_read(
    tiny_model: Callable[[str], Path], tmp_path: Path, task: Task
) -> None:
    from transformers import AutoConfig

    modeling.save_description(modeling.inspect(str(tiny_model("bert"))), task, tmp_path)

    assert Task.read(json.loads((tmp_path / "config.json").read_text()), "here") == task
    described = AutoConfig.from_pretrained(tmp_path)
    kind = "multi" if task.multi_label else "single"
    assert described.problem_type == f"{kind}_label_classification"
    assert described.num_labels == len(task.label_names)


def test_a_folder_of_one_text_and_one_label_says_nothing_new(tiny_model: Callable[[str], Path], tmp_path: Path) -> None:
    modeling.save_description(modeling.inspect(str(tiny_model("bert"))), Task(("a", "b")), tmp_path)
    assert "finetune30" not in (tmp_path / "config.json").read_text()


def test_a_base_that_was_itself_made_here_says_nothing_of_the_new_task(
    tiny_model: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_model("bert"), tmp_path / "base"))
    config = json.loads((folder / "config.json").read_text())
    old = Task(("x",), multi_label=True, text_pair=True, threshold=0.9).described()
    (folder / "config.json").write_text(json.dumps({**config, **old}))

    modeling.save_description(modeling.inspect(str(folder)), Task(("a", "b")), tmp_path)

    assert Task.read(json.loads((tmp_path / "config.json").read_text()), "here") == Task(("a", "b"))


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"id2label": {"0": "a", "2": "b"}},
        {"id2label": NAMES, "finetune30": []},
        {"id2label": NAMES, "finetune30": {"text_pair": 1}},
        {"id2label": NAMES, "finetune30": {"threshold": "0.5"}},
        {"id2label": NAMES, "finetune30": {"threshold": 1.5}},
        {"id2label": NAMES, "finetune30": {"threshold": float("nan")}},
    ],
)
def test_a_folder_that_says_nonsense_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match=r"has no id2label|expected text_pair"):
        Task.read(config, "config.json")


def test_probabilities_of_labels_that_do_not_exclude_each_other_stand_alone() -> None:
    logits = np.array([[0.0, 2.0, -2.0], [1e30, -1e30, -800.0]], np.float32)

    found = sigmoid(logits)

    assert found[0] == pytest.approx([0.5, 1 / (1 + np.exp(-2)), 1 / (1 + np.exp(2))])
    assert found[1].tolist() == [1.0, 0.0, 0.0]
    assert softmax(logits).sum(axis=1) == pytest.approx([1, 1])
