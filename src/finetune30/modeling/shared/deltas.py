"""An adapter's tensors, verified, beside no model: what it adds to each layer, and its own new layers.

Read and checked as strictly as by ``adapter``, against a classifier that has shapes and no memory.
Tensors stay as they are in the file, so an adapter costs what its file weighs.
Neighbours: ``crowd`` adds them to outputs, ``heads`` builds the head of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from peft import get_peft_model_state_dict
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForSequenceClassification

from finetune30.errors import ModelError
from finetune30.modeling.adapter import attach_untrained, check_weights
from finetune30.modeling.base import BaseModel, classifier_config, quiet_transformers
from finetune30.modeling.lora import WEIGHTS
from finetune30.modeling.safety import read_json
from finetune30.modeling.source import sha256_of
from finetune30.modeling.task import Task

_PREFIX = "base_model.model."
_LORA = re.compile(r"(?P<layer>.+)\.lora_(?P<side>[AB])\.weight")


class NotShared(Exception):
    """Why an adapter cannot stand beside others on one base: it changes more than layers' outputs."""


@dataclass(frozen=True)
class Delta:
    """What an adapter adds to layers whose outputs stand side by side.

    Attributes:
        down: Every ``lora_A``, one below the other: shape (ranks, in).
        ups: For each layer the rows of ``down`` and the columns of the outputs it has, and its ``lora_B``,
            transposed and scaled: shape (rank, out).
    """

    down: Tensor
    ups: tuple[tuple[slice, slice, Tensor], ...]

    @property
    def shape(self) -> object:
        """Equal for those that can be computed in one batched product."""
        return tuple(self.down.shape), tuple((r.start, r.stop, c.start, c.stop) for r, c, _ in self.ups)


@dataclass
class Deltas:
    """One adapter.

    Attributes:
        scale: lora_alpha / r, or over the root of r.
        lora: Layer's full name -> (lora_A of shape (r, in), lora_B of shape (out, r)).
        new: Layers of its own, by the names of their tensors in the classifier.
        widths: Output columns of each layer the base has.
        sha256: Of the file of weights.
    """

    task: Task
    scale: float
    lora: dict[str, tuple[Tensor, Tensor]]
    new: Mapping[str, Tensor]
    widths: Mapping[str, int]
    sha256: str
    _joined: dict[tuple[str, ...], Delta | None] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Memory of its tensors."""
        joined = [d for d in self._joined.values() if d is not None]
        tensors = [t for d in joined for t in (d.down, *(up for _, _, up in d.ups))]
        return sum(t.nbytes for t in [*tensors, *self.new.values()])

    def fold(self, own: Mapping[str, Tensor]) -> None:
        """Make what it adds to a layer outside the encoder's part of a layer of its own.

        Args:
            own: Tensors of the base outside its layers, by name, such as a pooler's.
        """
        for layer in [layer for layer in self.lora if f"{layer}.weight" in own]:
            down, up = self.lora.pop(layer)
            folded = {f"{layer}.weight": own[f"{layer}.weight"] + self.scale * (up @ down)}
            bias = own.get(f"{layer}.bias")
            self.new = {**({} if bias is None else {f"{layer}.bias": bias}), **self.new, **folded}

    def join(self, stacks: Sequence[tuple[str, ...]]) -> None:
        """Lay the tensors out for the layers as the base computes them, and let go of the loose ones.

        Raises: NotShared if a layer is none of them.
        """
        left = sorted(self.lora.keys() - {name for names in stacks for name in names})
        if left:
            raise NotShared(f"it changes {left[0]}, outside the encoder's layers")
        self._joined = {names: self._join(names) for names in dict.fromkeys(stacks)}
        self.lora = {}

    def of(self, layers: tuple[str, ...]) -> Delta | None:
        """What it adds to these layers; None for nothing."""
        return self._joined.get(layers)

    def _join(self, names: tuple[str, ...]) -> Delta | None:
        downs: list[Tensor] = []
        ups: list[tuple[slice, slice, Tensor]] = []
        rank = column = 0
        for name in names:
            if name in self.lora:
                down, up = self.lora[name]
                downs.append(down)
                place = slice(rank, rank + down.shape[0]), slice(column, column + up.shape[0])
                ups.append((*place, (up * self.scale).t().contiguous()))
                rank += down.shape[0]
            column += self.widths[name]
        return Delta(torch.cat(downs), tuple(ups)) if downs else None


def read_deltas(base: BaseModel, folder: Path, device: str) -> Deltas:
    """The adapter of a folder, fit for this base.

    Raises: ModelError if it is not whole or not for this base; NotShared if it is more than plain LoRA.
    """
    task = Task.read(read_json(folder / "config.json"), str(folder / "config.json"))
    with torch.device("meta"), quiet_transformers():
        classifier = AutoModelForSequenceClassification.from_config(
            classifier_config(base, task), trust_remote_code=False
        )
        attached = attach_untrained(classifier, base, folder)
        expected = get_peft_model_state_dict(attached, save_embedding_layers=False)
    settings = attached.peft_config["default"]
    if getattr(settings, "use_dora", False) or settings.bias != "none":
        raise NotShared("it is more than plain LoRA")
    path = folder / WEIGHTS
    sha256 = sha256_of(path)
    weights = load_file(path, device=device)
    check_weights(weights, expected, where=str(path))
    lora, new = _sorted(weights, str(path))
    body = f"{classifier.base_model_prefix}."
    if any(name.startswith(body) and not name.startswith(f"{body}pooler.") for name in new):
        raise NotShared("it has layers of its own inside the encoder")
    scale = settings.lora_alpha / (settings.r**0.5 if settings.use_rslora else settings.r)
    widths = {name: shape[0] for name, shape in base.linear.items()}
    return Deltas(task, float(scale), lora, new, widths, sha256)


def _sorted(weights: Mapping[str, Tensor], where: str) -> tuple[dict[str, tuple[Tensor, Tensor]], dict[str, Tensor]]:
    sides: dict[str, dict[str, Tensor]] = {}
    new: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        plain = name.removeprefix(_PREFIX)
        if match := _LORA.fullmatch(plain):
            sides.setdefault(match["layer"], {})[match["side"]] = tensor.float()
        else:
            new[plain] = tensor.float()
    if not all(pair.keys() == {"A", "B"} for pair in sides.values()):
        raise ModelError("a layer has only half of its adapter", where=where)
    return {layer: (pair["A"], pair["B"]) for layer, pair in sides.items()}, new
