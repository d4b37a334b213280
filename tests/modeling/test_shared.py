"""Rows of many adapters in one batch: each answer is what its adapter gives alone (G22)."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, ElectraConfig

from finetune30 import modeling
from finetune30.errors import ModelError
from finetune30.modeling.predict import probabilities_of
from finetune30.modeling.shared import NotShared, Row, SharedBase, heads
from finetune30.modeling.tokens import encode
from tests import tiny

TOLERANCE = 1e-4
ARCHITECTURES = (*tiny.ARCHITECTURES, "electra", "deberta-v2")


def save_adapter(folder: Path, model: Path, *, labels: int = 2, seed: int = 1, **changes: Any) -> Path:
    """An adapter as training saves it, its weights random."""
    names = tuple(f"label {number}" for number in range(labels))
    multi, pair = changes.pop("multi_label", False), changes.pop("text_pair", False)
    lora = {f"lora__{key}": value for key, value in changes.items()}
    config = tiny.experiment(model, "builtin:reviews", **lora)
    base = modeling.inspect(str(model))
    loaded = modeling.attach(modeling.load(base, names, seed=seed), base, config)
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, parameter in loaded.named_parameters():
            if parameter.requires_grad:
                parameter.normal_(std=0.3 if "lora_" in name else 0.2)
    modeling.save(loaded, folder)
    modeling.save_description(base, modeling.Task(names, multi_label=multi, text_pair=pair), folder)
    return folder


@pytest.fixture(scope="session")
def base_folder(tiny_model: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Tiny models of more architectures than training's tests need."""
    made: dict[str, Path] = {}

    def get(architecture: str) -> Path:
        if architecture in tiny.ARCHITECTURES:
            return tiny_model(architecture)
        if architecture not in made:
            folder = tmp_path_factory.mktemp(architecture)
            made[architecture] = _save_other(folder, architecture, tiny_model("bert"))
        return made[architecture]

    return get


def _save_other(folder: Path, architecture: str, bert: Path) -> Path:
    from transformers import AutoTokenizer, DebertaV2Config

    torch.manual_seed(7)
    tokenizer = AutoTokenizer.from_pretrained(bert)
    common = {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 66,
    }
    config: Any = ElectraConfig(embedding_size=16, **common)
    if architecture == "deberta-v2":
        # With relative positions, whose keys are computed by the same layers as the tokens'.
        config = DebertaV2Config(
            **common, relative_attention=True, pos_att_type=["p2c", "c2p"], share_att_key=True, type_vocab_size=0
        )
    AutoModel.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def alone(folder: Path, model: Path, texts: Sequence[str]) -> np.ndarray[Any, Any]:
    """What the adapter answers by PEFT and transformers, one model for it alone."""
    base = modeling.inspect(str(model))
    task = modeling.Task.read(json.loads((folder / "config.json").read_text()), "test")
    loaded = modeling.load_adapter(modeling.load(base, task.label_names, seed=0), base, folder)
    opened = modeling.OpenAdapter(loaded, base.tokenizer, task, 32)
    return opened.probabilities(texts, batch_size=1)


