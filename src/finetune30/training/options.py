"""Training options that depend on the labels or on what is installed, checked before anything is made.

Neighbours: the pipeline's plan checks, ``loss`` uses the weights.
"""

from __future__ import annotations

from collections.abc import Sequence

from finetune30.config import ExperimentConfig
from finetune30.modeling import Compute
from finetune30.training.callbacks import trackers
from finetune30.training.loss import check_weights
from finetune30.training.processes import check_processes


def check_options(config: ExperimentConfig, label_names: Sequence[str], compute: Compute) -> None:
    """Refuse, before anything is made, training options that this machine or these labels rule out.

    Raises: ConfigError.
    """
    check_processes(config, compute)
    check_weights(config, label_names)
    trackers(config, lambda _: None)
