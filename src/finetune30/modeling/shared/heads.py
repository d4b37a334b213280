"""The head of one adapter: from what the encoder says of the first token to the labels.

A head is the classifier of transformers with its body cut out. Where it is a chain of linear layers, as
all of the engine's architectures have it, the chain alone is kept, after a look that it answers the same.
Neighbours: ``deltas`` brings the tensors, ``body`` calls.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModelForSequenceClassification
from transformers.modeling_outputs import BaseModelOutputWithPooling

from finetune30.errors import ModelError
from finetune30.modeling.base import BaseModel, classifier_config, quiet_transformers
from finetune30.modeling.shared.deltas import Deltas
from finetune30.modeling.shared.rows import Batch

# Of the hidden states of rows, shape (rows, tokens or 1, size) in float32, and of what the body read of these
# rows, the logits, shape (rows, labels).
Head = Callable[[Tensor, Mapping[str, Tensor]], Tensor]
_CLOSE = 1e-4
# Larger weights are read where they are: to lay them side by side would cost more than the calls.
_LARGE = 32_768


def head_of(base: BaseModel, own: Mapping[str, Tensor], deltas: Deltas, device: str) -> Head:
    """The head of an adapter.

    Args:
        own: The base's own tensors outside its layers, by name: a pooler, or a head it came with.
    Raises: ModelError if a tensor of the head is neither the adapter's nor the base's.
    """
    tensors = deltas.take_outside(own)
    shell = _Shell(_cut_out(base, tensors, deltas, device), base)
    chain = _chain(shell, own, deltas)
    if chain is None:
        deltas.fold(tensors)
        return shell
    probe = torch.randn(3, 1, shell.size, generator=torch.Generator().manual_seed(0)).to(device)
    read = {"input_ids": torch.zeros(3, 1, dtype=torch.long, device=device)}
    with torch.inference_mode():
        same = torch.allclose(chain(probe, read), shell(probe, read), atol=_CLOSE, rtol=_CLOSE)
    if not same:
        deltas.fold(tensors)
    return chain if same else shell


def outside_layers(classifier: Any, new_modules: Sequence[str]) -> dict[str, Tensor]:
    """Tensors of the base a head may need: its pooler, and a head that came with it; none that are random."""
    body = f"{classifier.base_model_prefix}."
    return {
        name: parameter.detach()
        for name, parameter in classifier.named_parameters()
        if (name.startswith(f"{body}pooler.") or not name.startswith(body))
        and not any(name.startswith(f"{new}.") for new in new_modules)
    }


class _Given(nn.Module):
    """Stands where the body was and says what it is told."""

    def __init__(self, body: Any) -> None:
        super().__init__()
        self.pooler = getattr(body, "pooler", None)
        # ALBERT keeps its activation beside the pooler; it has no tensors.
        self.pooler_activation = getattr(body, "pooler_activation", None)
        self.told = threading.local()

    def forward(self, *_: Any, **__: Any) -> BaseModelOutputWithPooling:
        hidden = self.told.hidden
        return BaseModelOutputWithPooling(last_hidden_state=hidden, pooler_output=self._pooled(hidden))

    def _pooled(self, hidden: Any) -> Tensor | None:
        if self.pooler is None:
            return None
        pooled: Tensor = (
            self.pooler(hidden) if self.pooler_activation is None else self.pooler_activation(self.pooler(hidden[:, 0]))
        )
        return pooled


class _Shell:
    """A classifier without its body."""

    def __init__(self, classifier: Any, base: BaseModel) -> None:
        self.classifier = classifier
        self.body: _Given = getattr(classifier, classifier.base_model_prefix)
        self.model_type = base.model_type
        self.size = int(classifier.config.hidden_size)

    def __call__(self, hidden: Tensor, read: Mapping[str, Tensor]) -> Tensor:
        self.body.told.hidden = hidden
        logits: Tensor = self.classifier(**read).logits
        self.body.told.hidden = None
        return logits


@dataclass(frozen=True)
class Link:
    """A linear layer, and what comes after it.

    Attributes:
        thin: What the adapter adds to a layer of the base: lora_A, and lora_B times the scale.
    """

    weight: Tensor
    bias: Tensor | None
    activation: Callable[[Tensor], Tensor] | None
    thin: tuple[Tensor, Tensor] | None = None

    def __call__(self, values: Tensor) -> Tensor:
        outputs = functional.linear(values, self.weight, self.bias)
        if self.thin is not None:
            outputs += functional.linear(functional.linear(values, self.thin[0]), self.thin[1])
        return outputs if self.activation is None else self.activation(outputs)

    def folded(self) -> Link:
        """The same, with what the adapter adds in the weight."""
        if self.thin is None:
            return self
        down, up = self.thin
        return replace(self, weight=torch.addmm(self.weight, up, down), thin=None)


@dataclass(frozen=True)
class Chain:
    """Linear layers, one after the other."""

    links: tuple[Link, ...]

    @property
    def shape(self) -> object:
        """Equal for chains that can be computed together."""
        return tuple(
            (
                link.weight.shape,
                link.bias is None,
                link.activation,
                None if link.thin is None else tuple(one.shape for one in link.thin),
            )
            for link in self.links
        )

    def __call__(self, hidden: Tensor, _: Mapping[str, Tensor]) -> Tensor:
        values = hidden[:, 0]
        for link in self.links:
            values = link(values)
        return values

    def folded(self) -> tuple[Chain, int]:
        """The same, with what the adapter adds in the weights; and the memory of those that are new."""
        found = Chain(tuple(link.folded() for link in self.links))
        new = [link.weight.nbytes for link, old in zip(found.links, self.links, strict=True) if link is not old]
        return found, sum(new)


def headed(batch: Batch, hidden: Tensor, merged: Head | None = None) -> Iterator[tuple[Sequence[int], Tensor]]:
    """The logits of places in the batch: rows of one adapter at once, and of several whose heads are alike.

    Args:
        merged: The head of all rows, in place of their adapter's.
    """
    if merged is not None:
        yield range(len(batch.rows)), merged(hidden, batch.read)
        return
    whose: dict[int, list[int]] = {}
    for at, row in enumerate(batch.rows):
        whose.setdefault(id(row.adapter), []).append(at)
    if len(whose) == 1:
        yield range(len(batch.rows)), batch.rows[0].adapter.head(hidden, batch.read)
        return
    alike: dict[object, list[int]] = {}
    for places in whose.values():
        head = batch.rows[places[0]].adapter.head
        if isinstance(head, Chain):
            alike.setdefault(head.shape, []).extend(places)
        else:
            some = {key: _at(value, places) for key, value in batch.read.items()}
            yield places, head(_at(hidden, places), some)
    for places in alike.values():
        yield places, _together([batch.rows[at].adapter.head for at in places], _at(hidden, places))


def _at(values: Tensor, places: Sequence[int]) -> Tensor:
    """The rows in these places: where they lie together a view, for on a GPU a list would be copied there first."""
    first, last = places[0], places[-1]
    if list(places) == list(range(first, last + 1)):
        return values[first : last + 1]
    return values[places]


def _together(chains: Sequence[Chain], hidden: Tensor) -> Tensor:
    """The logits of rows of one ``shape``, each by its own chain.

    Args:
        hidden: Shape (rows, tokens or 1, size).
    """
    values = hidden[:, 0]
    for links in zip(*(chain.links for chain in chains), strict=True):
        outputs = _times([link.weight for link in links], values)
        if links[0].bias is not None:
            outputs += _each([link.bias for link in links if link.bias is not None])
        if links[0].thin is not None:
            down, up = zip(*(link.thin for link in links if link.thin is not None), strict=True)
            outputs += _times(up, _times(down, values))
        values = outputs if links[0].activation is None else links[0].activation(outputs)
    return values


def _times(weights: Sequence[Tensor], values: Tensor) -> Tensor:
    """Each row times its own weight, transposed."""
    if all(weight is weights[0] for weight in weights):
        return functional.linear(values, weights[0])
    if weights[0].numel() > _LARGE:
        return torch.stack([functional.linear(row, weight) for row, weight in zip(values, weights, strict=True)])
    return torch.bmm(torch.stack(list(weights)), values.unsqueeze(2)).squeeze(2)


def _each(biases: Sequence[Tensor]) -> Tensor:
    return biases[0] if all(bias is biases[0] for bias in biases) else torch.stack(list(biases))


def here(found: list[tuple[Sequence[int], Tensor]]) -> list[tuple[Sequence[int], Tensor]]:
    """In the host's memory: of a GPU all at once, for each look at it waits until it has computed everything."""
    if len(found) == 1 or found[0][1].device.type == "cpu":
        return [(places, logits.cpu()) for places, logits in found]
    flat = torch.cat([logits.flatten() for _, logits in found]).cpu()
    pieces = torch.split(flat, [logits.numel() for _, logits in found])
    return [(places, piece.view(one.shape)) for (places, one), piece in zip(found, pieces, strict=True)]


