"""What an adapter's tensors must be is found out once for a kind, and each adapter is held to it as strictly."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from finetune30 import modeling
from finetune30.errors import ModelError
from finetune30.modeling.base import BaseModel
from finetune30.modeling.shared.blueprint import blueprint
from finetune30.modeling.shared.deltas import read_deltas
from finetune30.modeling.task import Task
from tests.modeling.test_shared import save_adapter


@pytest.fixture
def base(tiny_model: Callable[[str], Path]) -> BaseModel:
    return modeling.inspect(str(tiny_model("bert")))


@pytest.fixture
def save(tmp_path: Path, tiny_model: Callable[[str], Path]) -> Callable[..., Path]:
    return lambda name, **changes: save_adapter(tmp_path / name, tiny_model("bert"), **changes)


def _change(folder: Path, name: str, **values: Any) -> None:
    path = folder / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_adapters_alike_are_of_one_kind_whatever_their_labels_are_called(
    base: BaseModel, save: Callable[..., Path]
) -> None:
    first, second = save("first", seed=1), save("second", seed=2)
    _change(second, "config.json", id2label={"0": "ham", "1": "spam"})
    targets = json.loads((second / "adapter_config.json").read_text())["target_modules"]
    _change(second, "adapter_config.json", target_modules=targets[::-1])

    one, two = read_deltas(base, first, "cpu"), read_deltas(base, second, "cpu")

    assert len(base.kinds) == 1
    assert two.task.label_names == ("ham", "spam")
    assert one.lora.keys() == two.lora.keys()
    assert one.sha256 != two.sha256


def test_another_rank_scale_number_of_labels_or_task_is_another_kind(
    base: BaseModel, save: Callable[..., Path]
) -> None:
    folders = [save("plain"), save("rank", r=2), save("labels", labels=3), save("many", multi_label=True)]
    scaled = save("scaled")
    _change(scaled, "adapter_config.json", lora_alpha=99)

    found = [read_deltas(base, folder, "cpu") for folder in [*folders, scaled]]

    assert len(base.kinds) == 5
    assert found[4].scale == 99 / json.loads((scaled / "adapter_config.json").read_text())["r"]
    assert found[0].scale != found[4].scale


def test_an_adapter_of_a_known_kind_is_looked_at_as_closely(base: BaseModel, save: Callable[..., Path]) -> None:
    read_deltas(base, save("good"), "cpu")

    def refused(name: str, change: Callable[[dict[str, Any]], object], match: str) -> None:
        folder = save(name)
        weights = load_file(folder / "adapter_model.safetensors")
        change(weights)
        save_file(weights, folder / "adapter_model.safetensors")
        with pytest.raises(ModelError, match=match):
            read_deltas(base, folder, "cpu")

    def first(weights: dict[str, Any], side: str) -> str:
        return next(name for name in weights if side in name)

    refused("missing", lambda w: w.pop(first(w, "lora_B")), "1 missing")
    refused("surplus", lambda w: w.update(other=torch.ones(1)), "1 unexpected")
    refused("shape", lambda w: w.update({first(w, "lora_B"): torch.ones(3, 3)}), "expected a float")
    refused("infinity", lambda w: w[first(w, "lora_A")].fill_(float("inf")), "infinity")
    refused("zeros", lambda w: [w[name].zero_() for name in w if "lora_B" in name], "changes nothing")
    other = save("other base")
    _change(other, "adapter_config.json", base_model_name_or_path="somebody/else")
    with pytest.raises(ModelError, match="was trained on somebody/else"):
        read_deltas(base, other, "cpu")
    assert len(base.kinds) == 1


def test_what_was_refused_is_not_kept_and_kinds_are_limited(base: BaseModel, save: Callable[..., Path]) -> None:
    folder = save("good")
    _change(folder, "adapter_config.json", target_modules=["nothing"])
    with pytest.raises(ModelError):
        blueprint(base, Task(("a", "b")), folder)
    assert base.kinds == {}

    folder = save("again")
    for alpha in range(1, 71):
        _change(folder, "adapter_config.json", lora_alpha=alpha)
        assert blueprint(base, Task(("a", "b")), folder).scale == alpha / 4
    assert len(base.kinds) == 64


def test_values_are_looked_at_before_they_go_to_a_device(save: Callable[..., Path], base: BaseModel) -> None:
    """A look at a tensor on a GPU waits for all that it computes; on ``meta`` there is nothing to see."""
    assert all(tensor.is_meta for tensor in read_deltas(base, save("good"), "meta").new.values())
    damaged = save("damaged")
    path = damaged / "adapter_model.safetensors"
    weights = load_file(path)
    next(iter(weights.values())).fill_(float("nan"))
    save_file(weights, path)

    with pytest.raises(ModelError, match="NaN"):
        read_deltas(base, damaged, "meta")
