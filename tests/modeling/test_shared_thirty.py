"""Thirty adapters in one batch: logits as PEFT and transformers compute them one at a time."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from finetune30 import modeling
from finetune30.modeling.shared import Row, SharedBase
from finetune30.modeling.tokens import encode
from tests import tiny
from tests.modeling.test_shared import TOLERANCE, save_adapter

ADAPTERS = 30
GPU = pytest.param("cuda:0", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"))


@pytest.mark.parametrize("device", ["cpu", GPU])
@pytest.mark.parametrize("architecture", ["bert", "roberta", "albert", "distilbert"])
def test_g22_logits_of_thirty_adapters_in_one_batch_are_those_of_each_alone(
    tiny_model: Callable[[str], Path], tmp_path: Path, architecture: str, device: str
) -> None:
    model = tiny_model(architecture)
    shared = SharedBase(modeling.inspect(str(model)), device, "float32")
    folders = [save_adapter(tmp_path / str(n), model, labels=2 + n % 6, seed=n) for n in range(ADAPTERS)]
    texts = [text for text, _ in tiny.rows(2 * ADAPTERS)]
    rows = []
    for number, text in enumerate(texts):
        tokens = encode(shared.base.tokenizer, [text], 32)
        adapter = shared.load(folders[number // 2]) if number % 2 == 0 else rows[-1].adapter
        rows.append(Row(tokens.ids, tokens.types, adapter))

    found = shared.logits(rows)

    for number, folder in enumerate(folders):
        some = slice(2 * number, 2 * number + 2)
        expected = _alone(folder, model, texts[some])
        assert expected.shape == (2, 2 + number % 6)
        np.testing.assert_allclose(np.stack(found[some]), expected, atol=TOLERANCE)


def _alone(folder: Path, model: Path, texts: list[str]) -> np.ndarray[Any, Any]:
    """Logits of transformers' own forward pass, one text at a time."""
    base = modeling.inspect(str(model))
    task = modeling.Task.read(json.loads((folder / "config.json").read_text()), "test")
    loaded = modeling.load_adapter(modeling.load(base, task.label_names, seed=0), base, folder).eval()
    with torch.inference_mode():
        return np.concatenate(
            [
                loaded(**base.tokenizer(text, truncation=True, max_length=32, return_tensors="pt")).logits.numpy()
                for text in texts
            ]
        )
