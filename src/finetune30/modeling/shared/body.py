"""One base model in memory, and rows of many adapters computed on it together.

Architectures the engine knows are computed by it, with rows of any adapters in one batch. Others are
computed by transformers' own code, one adapter a batch, the adapter added by hooks: also there the base
is in memory once. In bfloat16 a row whose decision is close is computed again in float32, so that its
label is the one that was evaluated. Nothing of this may be called by two threads at once.
Neighbours: ``deltas`` and ``heads`` are an adapter's tensors, ``crowd`` adds them; serving owns the thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from finetune30.modeling import base as base_model
from finetune30.modeling.base import BaseModel
from finetune30.modeling.engine.architectures import NotKnown, take_apart
from finetune30.modeling.engine.encoder import Encoder
from finetune30.modeling.predict import probabilities_of
from finetune30.modeling.process import tune
from finetune30.modeling.shared.crowd import Crowd, SharedStack
from finetune30.modeling.shared.deltas import Deltas, NotShared, read_deltas
from finetune30.modeling.shared.heads import Head, head_of
from finetune30.modeling.task import Task
from finetune30.modeling.tokens import Padder

_SEED = 0
# bfloat16 moves a probability by up to a hundredth: a label nearer to another than this is looked at again.
_CLOSE = 0.08


@dataclass(frozen=True, eq=False)
class Adapter:
    """An adapter in memory; never changed, so who holds it answers with it to the end.

    Attributes:
        sha256: Of its file of weights.
    """

    deltas: Deltas
    head: Head
    sha256: str

    @property
    def task(self) -> Task:
        """What it is asked."""
        return self.deltas.task

    @property
    def nbytes(self) -> int:
        """Memory of its tensors."""
        return self.deltas.nbytes


@dataclass(frozen=True, eq=False)
class Row:
    """One text as token ids, and the adapter that is to read it."""

    ids: NDArray[np.int32]
    types: NDArray[np.int8] | None
    adapter: Any


class SharedBase:
    """A base model that answers for many adapters.

    Args:
        precision: ``float32`` or ``bfloat16``.
    Attributes:
        mixes: Whether rows of different adapters may stand in one batch.
    """

    def __init__(self, base: BaseModel, device: str, precision: str) -> None:
        tune()
        self.base = base
        self.device = device
        self.precision = precision
        self.padder = Padder.of(base.tokenizer)
        self._crowd = Crowd()
        loaded = base_model.load(base, ("0", "1"), seed=_SEED)
        classifier: Any = loaded.model
        classifier.requires_grad_(False)
        classifier.to(device).eval()
        self._own = _outside_layers(classifier, loaded.new_modules)
        self._names = {module: name for name, module in classifier.named_modules()}
        self._body: Any = getattr(classifier, classifier.base_model_prefix)
        self._exact: Callable[..., Tensor] | None = None
        self.stacks: list[tuple[str, ...]] = []
        self._copied: list[nn.Module] = []
        self.mixes = False
        try:
            self._forward: Callable[..., Tensor] = self._engine(classifier, torch.float32)
            if precision == "bfloat16":
                self._exact, self._forward = self._forward, self._engine(classifier, torch.bfloat16)
            self._let_go()
        except NotKnown:
            self._forward = self._hooked()

    def load(self, folder: Path) -> Adapter:
        """Read, verify and lay out an adapter; may run beside answers.

        Raises: ModelError; NotShared when it is more than plain LoRA.
        """
        deltas = read_deltas(self.base, folder, self.device)
        deltas.fold(self._own)
        head = head_of(self.base, self._own, deltas, self.device)
        deltas.join(self.stacks)
        return Adapter(deltas, head, deltas.sha256)

    @torch.inference_mode()
    def logits(self, rows: Sequence[Row]) -> list[NDArray[np.float32]]:
        """Of each row, one number a label of its adapter; rows of one adapter stand together.

        Raises: What the device says when memory is short.
        """
        found = self._once(self._forward, rows)
        if self._exact is not None:
            close = [at for at, row in enumerate(rows) if _is_close(found[at], row.adapter.task)]
            for at, again in zip(close, self._once(self._exact, [rows[at] for at in close]), strict=True):
                found[at] = again
        return found

    def _once(self, forward: Callable[..., Tensor], rows: Sequence[Row]) -> list[NDArray[np.float32]]:
        if not rows:
            return []
        self._crowd.enter([row.adapter.deltas for row in rows])
        batch = {key: value.to(self.device) for key, value in padded(rows, self.padder).items()}
        hidden = forward(**batch)
        found: list[NDArray[np.float32]] = []
        for span in self._crowd.spans:
            some, adapter = slice(span.start, span.stop), rows[span.start].adapter
            read = {key: value[some] for key, value in batch.items()}
            found.extend(adapter.head(hidden[some], read).float().cpu().numpy())
        return found

    def _engine(self, classifier: nn.Module, dtype: torch.dtype) -> Callable[..., Tensor]:
        def make(layers: Sequence[nn.Module]) -> SharedStack:
            names = tuple(self._names[layer] for layer in layers)
            self.stacks.append(names)
            self._copied.extend(layers)
            return SharedStack(layers, names, dtype, self._crowd)

        parts = take_apart(classifier, dtype, trains=False, make=make)
        encoder = Encoder(parts, dtype)
        if parts.between is not None and not self.mixes:  # once, whatever the number of engines
            self._hook(parts.between, by_row=True)
        self.mixes = True

        def forward(**batch: Tensor) -> Tensor:
            return cast(Tensor, encoder.forward(**batch).last_hidden_state)

        return forward

    def _let_go(self) -> None:
        """Free the layers' weights: the engine has its own copies."""
        for layer in self._copied:
            layer.weight.data = torch.empty(0)
        self._copied = []

    def _hooked(self) -> Callable[..., Tensor]:
        for module in self._body.modules():
            if self._names.get(module) in self.base.linear:
                self._hook(module, by_row=False)

        def forward(**batch: Tensor) -> Tensor:
            hidden: Tensor = self._body(**batch).last_hidden_state.float()
            return hidden

        return forward

    def _hook(self, module: nn.Module, *, by_row: bool) -> None:
        """Add the adapters to a layer that transformers computes.

        Args:
            by_row: Its inputs are the batch's rows. Of other architectures some layers also read positions,
                which belong to no row: there a batch has one adapter, and it is added to all there is.
        """
        names, crowd = (self._names[module],), self._crowd
        self.stacks.append(names)

        def of_rows(_: nn.Module, inputs: tuple[Tensor, ...], outputs: Tensor) -> Tensor:
            flat = outputs.reshape(-1, outputs.shape[-1])
            crowd.add(names, inputs[0].reshape(-1, inputs[0].shape[-1]), flat)
            return flat.view_as(outputs)

        def of_all(_: nn.Module, inputs: tuple[Tensor, ...], outputs: Tensor) -> Tensor:
            delta = crowd.spans[0].deltas.of(names)
            if delta is None:
                return outputs
            added = inputs[0] @ delta.down.to(outputs.dtype).t() @ delta.ups[0][2].to(outputs.dtype)
            return outputs + added

        module.register_forward_hook(of_rows if by_row else of_all)


