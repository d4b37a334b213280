"""One base model in memory, and rows of many adapters computed on it together.

Architectures the engine knows are computed by it, with rows of any adapters in one batch. Others are
computed by transformers' own code, one adapter a batch, the adapter added by hooks: also there the base
is in memory once. In bfloat16 a row that may have moved too far is computed again in float32, so that its
label is the one that was evaluated (``rounding``). What is the batch's is made for it, so threads may compute
side by side.
Neighbours: ``deltas`` and ``heads`` are an adapter's tensors, ``forward`` and ``crowd`` compute.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from finetune30.modeling import base as base_model
from finetune30.modeling.base import BaseModel
from finetune30.modeling.engine.architectures import NotKnown, take_apart
from finetune30.modeling.process import FEW_DESCRIPTIONS, tune
from finetune30.modeling.shared.adding import add
from finetune30.modeling.shared.crowd import SharedStack, crowd
from finetune30.modeling.shared.deltas import Deltas, NotShared, Plans, read_deltas
from finetune30.modeling.shared.forward import Forward
from finetune30.modeling.shared.graphs import Graphs
from finetune30.modeling.shared.heads import Chain, Head, head_of, headed, here, outside_layers
from finetune30.modeling.shared.merging import Merged, merged
from finetune30.modeling.shared.passes import Pass
from finetune30.modeling.shared.plans import Delta
from finetune30.modeling.shared.recording import Recorder, recorder_for
from finetune30.modeling.shared.rounding import Rounding
from finetune30.modeling.shared.rows import Batch, Row, batch_of
from finetune30.modeling.task import Task
from finetune30.modeling.tokens import Padder

_SEED = 0


@dataclass(frozen=True, eq=False)
class Adapter:
    """An adapter in memory; never changed, so who holds it answers with it to the end.

    Attributes:
        sha256: Of its file of weights.
        rounding: What bfloat16 does to its answers.
    """

    deltas: Deltas
    head: Head
    sha256: str
    rounding: Rounding

    @property
    def task(self) -> Task:
        """What it is asked."""
        return self.deltas.task

    @property
    def nbytes(self) -> int:
        """Memory of its tensors."""
        return self.deltas.nbytes

    @property
    def kin(self) -> tuple[int, int]:
        """Equal for rows of one adapter; the first number for all that can be computed in one product."""
        return id(self.deltas.plan), id(self.deltas)

    def measured(self, fast: Sequence[NDArray[np.float32]], exact: Sequence[NDArray[np.float32]]) -> Adapter:
        """The same adapter, knowing how far the fast number format is off on some texts."""
        return replace(self, rounding=Rounding.seen(self.task, np.stack(fast), np.stack(exact)))


class SharedBase:
    """A base model that answers for many adapters. Its weights are only read: several threads may compute at once.

    Args:
        precision: ``float32`` or ``bfloat16``.
        recorder: Of passes that are replayed; the device's own, where it has one.
    Attributes:
        mixes: Whether rows of different adapters may stand in one batch.
        hot: Rows of its adapter are computed on it, where a batch has no others.
        merged_rows: How many were.
    """

    def __init__(self, base: BaseModel, device: str, precision: str, recorder: Recorder | None = None) -> None:
        tune(FEW_DESCRIPTIONS)
        self.base = base
        self.device = device
        self.precision = precision
        self._recorder = recorder or recorder_for(device)
        self.padder = Padder.of(base.tokenizer)
        self._hooks = threading.local()
        loaded = base_model.load(base, ("0", "1"), seed=_SEED)
        classifier: Any = loaded.model
        classifier.requires_grad_(False)
        # The files may change below a map of them; what is in memory may not.
        for tensor in [*classifier.parameters(), *classifier.buffers()]:
            tensor.data = tensor.data.to(device, copy=True)
        classifier.to(device).eval()
        self._own = outside_layers(classifier, loaded.new_modules)
        self._names = {module: name for name, module in classifier.named_modules()}
        self._body: Any = getattr(classifier, classifier.base_model_prefix)
        self._exact: _Compute | None = None
        self.hot: Merged | None = None
        self.merged_rows = 0
        self._passes: dict[torch.dtype, Forward] = {}
        self.stacks: list[tuple[str, ...]] = []
        self._plans: Plans = {}
        self._copied: list[nn.Module] = []
        self.mixes = False
        try:
            self._forward: _Compute = self._engine(classifier, torch.float32)
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
        head = head_of(self.base, self._own, deltas, self.device)
        deltas.lay_out(self.stacks, self._plans, halves=self._exact is not None)
        return Adapter(deltas, head, deltas.sha256, Rounding(deltas.task))

    @torch.inference_mode()
    def logits(self, rows: Sequence[Row]) -> list[NDArray[np.float32]]:
        """Of each row, one number a label of its adapter.

        Raises: What the device says when memory is short.
        """
        hot = self.hot  # once: it may be let go meanwhile
        if hot is not None and all(row.adapter is hot.adapter for row in rows):
            self.merged_rows += len(rows)
            return self._judged(hot.compute, rows, lambda _: hot.rounding, hot.head)
        return self._judged(self._forward, rows, lambda row: row.adapter.rounding)

    @torch.inference_mode()
    def logits_on(self, copy: Merged, rows: Sequence[Row]) -> list[NDArray[np.float32]]:
        """Of rows of the adapter that a copy of the layers is of."""
        return self._judged(copy.compute, rows, lambda _: copy.rounding, copy.head)

    def merge(self, adapter: Adapter) -> Merged:
        """A copy of the layers for one adapter; it answers nobody until it is set as ``hot``.

        Raises: NotShared where there can be none.
        """
        if not self.mixes:
            raise NotShared("the layers of its base are computed by transformers")
        if adapter.rounding.hopeless:
            raise NotShared("it is computed in float32")
        tensors, dtype = adapter.deltas.tensors(torch.float32), next(reversed(self._passes))
        with torch.inference_mode():
            forward, nbytes = merged(self._passes[torch.float32], tensors, dtype)
            head, more = adapter.head.folded() if isinstance(adapter.head, Chain) else (adapter.head, 0)
        return Merged(adapter, self._computes(forward, adds=False), head, adapter.rounding, nbytes + more)

    @property
    def graphs(self) -> list[Graphs]:
        """Of its passes, the merged one's last; none where nothing is replayed."""
        hot = self.hot
        passes = [self._exact, self._forward, None if hot is None else hot.compute]
        return [one.graphs for one in passes if isinstance(one, Pass) and one.graphs is not None]

    @property
    def graph_bytes(self) -> int:
        """Memory of what is replayed."""
        own = 0 if self._recorder is None else self._recorder.nbytes
        return own + sum(one.nbytes for one in self.graphs)

    @property
    def fast(self) -> Format:
        """Computes every row in ``precision``."""
        return Format(self, self._forward)

    @property
    def exact(self) -> Format:
        """Computes every row in float32."""
        return Format(self, self._exact or self._forward)

    def _judged(
        self, compute: _Compute, rows: Sequence[Row], rounding: Callable[[Row], Rounding], head: Head | None = None
    ) -> list[NDArray[np.float32]]:
        if self._exact is None:
            return self._once(compute, rows, head)
        fast = [at for at, row in enumerate(rows) if not rounding(row).hopeless]
        found = dict(zip(fast, self._once(compute, [rows[at] for at in fast], head), strict=True))
        again = [at for at, row in enumerate(rows) if at not in found or rounding(row).doubts(found[at])]
        if again:
            found |= zip(again, self._once(self._exact, [rows[at] for at in again]), strict=True)
        return [found[at] for at in range(len(rows))]

    def _once(self, compute: _Compute, rows: Sequence[Row], head: Head | None = None) -> list[NDArray[np.float32]]:
        if not rows:
            return []
        batch = batch_of(rows, self.padder, "cpu", cuts=self._cuts)
        hidden = compute(batch)
        if not all(isinstance(row.adapter.head, Chain) for row in rows):
            batch = batch.on(self.device)  # other heads look at what was read
        found: list[Any] = [None] * len(rows)
        for places, logits in here([(places, logits.float()) for places, logits in headed(batch, hidden, head)]):
            for at, one in zip(places, logits.numpy(), strict=True):
                found[batch.order[at]] = one
        return found

    @property
    def _cuts(self) -> bool:
        """Where calls, or graphs of many shapes, cost more than padding: not on a GPU."""
        return self.mixes and self.device == "cpu" and self._recorder is None and not self.padder.left

    def _engine(self, classifier: nn.Module, dtype: torch.dtype) -> _Compute:
        def make(layers: Sequence[nn.Module]) -> SharedStack:
            names = tuple(self._names[layer] for layer in layers)
            self.stacks.append(names)
            self._copied.extend(layers)
            return SharedStack(layers, names, dtype)

        parts = take_apart(classifier, dtype, trains=False, make=make)
        forward = self._passes[dtype] = Forward(parts, dtype)
        if parts.between is not None and not self.mixes:  # once, whatever the number of engines
            self._hook(parts.between, by_row=True)
        self.mixes = True

        return self._computes(forward, adds=True)

    def _computes(self, forward: Forward, *, adds: bool) -> Pass:
        recorder, graphs = self._recorder, None
        if recorder is not None and not self.padder.left:
            graphs = Graphs(forward, recorder, self.device, self.padder.token)
        return Pass(forward, self._hooks, self.device, graphs, adds=adds)

    def _let_go(self) -> None:
        """Free the layers' weights: the engine has its own copies."""
        for layer in self._copied:
            layer.weight.data = torch.empty(0)
        self._copied = []

    def _hooked(self) -> _Compute:
        for module in self._body.modules():
            if self._names.get(module) in self.base.linear:
                self._hook(module, by_row=False)

        def compute(batch: Batch) -> Tensor:
            self._hooks.tensors = batch.rows[0].adapter.deltas.tensors(torch.float32)
            found: Tensor = self._body(**batch.on(self.device).read).last_hidden_state
            hidden: Tensor = found.float()
            return hidden

        return compute

    def _hook(self, module: nn.Module, *, by_row: bool) -> None:
        """Add the adapters to a layer that transformers computes.

        Args:
            by_row: Its inputs are the batch's rows. Of other architectures some layers also read positions,
                which belong to no row: there a batch has one adapter, and it is added to all there is.
        """
        names, hooks = (self._names[module],), self._hooks
        self.stacks.append(names)

        def of_rows(_: nn.Module, inputs: tuple[Tensor, ...], outputs: Tensor) -> Tensor:
            flat = outputs.reshape(-1, outputs.shape[-1])
            segments, whose = hooks.rows
            add(crowd(whose, segments, (names,)), 0, inputs[0].reshape(-1, inputs[0].shape[-1]), flat, False)
            return flat.view_as(outputs)

        def of_all(_: nn.Module, inputs: tuple[Tensor, ...], outputs: Tensor) -> Tensor:
            delta: Delta | None = hooks.tensors.of(names)
            if delta is None:
                return outputs
            added = inputs[0] @ delta.down.to(outputs.dtype).t() @ delta.ups[0][2].to(outputs.dtype)
            return outputs + added

        module.register_forward_hook(of_rows if by_row else of_all)


# Hidden states of each row's first token, or of all its tokens, in float32.
_Compute = Callable[[Batch], Tensor]


@dataclass(frozen=True)
class Format:
    """A base that computes in one number format, whatever its adapters would have."""

    base: SharedBase
    forward: _Compute
    head: Head | None = None

    @property
    def mixes(self) -> bool:
        """As the base's."""
        return self.base.mixes

    @torch.inference_mode()
    def logits(self, rows: Sequence[Row]) -> list[NDArray[np.float32]]:
        """As the base's."""
        return self.base._once(self.forward, rows, self.head)


__all__ = ["Adapter", "NotShared", "Row", "SharedBase"]
