"""Training: batches, loop, scores, checkpoints. No SQL, no queue, no web, no settings.

What is exported is imported when it is first used, so that the launcher of several processes
does not load transformers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from finetune30.training.batch_size import choose_batch_size
    from finetune30.training.checkpoints import copy_checkpoints
    from finetune30.training.fitting import fit, task_of
    from finetune30.training.options import check_options
    from finetune30.training.progress import Event, Progress, StopRequested
    from finetune30.training.scores import Scores, score
    from finetune30.training.sitting import TrainedAdapter

_HOMES = {
    "batch_size": ("choose_batch_size",),
    "checkpoints": ("copy_checkpoints",),
    "fitting": ("fit", "task_of"),
    "options": ("check_options",),
    "progress": ("Event", "Progress", "StopRequested"),
    "scores": ("Scores", "score"),
    "sitting": ("TrainedAdapter",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Event",
    "Progress",
    "Scores",
    "StopRequested",
    "TrainedAdapter",
    "check_options",
    "choose_batch_size",
    "copy_checkpoints",
    "fit",
    "score",
    "task_of",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
