"""Experiments: one row and one folder each. The row is the job, the folder holds its files.

``record`` says what an experiment is and which moves are legal. ``store`` keeps the rows, ``queue``
is the same rows as submitters and workers see them: their statements are ``moves``, ``making``,
``search`` and ``where`` (filters in words), ``fairness`` (who is next), ``standing`` (who is where) and ``bells``,
their words of refusal ``refusals``, what happened is ``history``. ``folder`` keeps the files, ``lease`` proves that a
run is alive (``hold`` is what an attempt sees of that), ``lineage`` finds the checkpoints of an ended run, ``garbage``
is what nobody owns any more. Nobody here knows who asks (an owner is a string) and nothing here knows torch.
"""

from finetune30.experiments.folder import ExperimentFolder, check_results_dir
from finetune30.experiments.hold import Hold
from finetune30.experiments.lease import Lease, owner_is_dead, this_worker
from finetune30.experiments.lineage import with_checkpoints
from finetune30.experiments.opening import open_both, open_queue, open_store
from finetune30.experiments.queue import Queue
from finetune30.experiments.record import (
    LEGAL_MOVES,
    Attempt,
    Beat,
    Claimed,
    Experiment,
    JobEvent,
    Outcome,
    Overview,
    Status,
    Wish,
    WorkerSeen,
)
from finetune30.experiments.standing import Standing
from finetune30.experiments.store import ExperimentStore

__all__ = [
    "LEGAL_MOVES",
    "Attempt",
    "Beat",
    "Claimed",
    "Experiment",
    "ExperimentFolder",
    "ExperimentStore",
    "Hold",
    "JobEvent",
    "Lease",
    "Outcome",
    "Overview",
    "Queue",
    "Standing",
    "Status",
    "Wish",
    "WorkerSeen",
    "check_results_dir",
    "open_both",
    "open_queue",
    "open_store",
    "owner_is_dead",
    "this_worker",
    "with_checkpoints",
]
