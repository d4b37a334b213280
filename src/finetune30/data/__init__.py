"""From a dataset's name to the exact rows an experiment uses.

    sources ──> local ──> opening, files ─┐
        │  └──> hub ──────────────────────┼─> table ──> prepare ──> rules, labels, splits ──> Splits
        └────── builtin:reviews ──────────┘

Nothing is fetched, unpickled or executed that was not asked for; every row that is dropped,
changed or left out is counted. No models and no SQL here.
"""

from finetune30.data.sources import glance, load
from finetune30.data.splits import Split, Splits

__all__ = ["Split", "Splits", "glance", "load"]
