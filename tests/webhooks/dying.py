"""A process that ends a run and sends what is to be told, and is killed at a step: ``dying.py STEP TASK``."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from finetune30 import database
from finetune30.experiments import ExperimentStore, Status
from finetune30.settings import get_settings
from finetune30.webhooks import Postman, Webhooks, carrying

step, task_id = sys.argv[1:]
settings = get_settings()
engine = database.open_engine(settings.resolved_database_url)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def carry(*arguments: Any) -> carrying.Answer:
    if step == "claimed":
        die()
    answer = carrying.carry(*arguments)
    if step == "sent":
        die()
    return answer


with database.write(engine):
    ExperimentStore(engine, 60).finish(task_id, 1, "local:1", Status.SUCCESS)
    if step == "before the commit":
        die()
if step == "after the commit":
    die()
postman = Postman(Webhooks(settings, engine), print, carry=carry)
for number, _ in postman.outbox.due():
    postman.send(number)
