"""The experiment configuration: YAML in, a checked value out.

    file, extends ─► reading ─► layers ─► loading ─► ExperimentConfig (frozen, with a fingerprint)
    --set         ─► overrides ──┘  └─ aliases: other names, "read as"

A misspelt key is refused with the nearest one, all faults are told together, and a key that
exists is a key that code reads. Neighbours: every other room takes the value; settings, which
the operator sets, are another thing.
"""

from finetune30.config.asked import Wrong, asked, defaults
from finetune30.config.importing import import_config
from finetune30.config.keys import field_schema, json_schema
from finetune30.config.loading import from_mapping, load
from finetune30.config.schema import ExperimentConfig

__all__ = [
    "ExperimentConfig",
    "Wrong",
    "asked",
    "defaults",
    "field_schema",
    "from_mapping",
    "import_config",
    "json_schema",
    "load",
]
