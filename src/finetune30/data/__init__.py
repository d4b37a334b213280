"""From a dataset's name to the exact rows an experiment uses, and to what is wrong with them.

    sources ──> local ──> reading ────────┐                ┌─> quality: inspect, clean
        │  └──> hub ──────────────────────┼─> table ──> Found ─> prepare ──> rules, labels, splits ──> Splits
        ├────── builtin:reviews ──────────┤                └─> analysis                                  │
        ├────── upload:ID <── uploads ────┤                                                              │
        └────── version:ID <──────────────┴────────────────────────────────── versions: freeze <─────────┘

Nothing is fetched, unpickled or executed that was not asked for; every row that is dropped,
changed or left out is counted. No models and no SQL here.
"""

from finetune30.data.naming import glance
from finetune30.data.prepare import Found, prepare
from finetune30.data.sources import find, load
from finetune30.data.splits import Split, Splits

__all__ = ["Found", "Split", "Splits", "find", "glance", "load", "prepare"]
