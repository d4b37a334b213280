"""Versions of data: the exact rows a run saw, named by their content, stored once.

    DATA_DIR/datasets/<sha256>/train.parquet …   the rows, a folder any tool (and ``dataset_name``) reads
    DATA_DIR/metadata/<sha256>.json              the card: where the rows came from, labels, quality
    DATA_DIR/metadata/tags.json                  names that people gave

No SQL here: which runs used a version is known by the experiments, and asked by the command line.
"""

from finetune30.data.versions.card import DatasetVersion
from finetune30.data.versions.diff import Difference, compare
from finetune30.data.versions.store import VersionStore

__all__ = ["DatasetVersion", "Difference", "VersionStore", "compare"]
