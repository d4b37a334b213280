"""Load a saved adapter exactly, or say what about it does not fit.

PEFT itself only warns of missing tensors and would build whatever a forged configuration asks
for; here other base, other shapes, missing or surplus tensors and non-finite values are
refused, before memory is spent on them. Neighbours: ``lora`` attaches and saves, ``safety``
reads files without any library.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file
from torch import nn

from finetune30.errors import ModelError
from finetune30.modeling.base import BaseModel, LoadedBase, quiet_transformers
from finetune30.modeling.lora import ADAPTER_CONFIG, WEIGHTS
from finetune30.modeling.safety import check_safetensors_header, read_json

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


def load_adapter(loaded: LoadedBase, base: BaseModel, folder: Path) -> PeftModel:
    """The base with a saved adapter on it, in evaluation mode.

    Raises: ModelError if anything about the adapter does not fit, by file and tensor.
    """
    model = attach_untrained(loaded.model, base, folder)
    load_weights(model, load_file(folder / WEIGHTS), where=str(folder / WEIGHTS))
    return model.eval()


def attach_untrained(model: nn.Module, base: BaseModel, folder: Path) -> PeftModel:
    """A classifier with an adapter of a folder's settings on it, its weights not yet read.

    Raises: ModelError.
    """
    return attached(model, check_adapter_folder(folder, base), folder)


def attached(model: nn.Module, values: Mapping[str, Any], folder: Path) -> PeftModel:
    """A classifier with an adapter of these settings on it.

    Args:
        values: As ``check_adapter_folder`` gave them.
        folder: Where they were read, for what is told.
    Raises: ModelError if PEFT refuses them.
    """
    try:
        settings = LoraConfig(**values)
        settings.inference_mode = True
        with quiet_transformers():
            return PeftModel(model, settings)
    except (ValueError, TypeError, KeyError) as cause:
        raise ModelError(
            f"PEFT refuses the adapter: {str(cause).splitlines()[0]}", where=str(folder / ADAPTER_CONFIG)
        ) from cause


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
    shapes = {name: tensor.shape for name, tensor in expected.items()}
    check_weights(weights, shapes, where=where, may_be_untrained=may_be_untrained)
    with quiet_transformers():
        set_peft_model_state_dict(model, weights)


def check_weights(
    weights: Mapping[str, torch.Tensor],
    expected: Mapping[str, torch.Size],
    *,
    where: str,
    may_be_untrained: bool = False,
) -> None:
    """Refuse saved tensors whose names, shapes or values are not what the adapter on its base has.

    Args:
        expected: Name -> the right shape.
    Raises: ModelError.
    """
    missing, surplus = sorted(expected.keys() - weights.keys()), sorted(weights.keys() - expected.keys())
    if missing or surplus:
        raise ModelError(
            f"the adapter's tensors are not the model's: {len(missing)} missing"
            f"{_first(missing)}, {len(surplus)} unexpected{_first(surplus)}",
            where=where,
            hint="was it trained on another base model or with other target modules?",
        )
    for name, tensor in weights.items():
        if tensor.shape != expected[name] or not tensor.is_floating_point():
            raise ModelError(
                f"{name} is {tensor.dtype} {tuple(tensor.shape)}, expected a float {tuple(expected[name])}",
                where=where,
            )
        if not bool(torch.isfinite(tensor).all()):
            raise ModelError(f"{name} holds NaN or infinity", where=where, hint="the training diverged")
    if not may_be_untrained and not any(bool(t.any()) for n, t in weights.items() if "lora_B" in n):
        raise ModelError("the adapter changes nothing: every lora_B is zero", where=where, hint="it was never trained")


def check_adapter_folder(folder: Path, base: BaseModel) -> dict[str, Any]:
    """The settings of an adapter; one that is not LoRA on this very base, or whose files are damaged, is refused.

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
    return values


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


def _first(names: list[str]) -> str:
    return f" (such as {names[0]})" if names else ""
