"""An adapter merged into a copy of the layers answers as it does beside others, and nobody else's rows meet it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from finetune30 import modeling
from finetune30.modeling.shared import NotShared, SharedBase
from finetune30.modeling.shared.merging import merged
from finetune30.modeling.shared.steps import Block
from finetune30.modeling.shared.words import Words
from tests import tiny
from tests.modeling.test_shared import ARCHITECTURES, base_folder, save_adapter, together

TEXTS = [text for text, _ in tiny.rows(24)]
__all__ = ["base_folder"]  # the fixture is used here as well


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
def test_a_merged_adapter_answers_as_the_shared_base(
    base_folder: Callable[[str], Path], tmp_path: Path, architecture: str, precision: str, device: str
) -> None:
    if device != "cpu" and not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    model = base_folder(architecture)
    shared = SharedBase(modeling.inspect(str(model)), device, precision)
    kinds: list[dict[str, Any]] = [{"target_modules": "all-linear"}, {"labels": 5, "r": 2}, {"use_rslora": True}]
    for number, kind in enumerate(kinds):
        adapter = shared.load(save_adapter(tmp_path / str(number), model, seed=number, **kind))
        if not shared.mixes:
            with pytest.raises(NotShared, match="transformers"):
                shared.merge(adapter)
            return
        before = [together(shared, [(adapter, text)])[0] for text in TEXTS[:3]] + together(
            shared, [(adapter, text) for text in TEXTS]
        )

        shared.hot = shared.merge(adapter)

        assert shared.hot.nbytes > 0
        after = [together(shared, [(adapter, text)])[0] for text in TEXTS[:3]] + together(
            shared, [(adapter, text) for text in TEXTS]
        )
        assert shared.merged_rows == 3 + len(TEXTS)
        # Random adapters of this size are noise to bfloat16: there the service's own trial decides.
        np.testing.assert_allclose(after, before, atol=1e-4 if precision == "float32" else 0.15)
        shared.hot, shared.merged_rows = None, 0


def test_layer_norms_of_a_copy_fit_its_rows_where_it_is_computed() -> None:
    """A kernel that takes no mixed number formats, as a GPU's, is given none."""
    for kept, device in ((torch.float32, "cpu"), (torch.bfloat16, "meta")):
        base: Any = _Layer(Block([], [], [], [torch.ones(4, device=device)] * 4, [0.1] * 2, 2, 0, False))
        copy: Any = merged(base, [], torch.bfloat16)[0]  # type: ignore[arg-type]
        assert [one.dtype for one in copy.norms] == [kept] * 4


class _Layer:
    """A pass through one layer without products."""

    def __init__(self, block: Block) -> None:
        self._block = block

    def with_blocks(self, change: Any, dtype: torch.dtype) -> Any:
        assert dtype == torch.bfloat16
        return change(self._block, ())


def test_g22_rows_of_others_never_meet_a_merged_copy(tiny_model: Callable[[str], Path], tmp_path: Path) -> None:
    """Not in one batch, nor alone; not even those of the same files loaded again."""
    model = tiny_model("bert")
    shared = SharedBase(modeling.inspect(str(model)), "cpu", "float32")
    folders = [save_adapter(tmp_path / str(number), model, seed=number) for number in range(2)]
    hot, other, again = (shared.load(folder) for folder in (*folders, folders[0]))
    asked = [((hot, other)[at % 2], text) for at, text in enumerate(TEXTS)]
    wanted = together(shared, asked)
    spoiled = shared.merge(hot)
    spoiled_forward: Any = lambda batch: torch.full((len(batch.rows), 1, 32), 9.0)  # noqa: E731
    shared.hot = replace(spoiled, compute=spoiled_forward)

    np.testing.assert_array_equal(together(shared, asked), wanted)
    np.testing.assert_allclose(together(shared, [(other, TEXTS[1])])[0], wanted[1], atol=1e-5)
    np.testing.assert_allclose(together(shared, [(again, TEXTS[0])])[0], wanted[0], atol=1e-5)
    assert shared.merged_rows == 0
    assert not np.allclose(together(shared, [(hot, TEXTS[0])])[0], wanted[0], atol=1e-3)


def test_albert_s_shared_layers_are_copied_once(tiny_model: Callable[[str], Path], tmp_path: Path) -> None:
    model = tiny_model("albert")
    shared = SharedBase(modeling.inspect(str(model)), "cpu", "float32")
    adapter = shared.load(save_adapter(tmp_path / "a", model))
    # The last layer computes the first token alone, and so has query apart: one layer more, at most.
    layer = 4 * 32 * 32 + 2 * 32 * 64
    assert shared.merge(adapter).nbytes <= 2 * 4 * layer


@pytest.mark.parametrize("architecture", ["bert", "distilbert", "roberta"])
def test_embeddings_without_modules(base_folder: Callable[[str], Path], architecture: str) -> None:
    """Where positions are not counted from the first token, transformers' module is asked."""
    loaded = modeling.load(modeling.inspect(str(base_folder(architecture))), ("0", "1"), seed=0)
    model: Any = loaded.model.eval()
    body = getattr(model, model.base_model_prefix)
    with torch.no_grad():
        found = Words.of(body)
    assert (found is None) == (architecture == "roberta")
    if found is not None:
        body.embeddings.LayerNorm.eps = 0.5
        with torch.no_grad():
            body.embeddings.forward = lambda **_: torch.zeros(2, 7, 32)
            assert Words.of(body) is None
