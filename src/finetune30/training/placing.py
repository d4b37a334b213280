"""Which code computes a model that is trained: the engine, or transformers' own where the engine does not know it.

Neighbours: ``sitting`` trains, ``fit`` measures batch sizes; both put the engine in place here.
"""

from __future__ import annotations

import torch
from peft import PeftModel

from finetune30.config import ExperimentConfig
from finetune30.modeling import Compute, engine
from finetune30.modeling.dropout import set_dropout
from finetune30.training.progress import Progress, note

# float16 needs its loss scaled, which is the Trainer's part.
_COMPUTED = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def put_engine(
    model: PeftModel, config: ExperimentConfig, compute: Compute, progress: Progress
) -> engine.Encoder | None:
    """Put the engine in the model's place.

    Args:
        model: With its adapter, on its device.
    Returns: The engine; None where it does not know the model, which then runs as it is, and says why.
    """
    set_dropout(model, config.model.dropout)
    dtype = _COMPUTED.get(compute.precision)
    try:
        if dtype is None:
            raise engine.NotKnown(f"{compute.precision} needs loss scaling")
        return engine.install(model, dtype)
    except engine.NotKnown as reason:
        progress(note(f"trains on transformers' own code, not on the fast engine: {reason}"))
        return None
