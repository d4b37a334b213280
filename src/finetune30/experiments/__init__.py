"""Experiments: one row and one folder each. The row is the job, the folder holds its files.

``record`` says what an experiment is and which moves are legal. ``store`` keeps the rows: its
statements are ``moves`` and ``search``, its words of refusal ``refusals``. ``folder`` keeps the
files, ``lease`` proves that a run is alive, ``garbage`` is what nobody owns any more. Nobody here
knows who asks (an owner is a string) and nothing here knows torch.
"""

from finetune30.experiments.folder import ExperimentFolder, check_results_dir
from finetune30.experiments.lease import Lease, owner_is_dead, this_worker
from finetune30.experiments.opening import open_store
from finetune30.experiments.record import LEGAL_MOVES, Attempt, Experiment, Outcome, Status
from finetune30.experiments.store import ExperimentStore

__all__ = [
    "LEGAL_MOVES",
    "Attempt",
    "Experiment",
    "ExperimentFolder",
    "ExperimentStore",
    "Lease",
    "Outcome",
    "Status",
    "check_results_dir",
    "open_store",
    "owner_is_dead",
    "this_worker",
]
