"""Base models and adapters: found, checked, loaded, attached, saved, opened.

No data, SQL or settings here; shapes and names come in as values. What is exported is imported when
it is first used, so that who only counts tokens (``lengths``, ``language``) does not load torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from finetune30.modeling.adapter import load_adapter
    from finetune30.modeling.base import BaseModel, LoadedBase, inspect, load
    from finetune30.modeling.device import Compute, choose
    from finetune30.modeling.lora import attach, check_fits, save, target_modules
    from finetune30.modeling.opened import OpenAdapter, open_adapter, save_description
    from finetune30.modeling.task import Task

_HOMES = {
    "adapter": ("load_adapter",),
    "base": ("BaseModel", "LoadedBase", "inspect", "load"),
    "device": ("Compute", "choose"),
    "lora": ("attach", "check_fits", "save", "target_modules"),
    "opened": ("OpenAdapter", "open_adapter", "save_description"),
    "task": ("Task",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

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


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
