"""Training: batches, loop, scores, checkpoints. No SQL, no queue, no web, no settings."""

from finetune30.training.batch_size import choose_batch_size
from finetune30.training.checkpoints import copy_checkpoints
from finetune30.training.fit import fit, task_of
from finetune30.training.options import check_options
from finetune30.training.progress import Event, Progress, StopRequested
from finetune30.training.scores import Scores, score
from finetune30.training.sitting import TrainedAdapter

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
