"""How an experiment is executed, told once from top to bottom.

``run`` (or ``resume``) → plan: configuration, base model, data, device are checked and nothing
is made → row and folder → attempt: train under a lease → result: evaluate what was saved,
reload it in a fresh process, publish, finish the row. No queue and no web here.
"""

from finetune30.pipeline.plan import Plan, prepare
from finetune30.pipeline.run import Door, Order, Stopped, execute, finished, resume, run

__all__ = ["Door", "Order", "Plan", "Stopped", "execute", "finished", "prepare", "resume", "run"]
