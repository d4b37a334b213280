"""Experiments that have succeeded and left a model, made in milliseconds: for whoever registers them."""

from __future__ import annotations

import json
from pathlib import Path

from finetune30.config import ExperimentConfig
from finetune30.experiments import ExperimentFolder, ExperimentStore, Status
from finetune30.registry import seal

HASH = "ab" * 32
CARD = "---\nlibrary_name: peft\n---\n\n# A card\n"


def trained(
    store: ExperimentStore, results: Path, *, owner: str = "ana", name: str = "films", accuracy: float = 0.9
) -> str:
    """The id of an experiment in SUCCESS whose final_model is sealed."""
    made = store.create(ExperimentConfig(experiment_name=name), owner=owner, tz="UTC").id
    succeed(store, results, made, accuracy=accuracy)
    return made


def succeed(store: ExperimentStore, results: Path, experiment_id: str, *, accuracy: float = 0.9) -> None:
    """Let an experiment that waits have run and ended so."""
    attempt = store.claim(experiment_id, "test")
    folder = ExperimentFolder.create(results, experiment_id)
    leave_model(folder.final_model, experiment_id)
    metrics = {"train": {"runtime_s": 1.0}, "eval": {"accuracy": accuracy}}
    store.finish(experiment_id, attempt, "test", Status.SUCCESS, metrics=metrics, dataset_hash=HASH)


def leave_model(folder: Path, content: str, *, sealed: bool = True) -> None:
    """The files of an adapter; nobody loads them."""
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}), encoding="utf-8")
    (folder / "adapter_model.safetensors").write_bytes(content.encode() * 50)
    (folder / "config.json").write_text(json.dumps({"id2label": {"0": "bad", "1": "good"}}), encoding="utf-8")
    (folder / "README.md").write_text(CARD, encoding="utf-8")
    if sealed:
        seal(folder)