def together(shared: SharedBase, asked: Sequence[tuple[Any, str]]) -> list[np.ndarray[Any, Any]]:
    """Answers to (adapter, text) in one batch."""
    rows = []
    for adapter, text in asked:
        tokens = encode(shared.base.tokenizer, [text], 32)
        rows.append(Row(tokens.ids, tokens.types, adapter))
    logits = shared.logits(rows)
    return [
        probabilities_of(found, multi_label=row.adapter.task.multi_label)
        for found, row in zip(logits, rows, strict=True)
    ]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_g22_a_mixed_batch_answers_as_each_adapter_alone(
    base_folder: Callable[[str], Path], tmp_path: Path, architecture: str
) -> None:
    model = base_folder(architecture)
    kinds: list[dict[str, Any]] = [
        {"labels": 2},
        {"labels": 5, "r": 2},
        {"labels": 3, "target_modules": "all-linear"},
        {"labels": 2, "use_rslora": True, "r": 8},
        {"labels": 7, "layers_to_transform": [1] if architecture != "albert" else None},
        {"labels": 4, "multi_label": True},
        {"labels": 2, "r": 4},
        {"labels": 5, "r": 4},
    ]
    folders = [
        save_adapter(tmp_path / str(number), model, seed=number, **{k: v for k, v in kind.items() if v is not None})
        for number, kind in enumerate(kinds)
    ]
    shared = SharedBase(modeling.inspect(str(model)), "cpu", "float32")
    adapters = [shared.load(folder) for folder in folders]
    texts = [text for text, _ in tiny.rows(4 * len(folders))]
    asked = [(adapters[at // 4], text) for at, text in enumerate(texts)]

    if shared.mixes:
        found = together(shared, asked)
    else:
        found = [row for at in range(0, len(asked), 4) for row in together(shared, asked[at : at + 4])]

    assert shared.mixes == (architecture != "deberta-v2")
    for number, folder in enumerate(folders):
        some = slice(4 * number, 4 * number + 4)
        np.testing.assert_allclose(np.stack(found[some]), alone(folder, model, texts[some]), atol=TOLERANCE)


def test_g22_thirty_adapters_of_one_base_and_two_of_them_only(
    tiny_model: Callable[[str], Path], tmp_path: Path
) -> None:
    """Many adapters are computed in another way than few: both are the same, whoever else is there."""
    model = tiny_model("bert")
    shared = SharedBase(modeling.inspect(str(model)), "cpu", "float32")
    folders = [save_adapter(tmp_path / str(n), model, labels=2 + n % 4, seed=n) for n in range(30)]
    adapters = [shared.load(folder) for folder in folders]
    texts = [text for text, _ in tiny.rows(30)]

    many = together(shared, list(zip(adapters, texts, strict=True)))
    few = [together(shared, [(adapters[n], texts[n]), (adapters[0], texts[0])])[0] for n in range(30)]

    for number in range(30):
        np.testing.assert_allclose(many[number], few[number], atol=TOLERANCE)
        expected = alone(folders[number], model, [texts[number]])[0]
        np.testing.assert_allclose(many[number], expected, atol=TOLERANCE)


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_bfloat16_gives_the_labels_of_float32(
    tiny_model: Callable[[str], Path], tmp_path: Path, architecture: str
) -> None:
    """Rows whose decision is close are computed again."""
    model = tiny_model(architecture)
    folder = save_adapter(tmp_path / "a", model, labels=3)
    shared = SharedBase(modeling.inspect(str(model)), "cpu", "bfloat16")
    adapter = shared.load(folder)
    texts = [text for text, _ in tiny.rows(200)]

    found = np.stack(together(shared, [(adapter, text) for text in texts]))

    expected = alone(folder, model, texts)
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).all()
    np.testing.assert_allclose(found, expected, atol=0.05)


def test_what_is_more_than_plain_lora_is_not_shared(tiny_model: Callable[[str], Path], tmp_path: Path) -> None:
    shared = SharedBase(modeling.inspect(str(tiny_model("bert"))), "cpu", "float32")
    folder = save_adapter(tmp_path / "dora", tiny_model("bert"), use_dora=True)
    with pytest.raises(NotShared):
        shared.load(folder)


@pytest.mark.parametrize(
    ("places", "copied"), [([0], False), ([0, 1, 2, 3, 4], False), ([1, 2], False), ([4], False), ([0, 2], True)]
)
def test_rows_that_lie_together_are_not_copied_for_their_head(places: list[int], copied: bool) -> None:
    """On a GPU a list of places is sent there first, and that waits for all that is computed."""
    hidden = torch.arange(10.0).view(5, 2)

    found = heads._at(hidden, places)

    assert found.tolist() == hidden[places].tolist()
    assert (found.untyped_storage().data_ptr() != hidden.untyped_storage().data_ptr()) == copied


def _break(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    path = folder / "adapter_model.safetensors"
    weights = load_file(path)
    change(weights)
    save_file(weights, path)


CHANGES: dict[str, Callable[[dict[str, torch.Tensor]], Any]] = {
    "a tensor is missing": lambda w: w.pop(next(n for n in w if "lora_A" in n)),
    "a tensor too many": lambda w: w.update(extra=torch.ones(2)),
    "NaN": lambda w: next(iter(w.values())).fill_(float("nan")),
    "infinity in the head": lambda w: w["base_model.model.classifier.weight"].fill_(float("inf")),
    "other shape": lambda w: w.update({"base_model.model.classifier.weight": torch.ones(2, 31)}),
    "whole numbers": lambda w: w.update({"base_model.model.classifier.bias": torch.ones(2, dtype=torch.int64)}),
    "untrained": lambda w: [t.zero_() for n, t in w.items() if "lora_B" in n],
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_s93_a_damaged_adapter_is_refused(
    tiny_model: Callable[[str], Path], tmp_path: Path, change: Callable[[dict[str, torch.Tensor]], None]
) -> None:
    shared = SharedBase(modeling.inspect(str(tiny_model("bert"))), "cpu", "float32")
    folder = save_adapter(tmp_path / "a", tiny_model("bert"))
    _break(folder, change)
    with pytest.raises(ModelError):
        shared.load(folder)


def test_s92_an_adapter_of_another_base_is_refused(tiny_model: Callable[[str], Path], tmp_path: Path) -> None:
    shared = SharedBase(modeling.inspect(str(tiny_model("bert"))), "cpu", "float32")
    with pytest.raises(ModelError, match="trained on"):
        shared.load(save_adapter(tmp_path / "a", tiny_model("roberta")))
