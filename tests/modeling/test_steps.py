"""The pass that torch compiles is the one that Python runs, and no Python runs in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from finetune30 import modeling
from finetune30.modeling.engine.products import Packed, packs
from finetune30.modeling.shared import Row, SharedBase, steps
from finetune30.modeling.shared.adding import Adapters
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


@pytest.mark.parametrize("first_only", [False, True])
@pytest.mark.parametrize("tokens", [1, 5, 16, 23, 48])
def test_a_short_lone_row_is_attended_to_as_others_are(tokens: int, first_only: bool) -> None:
    """Whatever the tokens of nobody behind it are."""
    torch.manual_seed(0)
    heads, size, there = 3, 24, steps.rounded(tokens)
    others = torch.randn(there, (2 if first_only else 3) * size)
    queries = torch.randn(1 if first_only else there, size)
    context = torch.zeros(1 if first_only else tokens, size)
    steps._attend(heads, steps.Piece(0, 1, tokens, 0, None), queries, others, context, first_only)

    longer = steps._longer(steps.Piece(0, 1, tokens, 0, None), there)
    found = steps._read_short(heads, queries, others, longer.mask)

    torch.testing.assert_close(found[: len(context)], context, atol=1e-6, rtol=1e-5)


@pytest.mark.skipif(not packs(), reason="this torch packs no weights")
@pytest.mark.parametrize("activation", [steps.GELU, steps.GELU_TANH, steps.RELU])
@pytest.mark.parametrize("tokens", [8, 96])
def test_an_activation_inside_the_product_is_the_one_after_it(activation: int, tokens: int) -> None:
    torch.manual_seed(0)
    laid = Packed(torch.randn(24, 16), torch.randn(24), trains=False)
    block = steps.Block([0], [laid.weight], [laid.bias], [], [], 1, activation, True)
    inputs = torch.randn(tokens, 16)

    found = steps._wide(inputs, block, 0, Adapters([], []))

    expected = steps._activated(laid.forward(inputs), activation)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def _rows(shared: SharedBase, adapters: list[Any], count: int) -> list[Row]:
    found = []
    for number, (text, _) in enumerate(tiny.rows(count)):
        tokens = encode(shared.base.tokenizer, [text], 32)
        found.append(Row(tokens.ids, tokens.types, adapters[number % len(adapters)]))
    return found
