"""Jobs: asked for here, done by a worker. The row is the job; a message is a hint that holds its id.

    jobs.submit ──> names ──> experiments.queue (row, committed) ──> bell ──> app ──> broker
    keeper, in every worker: who fell silent, whose message was lost

``place`` says when a job will start. No torch and no pipeline here, and no answer to who may do what.
"""

from finetune30.jobs.bell import Bell, Silent, open_bell
from finetune30.jobs.jobs import Jobs
from finetune30.jobs.keeper import Keeper
from finetune30.jobs.place import Place

__all__ = ["Bell", "Jobs", "Keeper", "Place", "Silent", "open_bell"]
