"""The pass that torch compiles is the one that Python runs, and no Python runs in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from finetune30 import modeling
from finetune30.modeling.shared import Row, SharedBase, steps
from finetune30.modeling.shared.forward import compiled
from finetune30.modeling.tokens import encode
from tests import tiny
from tests.modeling.test_shared import save_adapter


def test_this_torch_compiles_the_pass() -> None:
    """Without it a batch waits for Python's lock at each of its products."""
    assert compiled() is not steps.through


@pytest.mark.parametrize("count", [1, 2, 9, 40])
def test_compiled_and_plain_passes_give_the_same(
    tiny_model: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    model = tiny_model("bert")
    folders = [save_adapter(tmp_path / str(n), model, labels=2 + n % 3, seed=n) for n in range(min(count, 9))]
    found = []
    for plain in (False, True):
        if plain:
            monkeypatch.setattr("finetune30.modeling.shared.forward.compiled", lambda: steps.through)
        shared = SharedBase(modeling.inspect(str(model)), "cpu", "float32")
        adapters = [shared.load(folder) for folder in folders]
        found.append(shared.logits(_rows(shared, adapters, count)))

    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_few_numbers_of_rows_and_tokens_are_computed() -> None:
    """Each is a kernel of its own in memory."""
    rounded = {steps.rounded(count) for count in range(1, 4097)}

    assert len(rounded) < 64
    assert all(steps.rounded(count) >= count for count in range(1, 4097))
    assert all(steps.rounded(count) == count for count in rounded)


def test_long_texts_are_attended_to_piece_by_piece() -> None:
    """Weights of all rows at once would be more than the memory that a piece may have."""
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 5, 2, 1500, 4).unbind()
    mask = torch.zeros(5, 1, 1, 1500)
    mask[2, ..., 700:] = torch.finfo(torch.float32).min

    found = steps._read(query, key, value, mask)

    expected = torch.nn.functional.scaled_dot_product_attention(query, key, value, mask)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def _rows(shared: SharedBase, adapters: list[Any], count: int) -> list[Row]:
    found = []
    for number, (text, _) in enumerate(tiny.rows(count)):
        tokens = encode(shared.base.tokenizer, [text], 32)
        found.append(Row(tokens.ids, tokens.types, adapters[number % len(adapters)]))
    return found
