"""Dropout inside the frozen base model.

It regularises weights that are trained; a frozen base has none, and drawing the masks takes a
fifth of the time. So it is off unless ``model.dropout`` says otherwise. The head's own dropout
and the adapter's stay as they are. Neighbours: ``training`` calls it after ``attach``.
"""

from __future__ import annotations

from typing import Any

from peft import PeftModel
from torch import nn


def set_dropout(model: PeftModel, share: float | None) -> None:
    """Set the share that is zeroed inside the base model; None leaves what its configuration says."""
    if share is None:
        return
    classifier: Any = model.get_base_model()
    body = getattr(classifier, classifier.base_model_prefix)
    for name, module in body.named_modules():
        if isinstance(module, nn.Dropout):
            if ".lora_dropout." not in name:
                module.p = share
            continue
        # BART and its kin hold a number, and hand it to a function.
        for attribute in [a for a, value in vars(module).items() if "dropout" in a and isinstance(value, float)]:
            setattr(module, attribute, share)
