"""Adapters that begin by moving weights out of the base: PiSSA and OLoRA.

Both subtract their start from the base, ``W0 - s B0 A0``, and train on that residual, so what
they save fits a base nobody else has. An adapter of twice the rank fits the unchanged one:
``s (B A - B0 A0) = s [B, -B0] [A; A0]``. Source: Meng et al. 2024, arXiv:2404.02948, appendix C.
Neighbours: ``lora`` saves, ``training`` remembers the start.
"""

from __future__ import annotations

from typing import Any

import torch
from peft import PeftModel, get_peft_model_state_dict

from finetune30.config import ExperimentConfig

Start = dict[str, torch.Tensor]


def changes_base(config: ExperimentConfig) -> bool:
    """Whether the initialisation moves weights out of the base."""
    kind = config.lora.init_lora_weights
    return isinstance(kind, str) and kind.startswith(("pissa", "olora"))


def start_of(model: PeftModel) -> Start:
    """A copy of the untrained ``lora_A`` and ``lora_B`` of every layer, by name."""
    state = get_peft_model_state_dict(model, save_embedding_layers=False)
    return {name: tensor.detach().cpu().clone() for name, tensor in state.items() if "lora_" in name}


def weights_for_unchanged_base(trained: Start, start: Start) -> Start:
    """The same classifier as an adapter of twice the rank on the base as it was.

    Args:
        trained: All saved tensors; those that are not LoRA's stay as they are.
        start: Of ``start_of``; ``lora_A`` of shape (r, in), ``lora_B`` of shape (out, r).
    """
    converted = dict(trained)
    for name, before in start.items():
        down = "lora_A" in name
        parts = [trained[name].cpu(), before if down else -before]
        converted[name] = torch.cat(parts, dim=0 if down else 1).contiguous()
    return converted


def settings_for_unchanged_base(values: dict[str, Any]) -> dict[str, Any]:
    """``adapter_config.json`` of the converted adapter: twice the rank, the same scale."""
    rank, alpha = values["r"], values["lora_alpha"]
    scale = alpha / rank**0.5 if values.get("use_rslora") else alpha / rank
    doubled = scale * 2 * rank
    alpha = int(doubled) if doubled == int(doubled) else doubled
    return {**values, "r": 2 * rank, "lora_alpha": alpha, "use_rslora": False, "init_lora_weights": True}
