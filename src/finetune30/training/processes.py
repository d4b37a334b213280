"""How many processes train an adapter, and whether this machine has a device for each.

Neighbours: ``options`` checks early, ``fit`` decides by it.
"""

from __future__ import annotations

import torch

from finetune30.config import ExperimentConfig
from finetune30.errors import ConfigError
from finetune30.modeling import Compute


def processes(config: ExperimentConfig) -> int:
    """Processes of all machines together."""
    return config.training.num_processes * config.training.num_nodes


def check_processes(config: ExperimentConfig, compute: Compute) -> None:
    """Refuse, before anything is made, more processes than this machine has devices for.

    Raises: ConfigError.
    """
    asked = config.training.num_processes
    if processes(config) == 1 or compute.device == "cpu":
        return
    there = torch.cuda.device_count() if compute.device.startswith("cuda") else 1
    if compute.device == "mps" or asked > there:
        raise ConfigError(
            f"is {asked}, but this machine has {there} device(s) for training ({compute.device})",
            where="training.num_processes",
            hint=f"set it to {there}, or training.device to cpu" if compute.device != "mps" else "set it to 1",
        )
