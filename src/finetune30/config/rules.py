"""What several keys must agree on, so that no run starts that cannot mean what was written.

A rule names the keys it reads; the fault is told at its first key. Neighbours: schema checks
each key alone, modeling checks the adapter against the real model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from finetune30.config.schema import ExperimentConfig


@dataclass(frozen=True)
class Rule:
    """Keys that must fit together; ``broken`` answers what is wrong, or None."""

    keys: tuple[str, ...]
    broken: Callable[[ExperimentConfig], str | None]


@dataclass(frozen=True)
class BrokenRule:
    """A rule that does not hold: the fault's key, all keys of the rule, and what is wrong."""

    key: str
    keys: tuple[str, ...]
    text: str


def broken_rules(config: ExperimentConfig) -> list[BrokenRule]:
    """Every rule that does not hold, in the order below."""
    found = ((rule, rule.broken(config)) for rule in RULES)
    return [BrokenRule(rule.keys[0], rule.keys, text) for rule, text in found if text]


def _eval_steps(config: ExperimentConfig) -> str | None:
    training = config.training
    if training.eval_steps is None or training.eval_strategy == "steps":
        return None
    return f"is {training.eval_steps}, which needs training.eval_strategy: steps, not {training.eval_strategy}"


def _early_stopping(config: ExperimentConfig) -> str | None:
    training = config.training
    if training.early_stopping_patience is None or training.eval_strategy != "no":
        return None
    return (
        f"is {training.early_stopping_patience}, but training.eval_strategy: no leaves nothing to stop by; "
        "expected epoch or steps there"
    )


def _one_precision(config: ExperimentConfig) -> str | None:
    if config.training.fp16 and config.training.bf16 is True:
        return "is true and so is training.bf16; expected one of the two at most"
    return None


def _float16_device(config: ExperimentConfig) -> str | None:
    if config.training.fp16 and config.training.device in ("cpu", "mps"):
        return (
            f"is true, but float16 is never used on {config.training.device}, where it breaks training; "
            "expected false, or a CUDA device"
        )
    return None


def _text_lengths(config: ExperimentConfig) -> str | None:
    rules = config.data.validation_rules
    if rules.max_text_length is not None and rules.max_text_length < rules.min_text_length:
        return f"is {rules.max_text_length}, expected min_text_length ({rules.min_text_length}) or more"
    return None


def _label_columns(config: ExperimentConfig) -> str | None:
    data = config.data
    if data.label_columns is None:
        return None
    for key in ("label_column", "label_separator"):
        if (other := getattr(data, key)) is not None:
            return f"names columns of 0 and 1, and data.{key} is {other}; expected one of the two"
    twice = next((name for at, name in enumerate(data.label_columns) if name in data.label_columns[:at]), None)
    return None if twice is None else f"names {twice} twice, expected each column once"


def _two_texts(config: ExperimentConfig) -> str | None:
    data = config.data
    if data.text_pair_column is None or data.text_pair_column != data.text_column:
        return None
    return f"is {data.text_pair_column} and so is data.text_column; expected the column of another text"


def _even_rank(config: ExperimentConfig) -> str | None:
    if config.lora.init_lora_weights == "orthogonal" and config.lora.r % 2:
        return f"is {config.lora.r}; init_lora_weights: orthogonal expects an even rank"
    return None


def _dora_keeps_base(config: ExperimentConfig) -> str | None:
    kind = config.lora.init_lora_weights
    # DoRA's magnitudes belong to the changed base; the saved adapter would not fit the real one.
    if config.lora.use_dora and isinstance(kind, str) and kind.startswith(("pissa", "olora")):
        return f"is {kind}, which changes the base weights and cannot be saved with lora.use_dora: true"
    return None


def _frozen_layers(config: ExperimentConfig) -> str | None:
    training, lora = config.training, config.lora
    if training.freeze_below is None:
        return None
    if lora.layers_to_transform is not None:
        return f"is {training.freeze_below}, and lora.layers_to_transform chooses layers too; expected one of the two"
    if config.model.dropout != 0:
        return f"is {training.freeze_below}, which needs model.dropout: 0, for what is kept must not change"
    return None


def _where_nodes_meet(config: ExperimentConfig) -> str | None:
    training = config.training
    if training.num_nodes > 1 and training.rdzv_endpoint is None:
        return f"is null, but training.num_nodes: {training.num_nodes} must meet somewhere; expected HOST:PORT"
    if training.num_nodes == 1 and training.rdzv_endpoint is not None:
        return f"is {training.rdzv_endpoint}, which needs training.num_nodes above 1"
    return None


def _one_device_each(config: ExperimentConfig) -> str | None:
    training = config.training
    processes = training.num_processes * training.num_nodes
    if processes == 1 or training.device in ("auto", "cpu", "cuda"):
        return None
    return f"is {training.device}, one device for {processes} processes; expected auto, cuda or cpu"


RULES = (
    Rule(("data.validation_rules.max_text_length", "data.validation_rules.min_text_length"), _text_lengths),
    Rule(("data.label_columns", "data.label_column", "data.label_separator"), _label_columns),
    Rule(("data.text_pair_column", "data.text_column"), _two_texts),
    Rule(("lora.r", "lora.init_lora_weights"), _even_rank),
    Rule(("lora.init_lora_weights", "lora.use_dora"), _dora_keeps_base),
    Rule(("training.eval_steps", "training.eval_strategy"), _eval_steps),
    Rule(("training.early_stopping_patience", "training.eval_strategy"), _early_stopping),
    Rule(("training.freeze_below", "lora.layers_to_transform", "model.dropout"), _frozen_layers),
    Rule(("training.fp16", "training.bf16"), _one_precision),
    Rule(("training.fp16", "training.device"), _float16_device),
    Rule(("training.rdzv_endpoint", "training.num_nodes"), _where_nodes_meet),
    Rule(("training.device", "training.num_processes", "training.num_nodes"), _one_device_each),
)
