"""What ``train`` and ``jobs submit`` are told on the command line, declared once: a file and what differs.

Neighbours: ``config.load`` takes what comes out of here.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Annotated

import typer

from finetune30.errors import ConfigError, UsageError

ConfigArgument = Annotated[
    Path | None, typer.Argument(help="YAML file of the experiment; config/default.yaml if left out.")
]
ConfigOption = Annotated[Path | None, typer.Option("--config", help="The same as the argument.", show_default=False)]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override any key, e.g. --set lora.r=16; may be repeated."),
]
ExperimentName = Annotated[str | None, typer.Option("--experiment-name", "--experiment_name", help="Name of the run.")]
LearningRate = Annotated[str | None, typer.Option("--learning-rate", "--learning_rate", help="training.learning_rate")]
Epochs = Annotated[str | None, typer.Option("--epochs", help="training.num_train_epochs")]
TrainSamples = Annotated[str | None, typer.Option("--train-samples", "--train_samples", help="data.train_samples")]
Device = Annotated[str | None, typer.Option("--device", help="auto, cpu, cuda, cuda:N or mps")]

_UNITS_S = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def one_file(argument: Path | None, option: Path | None) -> Path | None:
    """The configuration file, said once.

    Raises: ConfigError where it is said twice.
    """
    if argument and option:
        raise ConfigError(
            "two configurations were given", where=f"{argument} and --config {option}", hint="give one of them"
        )
    return argument or option


def all_overrides(
    overrides: list[str] | None,
    *,
    experiment_name: str | None,
    learning_rate: str | None,
    epochs: str | None,
    train_samples: str | None,
    device: str | None,
) -> list[str]:
    """``--set`` and the flags as ``KEY=VALUE``; a flag wins over ``--set``."""
    flags = {
        "experiment_name": experiment_name,
        "training.learning_rate": learning_rate,
        "training.num_train_epochs": epochs,
        "data.train_samples": train_samples,
        "training.device": device,
    }
    return [*(overrides or []), *(f"{key}={value}" for key, value in flags.items() if value is not None)]


def seconds(text: str | None, option: str) -> float | None:
    """A span of time as people write it: ``90``, ``30m``, ``1.5h``.

    Raises: UsageError.
    """
    if text is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd]?)", text.strip().lower())
    span = float(found[1]) * _UNITS_S[found[2]] if found else 0.0
    if not 0 < span < math.inf:
        raise UsageError(f"{option} is {text!r}, expected seconds, or a number with s, m, h or d: 90, 30m, 2h")
    return span