def _cut_out(base: BaseModel, tensors: Mapping[str, Tensor], deltas: Deltas, device: str) -> Any:
    with torch.device("meta"), quiet_transformers():
        config = classifier_config(base, deltas.task)
        classifier: Any = AutoModelForSequenceClassification.from_config(config, trust_remote_code=False)
        body = getattr(classifier, classifier.base_model_prefix)
        setattr(classifier, classifier.base_model_prefix, _Given(body))
    wanted = {name: tensors[name] for name, _ in classifier.named_parameters() if name in tensors}
    missing = sorted({name for name, _ in classifier.named_parameters()} - wanted.keys())
    if missing:
        raise ModelError(f"{missing[0]} is neither in the adapter nor in the base model", where=base.source.name)
    classifier.load_state_dict({name: tensor.to(device) for name, tensor in wanted.items()}, strict=False, assign=True)
    if any(buffer.is_meta for buffer in classifier.buffers()):
        raise ModelError(f"the head of {base.model_type!r} has buffers of its own", where=base.source.name)
    return classifier.eval()


def _chain(shell: _Shell, own: Mapping[str, Tensor], deltas: Deltas) -> Head | None:
    model: Any = shell.classifier
    body: Any = shell.body
    links: list[tuple[Any, Callable[[Tensor], Tensor] | None]]
    try:
        match shell.model_type:
            case "bert":
                links = [(body.pooler.dense, torch.tanh), (model.classifier, None)]
            case "albert":
                links = [(body.pooler, torch.tanh), (model.classifier, None)]
            case "distilbert":
                links = [(model.pre_classifier, torch.relu), (model.classifier, None)]
            case "roberta" | "xlm-roberta" | "camembert":
                links = [(model.classifier.dense, torch.tanh), (model.classifier.out_proj, None)]
            case "electra":
                links = [(model.classifier.dense, functional.gelu), (model.classifier.out_proj, None)]
            case _:
                return None
        names = {module: name for name, module in model.named_modules()}
        return Chain(tuple(_link(one, after, names[one], own, deltas) for one, after in links))
    except AttributeError:
        return None


def _link(
    layer: Any, after: Callable[[Tensor], Tensor] | None, name: str, own: Mapping[str, Tensor], deltas: Deltas
) -> Link:
    """The base's layer itself, where the adapter only adds to it: a folded one would be as large as the adapter."""
    bias = None if layer.bias is None else layer.bias.detach()
    if name not in deltas.outside:
        return Link(layer.weight.detach(), bias, after)
    down, up = deltas.outside[name]
    return Link(own[f"{name}.weight"], bias, after, (down, up * deltas.scale))
