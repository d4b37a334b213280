"""Attach a LoRA adapter to a base model, save it, and load it back exactly.

Names are PEFT's own. What PEFT leaves to the user we fill in: target modules per
architecture, and every newly initialised layer in ``modules_to_save`` (peft#2171). Loading is
strict: other base, other shapes, missing or surplus tensors, non-finite values are refused,
because PEFT itself only warns. Neighbours: ``base`` loads the model, ``training`` trains it.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import (
    LoraConfig,
    PeftModel,
    TaskType,
    get_peft_model,
    get_peft_model_state_dict,
    set_peft_model_state_dict,
)
from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as PEFT_TARGETS
from safetensors.torch import load_file, save_file
from torch import nn

from finetune30.config import ExperimentConfig
from finetune30.errors import ConfigError, ModelError
from finetune30.modeling import residual
from finetune30.modeling.base import BaseModel, LoadedBase, quiet_transformers
from finetune30.modeling.safety import check_safetensors_header, read_json

WEIGHTS = "adapter_model.safetensors"
ADAPTER_CONFIG = "adapter_config.json"
# Architectures PEFT has no default for.
_OUR_TARGETS = {
    "distilbert": ["q_lin", "v_lin"],
    "albert": ["query", "value"],
    "camembert": ["query", "value"],
}
_MAX_RANK = 512
_OUR_KEYS = {
    "base_model_name_or_path",
    "bias",
    "exclude_modules",
    "inference_mode",
    "init_lora_weights",
    "layers_to_transform",
    "lora_alpha",
    "lora_dropout",
    "modules_to_save",
    "peft_type",
    "peft_version",
    "r",
    "revision",
    "target_modules",
    "task_type",
    "use_dora",
    "use_rslora",
}
_NAME = re.compile(r"^[A-Za-z0-9_.-]+$")


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
    layers = config.lora.layers_to_transform
    if layers is not None:
        numbers = {int(n) for full in base.linear for n in re.findall(r"\.(\d+)\.", full)}
        wrong = [n for n in ([layers] if isinstance(layers, int) else layers) if n not in numbers]
        if wrong:
            raise ConfigError(
                f"layer {wrong[0]} does not exist; {base.source.name} has layers 0 to {max(numbers, default=0)}",
                where="lora.layers_to_transform",
            )
    return names


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
        layers_to_transform=lora.layers_to_transform,
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


def load_adapter(loaded: LoadedBase, base: BaseModel, folder: Path) -> PeftModel:
    """The base with a saved adapter on it, in evaluation mode.

    Raises: ModelError if anything about the adapter does not fit, by file and tensor.
    """
    check_adapter_folder(folder, base)
    weights = load_file(folder / WEIGHTS)
    try:
        settings = LoraConfig(**_known_settings(read_json(folder / ADAPTER_CONFIG)))
        settings.inference_mode = True
        with quiet_transformers():
            model = PeftModel(loaded.model, settings)
    except (ValueError, TypeError, KeyError) as cause:
        raise ModelError(
            f"PEFT refuses the adapter: {str(cause).splitlines()[0]}", where=str(folder / ADAPTER_CONFIG)
        ) from cause
    load_weights(model, weights, where=str(folder / WEIGHTS))
    return model.eval()


def load_weights(
    model: PeftModel, weights: dict[str, torch.Tensor], *, where: str, may_be_untrained: bool = False
) -> None:
    """Put saved tensors into an attached adapter; names, shapes and values must be right, all of them.

    Args:
        may_be_untrained: Accept an adapter that changes nothing yet (a checkpoint of the first steps).
    Raises: ModelError.
    """
    with quiet_transformers():
        expected = get_peft_model_state_dict(model, save_embedding_layers=False)
    missing, surplus = sorted(expected.keys() - weights.keys()), sorted(weights.keys() - expected.keys())
    if missing or surplus:
        raise ModelError(
            f"the adapter's tensors are not the model's: {len(missing)} missing"
            f"{_first(missing)}, {len(surplus)} unexpected{_first(surplus)}",
            where=where,
            hint="was it trained on another base model or with other target modules?",
        )
    for name, tensor in weights.items():
        if tensor.shape != expected[name].shape or not tensor.is_floating_point():
            raise ModelError(
                f"{name} is {tensor.dtype} {tuple(tensor.shape)}, expected a float {tuple(expected[name].shape)}",
                where=where,
            )
        if not bool(torch.isfinite(tensor).all()):
            raise ModelError(f"{name} holds NaN or infinity", where=where, hint="the training diverged")
    if not may_be_untrained and not any(bool(t.any()) for n, t in weights.items() if "lora_B" in n):
        raise ModelError("the adapter changes nothing: every lora_B is zero", where=where, hint="it was never trained")
    with quiet_transformers():
        set_peft_model_state_dict(model, weights)


def check_adapter_folder(folder: Path, base: BaseModel) -> None:
    """Refuse an adapter that is not plain LoRA on this very base, or whose files are damaged.

    Raises: ModelError.
    """
    config_file, weights = folder / ADAPTER_CONFIG, folder / WEIGHTS
    if not weights.is_file():
        pickled = (
            " (adapter_model.bin is a pickle and is never loaded)" if (folder / "adapter_model.bin").exists() else ""
        )
        raise ModelError(f"no {WEIGHTS} in {folder.name}{pickled}", where=str(folder))
    values = _known_settings(read_json(config_file))
    if values.get("peft_type") != "LORA" or values.get("task_type") != "SEQ_CLS":
        raise ModelError(
            f"is a {values.get('peft_type')} adapter for {values.get('task_type')}, expected LORA for SEQ_CLS",
            where=str(config_file),
        )
    _check_settings(values, config_file)
    named = values.get("base_model_name_or_path")
    if named != base.source.public_name:
        raise ModelError(
            f"was trained on {named}, but the base model is {base.source.public_name}", where=str(config_file)
        )
    if values.get("revision") not in (None, base.source.revision):
        raise ModelError(
            f"was trained on revision {values['revision']}, but the base is at {base.source.revision}",
            where=str(config_file),
            hint=f"set model.revision to {values['revision']}",
        )
    for name, entry in check_safetensors_header(weights).items():
        # Before a model is built for it: r decides how much memory that takes.
        if name.endswith("lora_A.weight") and list(entry.get("shape", []))[:1] != [values["r"]]:
            raise ModelError(f"{name} has shape {entry.get('shape')}, but r is {values['r']}", where=str(weights))


def _check_settings(values: dict[str, Any], where: Path) -> None:
    """Only what plain LoRA adapters need may differ from PEFT's defaults, and only within sane ranges."""
    if values.get("auto_mapping"):
        raise ModelError("remote code not allowed: adapter_config.json has 'auto_mapping'", where=str(where))
    defaults = LoraConfig()
    for key, value in values.items():
        if key not in _OUR_KEYS and value not in (None, False, {}, []) and value != getattr(defaults, key, None):
            raise ModelError(f"{key} is {value!r}; only plain LoRA adapters are loaded", where=str(where))
    rank, alpha = values.get("r"), values.get("lora_alpha")
    if not isinstance(rank, int) or isinstance(rank, bool) or not 1 <= rank <= 2 * _MAX_RANK:
        raise ModelError(f"r is {rank!r}, expected 1 to {2 * _MAX_RANK}", where=str(where))
    if not isinstance(alpha, int | float) or isinstance(alpha, bool) or not 0 < alpha < 1e9:
        raise ModelError(f"lora_alpha is {alpha!r}, expected a number above 0", where=str(where))
    for key in ("target_modules", "modules_to_save", "exclude_modules"):
        names = values.get(key)
        if names is None:
            continue
        if not isinstance(names, list) or not all(isinstance(n, str) and _NAME.fullmatch(n) for n in names):
            raise ModelError(f"{key} is not a list of module names (patterns are not allowed)", where=str(where))


def _known_settings(values: dict[str, Any]) -> dict[str, Any]:
    unknown = sorted(values.keys() - set(LoraConfig.__dataclass_fields__))
    if unknown:
        raise ModelError(
            f"adapter_config.json has unknown keys: {', '.join(unknown[:5])}",
            where=ADAPTER_CONFIG,
            hint="it was written by another version of PEFT, or changed by hand",
        )
    return values


def _matches(full: str, name: str) -> bool:
    return full == name or full.endswith("." + name)


def _first(names: list[str]) -> str:
    return f" (such as {names[0]})" if names else ""


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
