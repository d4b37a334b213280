"""Base models and adapters: found, checked, loaded, attached, saved, opened.

No data, SQL or settings here; shapes and names come in as values.
"""

from finetune30.modeling.adapter import load_adapter
from finetune30.modeling.base import BaseModel, LoadedBase, inspect, load
from finetune30.modeling.device import Compute, choose
from finetune30.modeling.lora import attach, check_fits, save, target_modules
from finetune30.modeling.opened import OpenAdapter, open_adapter, save_description
from finetune30.modeling.task import Task

__all__ = [
    "BaseModel",
    "Compute",
    "LoadedBase",
    "OpenAdapter",
    "Task",
    "attach",
    "check_fits",
    "choose",
    "inspect",
    "load",
    "load_adapter",
    "open_adapter",
    "save",
    "save_description",
    "target_modules",
]
