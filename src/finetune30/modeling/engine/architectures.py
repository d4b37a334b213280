"""Which modules of a classifier are its encoder layers, by architecture.

A model the engine does not know, or an adapter it cannot compute (DoRA, trained biases),
is refused with the reason, and trains on transformers' own code instead: right, if slower.
Neighbours: ``encoder`` asks; ``layer`` and ``linear`` hold what is found.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.lora import Linear as LoraLinear
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from finetune30.modeling.engine.layer import ACTIVATIONS, Layer, Norm
from finetune30.modeling.engine.linear import ADAPTER, Stack


class NotKnown(Exception):
    """Why the engine does not compute this model."""


@dataclass(frozen=True)
class Names:
    """Where the parts of an architecture are: of a layer relative to it, of the rest relative to the body.

    Attributes:
        layers: The list of layers.
        between: A projection between the embeddings and the first layer; None if there is none.
        activation, heads: Keys of the model's configuration.
    """

    query: str
    key: str
    value: str
    out: str
    attention_norm: str
    up: str
    down: str
    output_norm: str
    layers: str = "encoder.layer"
    between: str | None = None
    activation: str = "hidden_act"
    heads: str = "num_attention_heads"


_BERT = Names(
    query="attention.self.query",
    key="attention.self.key",
    value="attention.self.value",
    out="attention.output.dense",
    attention_norm="attention.output.LayerNorm",
    up="intermediate.dense",
    down="output.dense",
    output_norm="output.LayerNorm",
)
_KNOWN = {
    "bert": _BERT,
    "roberta": _BERT,
    "xlm-roberta": _BERT,
    "camembert": _BERT,
    "electra": replace(_BERT, between="embeddings_project"),
    "distilbert": Names(
        query="attention.q_lin",
        key="attention.k_lin",
        value="attention.v_lin",
        out="attention.out_lin",
        attention_norm="sa_layer_norm",
        up="ffn.lin1",
        down="ffn.lin2",
        output_norm="output_layer_norm",
        layers="transformer.layer",
        activation="activation",
        heads="n_heads",
    ),
    "albert": Names(
        query="attention.query",
        key="attention.key",
        value="attention.value",
        out="attention.dense",
        attention_norm="attention.LayerNorm",
        up="ffn",
        down="ffn_output",
        output_norm="full_layer_layer_norm",
        between="encoder.embedding_hidden_mapping_in",
    ),
}


@dataclass(frozen=True)
class Parts:
    """A classifier's encoder taken apart.

    Attributes:
        body: The module that transformers calls for the hidden states: ``model.bert`` and its like.
        between: A projection between the embeddings and the first layer, or None.
        layers: In the order of computing; shared layers (ALBERT) stand here several times.
    """

    body: nn.Module
    between: nn.Module | None
    layers: tuple[Layer, ...]


# Linear layers with one input, under their adapters if they have any -> what multiplies by them.
MakeStack = Callable[[Sequence[nn.Module]], Stack]


def take_apart(model: nn.Module, dtype: torch.dtype, *, trains: bool, make: MakeStack | None = None) -> Parts:
    """The encoder of a classifier, its frozen weights copied in ``dtype``.

    Args:
        model: A classifier of transformers, or a PEFT model around one; it is only read.
        trains: Whether there will be backward passes.
        make: Makes the stacks; None multiplies by each layer and the adapter on it.
    Raises: NotKnown.
    """
    classifier: Any = model.get_base_model() if isinstance(model, PeftModel) else model
    config = classifier.config
    names = _KNOWN.get(config.model_type)
    if names is None:
        raise NotKnown(f"the layers of {config.model_type!r} are not known to it")
    activation = ACTIVATIONS.get(getattr(config, names.activation))
    if activation is None:
        raise NotKnown(f"the activation {getattr(config, names.activation)!r} is not known to it")
    if getattr(config, "is_decoder", False) or getattr(config, "add_cross_attention", False):
        raise NotKnown("the model is a decoder")
    body = getattr(classifier, classifier.base_model_prefix)
    modules = _layers(body, names, config)
    for module in dict.fromkeys(modules):
        _check(module, names)
        if trains and any(dropout.p > 0 for dropout in _dropouts(module)):
            raise NotKnown("there is dropout inside the base model (model.dropout)")

    def stack(module: nn.Module, *parts: str) -> Stack:
        layers = [module.get_submodule(part) for part in parts]
        return Stack(layers, dtype, trains=trains) if make is None else make(layers)

    def layer(module: nn.Module, attention: tuple[Stack, ...]) -> Layer:
        return Layer(
            attention=attention,
            out=stack(module, names.out),
            attention_norm=_norm(module.get_submodule(names.attention_norm), dtype),
            up=stack(module, names.up),
            down=stack(module, names.down),
            output_norm=_norm(module.get_submodule(names.output_norm), dtype),
            activation=activation,
            heads=getattr(config, names.heads),
        )

    *lower, last = modules
    made = {m: layer(m, (stack(m, names.query, names.key, names.value),)) for m in dict.fromkeys(lower)}
    first_only = stack(last, names.query), stack(last, names.key, names.value)
    top = replace(made[last], attention=first_only) if last in made else layer(last, first_only)
    layers = [*(made[m] for m in lower), top]
    between = _find(body, names.between) if names.between else None
    return Parts(body, between, tuple(layers))


def _layers(body: nn.Module, names: Names, config: Any) -> list[nn.Module]:
    if config.model_type != "albert":
        return list(body.get_submodule(names.layers).children())
    encoder: Any = body.encoder
    count, groups = config.num_hidden_layers, encoder.albert_layer_groups
    order = [int(i / (count / config.num_hidden_groups)) for i in range(count)]
    return [layer for group in order for layer in groups[group].albert_layers]


def _find(body: nn.Module, name: str) -> nn.Module | None:
    try:
        return body.get_submodule(name)
    except AttributeError:
        return None  # ELECTRA has a projection only where the embeddings are of another size


def _check(layer: nn.Module, names: Names) -> None:
    """Refuse, before anything is changed, what would be computed wrongly."""
    adapters: set[nn.Parameter] = set()
    scales: set[float] = set()
    for name in (names.query, names.key, names.value, names.out, names.up, names.down):
        module = layer.get_submodule(name)
        if isinstance(module, LoraLayer):
            if type(module) is not LoraLinear or module.lora_variant or set(module.lora_A) != {ADAPTER}:
                raise NotKnown("the adapter is more than plain LoRA")
            if module.lora_B[ADAPTER].bias is not None or module.merged:
                raise NotKnown("the adapter is more than plain LoRA")
            scales.add(module.scaling[ADAPTER])
            adapters |= {module.lora_A[ADAPTER].weight, module.lora_B[ADAPTER].weight}
            module = module.get_base_layer()
        if type(module) is not nn.Linear:
            raise NotKnown(f"{name} is no plain linear layer")
    if len(scales) > 1:
        raise NotKnown("the adapters have different scales")
    for name in (names.attention_norm, names.output_norm):
        if type(layer.get_submodule(name)) is not nn.LayerNorm:
            raise NotKnown(f"{name} is no plain layer norm")
    if any(parameter.requires_grad and parameter not in adapters for parameter in layer.parameters()):
        raise NotKnown("more than the adapter is trained inside the layers")


def _dropouts(layer: nn.Module) -> list[nn.Dropout]:
    named = layer.named_modules()
    return [part for name, part in named if isinstance(part, nn.Dropout) and ".lora_dropout." not in name]


def _norm(module: Any, dtype: torch.dtype) -> Norm:
    weight, bias = (of_norm(one.detach(), dtype) for one in (module.weight, module.bias))
    return Norm(weight, bias, module.eps)


def of_norm(parameter: Tensor, dtype: torch.dtype) -> Tensor:
    """A layer norm's weight or bias for rows of this number format.

    The CPU's kernel takes float32 parameters beside bfloat16 rows, which is more exact; others do not.
    """
    return parameter.to(torch.float32 if parameter.device.type == "cpu" else dtype)
