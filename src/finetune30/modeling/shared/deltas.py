"""An adapter's tensors, verified, beside no model: what it adds to each layer, and its own new layers.

Read and checked as strictly as by ``adapter``, against a classifier that has shapes and no memory.
All numbers lie in one row, four bytes each in whatever number formats are needed (``halves``), so an adapter
costs what its file weighs. Neighbours: ``crowd`` adds them to outputs, ``heads`` builds the head of them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load
from torch import Tensor

from finetune30.errors import ModelError
from finetune30.modeling.adapter import check_weights
from finetune30.modeling.base import BaseModel
from finetune30.modeling.lora import WEIGHTS
from finetune30.modeling.safety import read_json
from finetune30.modeling.shared.blueprint import blueprint
from finetune30.modeling.shared.halves import Halves
from finetune30.modeling.shared.plans import Place, Plan, Tensors
from finetune30.modeling.task import Task

_PREFIX = "base_model.model."
_LORA = re.compile(r"(?P<layer>.+)\.lora_(?P<side>[AB])\.weight")


class NotShared(Exception):
    """Why an adapter cannot stand beside others on one base: it changes more than layers' outputs."""


@dataclass
class Deltas:
    """One adapter.

    Attributes:
        scale: lora_alpha / r, or over the root of r.
        lora: Layer's full name -> (lora_A of shape (r, in), lora_B of shape (out, r)); empty once laid out.
        outside: The same for layers outside the encoder's, such as a pooler.
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
    outside: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    plan: Plan | None = None
    _numbers: Halves | Tensor | None = None
    _ready: Tensors | None = None

    @property
    def nbytes(self) -> int:
        """Memory of its tensors."""
        loose = [*self.new.values(), *(t for pair in (*self.lora.values(), *self.outside.values()) for t in pair)]
        return sum(t.nbytes for t in loose) + (0 if self._numbers is None else self._numbers.nbytes)

    def take_outside(self, own: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Set aside what it adds to layers outside the encoder's; returned are these layers' tensors with it.

        Args:
            own: Tensors of the base outside its layers, by name, such as a pooler's.
        """
        for layer in [layer for layer in self.lora if f"{layer}.weight" in own]:
            self.outside[layer] = self.lora.pop(layer)
        folded = {
            f"{layer}.weight": own[f"{layer}.weight"] + self.scale * (up @ down)
            for layer, (down, up) in self.outside.items()
        }
        return {**own, **self.new, **folded}

    def fold(self, tensors: Mapping[str, Tensor]) -> None:
        """Keep as layers of its own, as ``take_outside`` gave them, what else would be added to the base's."""
        self.new = {**self.new, **{f"{layer}.weight": tensors[f"{layer}.weight"] for layer in self.outside}}
        self.outside = {}

    def lay_out(self, stacks: Sequence[tuple[str, ...]], plans: Plans, *, halves: bool) -> None:
        """Lay the tensors out for the layers as the base computes them, and let go of the loose ones.

        Args:
            halves: Ready for bfloat16 and float32; else for float32 alone.
        Raises: NotShared if a layer is none of them.
        """
        left = sorted(self.lora.keys() - {name for names in stacks for name in names})
        if left:
            raise NotShared(f"it changes {left[0]}, outside the encoder's layers")
        places: list[Place] = []
        numbers: list[Tensor] = []
        for names in dict.fromkeys(stacks):
            if any(name in self.lora for name in names):
                places.append(self._place(len(places), names))
                inside = [self.lora[name] for name in names if name in self.lora]
                numbers += [down.flatten() for down, _ in inside]
                numbers += [(up * self.scale).t().flatten() for _, up in inside]
        self.plan = plans.setdefault(_key(places), Plan(places))
        row = torch.cat(numbers) if numbers else torch.empty(0)
        self._numbers = Halves.of(row) if halves else row
        self.lora = {}

    def tensors(self, dtype: torch.dtype) -> Tensors:
        """Its tensors for products in this number format."""
        numbers, plan = self._numbers, self.plan
        if numbers is None or plan is None:
            raise RuntimeError("it was not laid out")
        if isinstance(numbers, Halves) and dtype == torch.float32:
            return Tensors(plan, numbers.whole())  # seldom needed, so not kept
        if self._ready is None:
            self._ready = Tensors(plan, numbers.high if isinstance(numbers, Halves) else numbers)
        return self._ready

    def _place(self, number: int, names: tuple[str, ...]) -> Place:
        ups: list[tuple[slice, slice]] = []
        rank = column = inputs = 0
        for name in names:
            if name in self.lora:
                down, up = self.lora[name]
                ups.append((slice(rank, rank + down.shape[0]), slice(column, column + up.shape[0])))
                rank += down.shape[0]
                inputs = down.shape[1]
            column += self.widths[name]
        shapes = {(r.stop - r.start, c.stop - c.start) for r, c in ups}
        whole = len(ups) == len(names) and len(shapes) == 1
        return Place(number, names, (rank, inputs), tuple(ups), whole)


Plans = dict[object, Plan]
"""Of the adapters of one base."""


def _key(places: Sequence[Place]) -> object:
    return tuple(
        (place.names, place.down, tuple((r.start, r.stop, c.start, c.stop) for r, c in place.ups)) for place in places
    )


def read_deltas(base: BaseModel, folder: Path, device: str) -> Deltas:
    """The adapter of a folder, fit for this base.

    Raises: ModelError if it is not whole or not for this base; NotShared if it is more than plain LoRA.
    """
    task = Task.read(read_json(folder / "config.json"), str(folder / "config.json"))
    wanted = blueprint(base, task, folder)
    if not wanted.plain:
        raise NotShared("it is more than plain LoRA")
    path = folder / WEIGHTS
    content = path.read_bytes()  # not mapped: the file may change, what is in memory may not
    sha256 = hashlib.sha256(content).hexdigest()
    weights = load(content)
    check_weights(weights, wanted.shapes, where=str(path))  # here: on a GPU each look at a tensor waits for it
    lora, new = _sorted({name: tensor.to(device, copy=True) for name, tensor in weights.items()}, str(path))
    body = wanted.body
    if any(name.startswith(body) and not name.startswith(f"{body}pooler.") for name in new):
        raise NotShared("it has layers of its own inside the encoder")
    widths = {name: shape[0] for name, shape in base.linear.items()}
    return Deltas(task, wanted.scale, lora, new, widths, sha256)


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
