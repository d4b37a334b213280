"""Attach a LoRA adapter to a base model, and save it.

Names are PEFT's own. What PEFT leaves to the user we fill in: target modules per
architecture, and every newly initialised layer in ``modules_to_save`` (peft#2171).
Neighbours: ``base`` loads the model, ``training`` trains it, ``adapter`` loads what was saved.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Sequence
from pathlib import Path

from peft import (
    LoraConfig,
    PeftModel,
    TaskType,
    get_peft_model,
    get_peft_model_state_dict,
)
from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as PEFT_TARGETS
from safetensors.torch import save_file
from torch import nn

from finetune30.config import ExperimentConfig
from finetune30.errors import ConfigError
from finetune30.modeling import residual
from finetune30.modeling.base import BaseModel, LoadedBase, quiet_transformers

WEIGHTS = "adapter_model.safetensors"
ADAPTER_CONFIG = "adapter_config.json"
# Architectures PEFT has no default for.
_OUR_TARGETS = {
    "distilbert": ["q_lin", "v_lin"],
    "albert": ["query", "value"],
    "camembert": ["query", "value"],
}


def target_modules(base: BaseModel, config: ExperimentConfig) -> list[str]:
    """The module names the adapter attaches to, checked against the model's real names.

    Raises: ConfigError naming what the model really has.
    """
    asked = config.lora.target_modules
    available = sorted({name.rsplit(".", 1)[-1] for name in base.linear})
    if asked == "all-linear":
        return available
    if asked is None:
        names = _OUR_TARGETS.get(base.model_type) or PEFT_TARGETS.get(base.model_type)
        if not isinstance(names, list) or not set(names) <= set(available):
            raise ConfigError(
                f"no default target modules are known for {base.model_type!r}",
                where="lora.target_modules",
                hint=f"choose from: {', '.join(available)}; or write all-linear",
            )
        return list(names)
    missing = [n for n in asked if not any(_matches(full, n) for full in base.linear)]
    if missing:
        raise ConfigError(
            f"{base.source.name} has no linear layer named {', '.join(missing)}",
            where="lora.target_modules",
            hint=f"its linear layers are: {', '.join(available)}",
        )
    return list(asked)


def check_fits(base: BaseModel, config: ExperimentConfig) -> list[str]:
    """Refuse, before any data is read, a configuration this base model cannot run.

    Returns: The target modules.
    Raises: ConfigError.
    """
    if base.max_length is not None and config.data.max_length > base.max_length:
        raise ConfigError(
            f"is {config.data.max_length}, but {base.source.name} reads at most {base.max_length} tokens",
            where="data.max_length",
            hint=f"set data.max_length to {base.max_length} or less",
        )
    names = target_modules(base, config)
    for name in config.lora.exclude_modules or []:
        if not any(_matches(full, name) for full in base.linear):
            raise ConfigError(f"{base.source.name} has no linear layer named {name}", where="lora.exclude_modules")
    _check_frozen(base, config)
    layers = config.lora.layers_to_transform
    if layers is not None:
        numbers = _layer_numbers(base)
        wrong = [n for n in ([layers] if isinstance(layers, int) else layers) if n not in numbers]
        if wrong:
            raise ConfigError(
                f"layer {wrong[0]} does not exist; {base.source.name} has layers 0 to {max(numbers, default=0)}",
                where="lora.layers_to_transform",
            )
    return names


def _layer_numbers(base: BaseModel) -> set[int]:
    return {int(number) for full in base.linear for number in re.findall(r"\.(\d+)\.", full)}


def _layers(base: BaseModel, config: ExperimentConfig) -> list[int] | int | None:
    """Numbers of the layers that get an adapter; None means all."""
    below = config.training.freeze_below
    return config.lora.layers_to_transform if below is None else sorted(n for n in _layer_numbers(base) if n >= below)


def _check_frozen(base: BaseModel, config: ExperimentConfig) -> None:
    below = config.training.freeze_below
    if below is None:
        return
    if base.model_type == "albert":
        raise ConfigError(
            f"is {below}, but all layers of {base.source.name} share their weights, so none can be left out",
            where="training.freeze_below",
            hint="leave training.freeze_below out",
        )
    count = max(_layer_numbers(base), default=-1) + 1
    if below >= count:
        raise ConfigError(
            f"is {below}, but {base.source.name} has {count} layers and the adapter needs one of them",
            where="training.freeze_below",
            hint=f"expected 1 to {count - 1}",
        )


def attach(loaded: LoadedBase, base: BaseModel, config: ExperimentConfig) -> PeftModel:
    """The base, frozen, with a trainable adapter; new layers are trained and saved whole.

    Raises: ConfigError if PEFT refuses the combination.
    """
    try:
        with quiet_transformers():
            model = get_peft_model(loaded.model, _settings(base, config, loaded.new_modules))
    except (ValueError, TypeError) as cause:
        raise ConfigError(f"PEFT refuses this adapter: {str(cause).splitlines()[0]}", where="lora") from cause
    adapter = model.peft_config["default"]
    # PEFT keeps names in a set, whose order differs between processes; files must not.
    adapter.target_modules = sorted(adapter.target_modules)
    return model


def _settings(base: BaseModel, config: ExperimentConfig, new_modules: Sequence[str]) -> LoraConfig:
    lora = config.lora
    to_save = list(dict.fromkeys([*new_modules, *(lora.modules_to_save or [])]))
    return LoraConfig(
        task_type=TaskType.SEQ_CLS,
        r=lora.r,
        lora_alpha=lora.lora_alpha,
        lora_dropout=lora.lora_dropout,
        target_modules=check_fits(base, config),
        exclude_modules=lora.exclude_modules,
        bias=lora.bias,
        modules_to_save=to_save or None,
        use_rslora=lora.use_rslora,
        use_dora=lora.use_dora,
        init_lora_weights=lora.init_lora_weights,
        layers_to_transform=_layers(base, config),
        base_model_name_or_path=base.source.public_name,
        revision=base.source.revision,
    )


def save(model: PeftModel, folder: Path, *, start: residual.Start | None = None) -> None:
    """Write ``adapter_config.json`` and ``adapter_model.safetensors``; byte-identical for equal weights.

    Args:
        start: The untrained adapter, where its initialisation changed the base (PiSSA, OLoRA):
            what is saved then fits the unchanged base.
    """
    # Not save_pretrained: it would also write an empty model card, which takes longer than the weights.
    folder.mkdir(parents=True, exist_ok=True)
    with quiet_transformers():
        state = get_peft_model_state_dict(model, save_embedding_layers=False)
    # Tied layers share memory, which safetensors refuses; copies are small.
    weights = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in state.items()}
    settings = copy.copy(model.peft_config["default"])
    settings.inference_mode = True
    settings.save_pretrained(folder)
    config = folder / ADAPTER_CONFIG
    values = json.loads(config.read_text(encoding="utf-8"))
    if start is not None:
        weights = residual.weights_for_unchanged_base(weights, start)
        values = residual.settings_for_unchanged_base(values)
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    for key in ("target_modules", "modules_to_save", "exclude_modules"):
        if isinstance(values.get(key), list):
            values[key] = sorted(set(values[key]))
    config.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def estimated_bytes(base: BaseModel, config: ExperimentConfig, num_labels: int) -> int:
    """Upper estimate of one saved adapter in float32, head included: for the check of free disk space."""
    names = target_modules(base, config)
    sides = [sum(shape) for full, shape in base.linear.items() if any(_matches(full, n) for n in names)]
    widest = max((shape[0] for shape in base.linear.values()), default=0)
    head = widest * (widest + num_labels)
    return 4 * (config.lora.r * sum(sides) + head)


def trainable_parameters(model: nn.Module) -> int:
    """How many numbers training changes."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def _matches(full: str, name: str) -> bool:
    return full == name or full.endswith("." + name)