def _is_close(logits: NDArray[np.float32], task: Task) -> bool:
    probabilities = probabilities_of(logits[None], multi_label=task.multi_label)[0]
    if task.multi_label:
        return bool((np.abs(probabilities - task.threshold) < _CLOSE).any())
    if len(probabilities) < 2:
        return False
    second, first = np.partition(probabilities, -2)[-2:]
    return bool(first - second < _CLOSE)


def padded(rows: Sequence[Row], padder: Padder) -> dict[str, Tensor]:
    """A batch of the rows; see ``Tokens.batch``."""
    longest = max(len(row.ids) for row in rows)
    ids = np.full((len(rows), longest), padder.token, dtype=np.int64)
    typed = any(row.types is not None for row in rows)
    types = np.full_like(ids, padder.token_type if typed else 0)
    mask = np.zeros((len(rows), longest), dtype=np.int64)
    for at, row in enumerate(rows):
        there = slice(longest - len(row.ids), longest) if padder.left else slice(0, len(row.ids))
        ids[at, there] = row.ids
        mask[at, there] = 1
        if typed:
            types[at, there] = 0 if row.types is None else row.types
    batch = {"input_ids": torch.from_numpy(ids)}
    if typed:
        batch["token_type_ids"] = torch.from_numpy(types)
    if not mask.all():
        batch["attention_mask"] = torch.from_numpy(mask)
    return batch


def _outside_layers(classifier: Any, new_modules: Sequence[str]) -> dict[str, Tensor]:
    """Tensors of the base a head may need: its pooler, and a head that came with it; none that are random."""
    body = f"{classifier.base_model_prefix}."
    return {
        name: parameter.detach()
        for name, parameter in classifier.named_parameters()
        if (name.startswith(f"{body}pooler.") or not name.startswith(body))
        and not any(name.startswith(f"{new}.") for new in new_modules)
    }


__all__ = ["Adapter", "NotShared", "Row", "SharedBase"]
