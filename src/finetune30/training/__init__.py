"""Training: batches, loop, scores, checkpoints. No SQL, no queue, no web, no settings."""

from finetune30.training.fit import TrainedAdapter, check_options, copy_checkpoints, fit
from finetune30.training.progress import Event, Progress, StopRequested
from finetune30.training.scores import Scores, score

__all__ = [
    "Event",
    "Progress",
    "Scores",
    "StopRequested",
    "TrainedAdapter",
    "check_options",
    "copy_checkpoints",
    "fit",
    "score",
]
