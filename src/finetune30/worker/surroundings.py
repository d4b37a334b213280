"""The environment of an attempt process, made of the worker's.

Promises: no secret of the service is in it, in whatever spelling; what the hub and the trackers of
``training.report_to`` need is; a path that was relative to the worker's folder still names its place.
Neighbour: ``process`` starts the attempt with it, in the run's own folder.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from finetune30.settings import without_secrets

# An attempt needs none of these nor of our own, and a configuration could print its environment.
_SECRET_ENDS = ("PASSWORD", "SECRET", "SECRET_KEY", "SECRET_ACCESS_KEY", "_TOKEN")
_POSTGRES = "PG"  # PGPASSWORD, PGPASSFILE, PGSERVICEFILE and what else its library reads
_NEEDED = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
_TRACKERS = ("MLFLOW_", "WANDB_")
_PATHS = ("HF_HOME", "HF_HUB_CACHE", "HF_DATASETS_CACHE", "HF_TOKEN_PATH", "TORCH_HOME", "XDG_CACHE_HOME", "WANDB_DIR")
_LISTS_OF_PATHS = ("PYTHONPATH", "LD_LIBRARY_PATH")


def surroundings(given: Mapping[str, str]) -> dict[str, str]:
    """What of the environment ``given`` an attempt may see."""
    return {name: _lasting(name, value) for name, value in without_secrets(given).items() if not _is_secret(name)}


def _is_secret(name: str) -> bool:
    name = name.upper()  # settings are read in any case
    if name in _NEEDED or name.startswith(_TRACKERS):
        return False
    return name.startswith(_POSTGRES) or name.endswith(_SECRET_ENDS)


def _lasting(name: str, value: str) -> str:
    if name in _PATHS and value and not value.startswith("~"):
        return str(Path(value).absolute())
    if name in _LISTS_OF_PATHS:
        return os.pathsep.join(str(Path(part).absolute()) if part else part for part in value.split(os.pathsep))
    return value
