"""The language of filters: ``status = SUCCESS AND (accuracy >= 0.9 OR name ~ "sst2")``.

    text ──grammar──> tree of comparisons ──clauses──> a condition with bound parameters, never SQL text
                fields: what may be asked for, and how its values are read

Promises: whatever the text, the answer is a tree or a FilterError that says at which character what was
expected; the same rows on SQLite and PostgreSQL; no comparison is ever "unknown": with what a row does not have every
comparison is false, so NOT of it is true.
Neighbours: ``search`` puts the condition beside the other filters. No HTTP here. ``docs/api.md`` has the language.
"""

from finetune30.experiments.where.clauses import condition
from finetune30.experiments.where.grammar import parse
from finetune30.experiments.where.tree import Where

__all__ = ["Where", "condition", "parse"]
