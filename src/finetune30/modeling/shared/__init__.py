"""Many adapters on one base model in memory, answered together.

``body`` holds the base and computes; ``deltas`` reads an adapter, ``heads`` builds its head, ``crowd``
gives each row of a batch its own adapter. One thread may call it; serving has that thread.
"""

from finetune30.modeling.shared.body import Adapter, Row, SharedBase
from finetune30.modeling.shared.deltas import NotShared

__all__ = ["Adapter", "NotShared", "Row", "SharedBase"]
