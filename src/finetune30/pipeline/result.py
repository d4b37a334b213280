"""From the best checkpoint to a published ``final_model/``.

Evaluated are the saved weights, in float32, from the files: what ``metrics.json`` says is what
PEFT and transformers reproduce. All is built in a staging folder beside it and renamed at the
end; files first, row last. Neighbours: ``training`` made the adapter, ``modeling.parity``
reloads it in a fresh process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finetune30.data import Split
from finetune30.durable import put_in_place
from finetune30.errors import Diverged
from finetune30.experiments import ExperimentFolder
from finetune30.modeling import OpenAdapter, Task, open_adapter, parity, save_description
from finetune30.pipeline.plan import Plan
from finetune30.registry import ModelCard, render, seal
from finetune30.standby import Standby
from finetune30.training import Scores, score

# Rows reloaded in the fresh process: enough to see a lost layer, few enough to take seconds.
_PARITY_ROWS = 512


@dataclass(frozen=True)
class Published:
    """A finished ``final_model/``.

    Attributes:
        scores: ``eval`` (validation split) and, where there is one, ``test``.
        worst_difference: Largest change of a probability after the reload.
    """

    scores: dict[str, Scores]
    worst_difference: float


def publish(
    plan: Plan,
    staging: Path,
    folder: ExperimentFolder,
    versions: dict[str, str],
    still_ours: Callable[[], None],
    checker: Standby | None,
) -> Published:
    """Evaluate, verify and publish a trained adapter.

    Args:
        staging: The adapter, in a folder beside ``final_model/``; gone afterwards.
        checker: A process of ``modeling.parity`` that stands by; None starts one.
        still_ours: Raises when another process has taken the run over: then nothing is published.
    Raises: ParityError, Diverged; ``final_model/`` is then not there.
    """
    config, splits = plan.config, plan.splits
    save_description(plan.base, plan.task, staging)
    adapter = open_adapter(
        staging,
        config.model.name,
        config.model.revision,
        max_length=config.data.max_length,
        device=plan.compute.device,
    )
    probabilities, scores = _evaluate(adapter, splits.validation, config.training.per_device_eval_batch_size)
    all_scores = {"eval": scores}
    if splits.test is not None:
        all_scores["test"] = _evaluate(adapter, splits.test, config.training.per_device_eval_batch_size)[1]
    worst = parity.check(
        staging,
        config.model.name,
        config.model.revision,
        splits.validation.texts[:_PARITY_ROWS],
        probabilities[:_PARITY_ROWS],
        config.data.max_length,
        checker,
        pairs=None if splits.validation.pairs is None else splits.validation.pairs[:_PARITY_ROWS],
    )
    (staging / "README.md").write_text(render(_card(plan, folder.id, all_scores, versions)), encoding="utf-8")
    seal(staging)
    still_ours()
    _write_predictions(folder.eval_predictions, splits.validation, probabilities, plan.task)
    put_in_place(staging, folder.final_model)
    return Published(all_scores, worst)


def _evaluate(adapter: OpenAdapter, split: Split, batch_size: int) -> tuple[NDArray[np.float64], Scores]:
    probabilities = adapter.probabilities(split.texts, split.pairs, batch_size=batch_size)
    if not np.isfinite(probabilities).all():
        raise Diverged(
            "the trained adapter gives NaN as probability",
            where="training.learning_rate",
            hint="lower training.learning_rate; try a tenth",
        )
    return probabilities, score(probabilities, split.labels, adapter.label_names, adapter.task.threshold)


def _write_predictions(path: Path, split: Split, probabilities: NDArray[np.float64], task: Task) -> None:
    import json

    import pyarrow as pa
    import pyarrow.parquet as pq

    labels: Any = split.labels
    predicted: Any = probabilities.argmax(axis=1)
    ids: Any = pa.int32()
    if task.multi_label:
        labels, predicted = ([np.flatnonzero(row) for row in rows] for rows in (labels, task.given(probabilities)))
        ids = pa.list_(pa.int32())
    table = pa.table(
        {
            "row": pa.array(split.rows, pa.int64()),
            "label": pa.array(labels, ids),
            "predicted": pa.array(predicted, ids),
            "probabilities": pa.array(probabilities.astype(np.float32).tolist(), pa.list_(pa.float32())),
        }
    ).replace_schema_metadata({"id2label": json.dumps(dict(enumerate(task.label_names)))})
    staging = path.with_name(f".staging-{path.name}")
    pq.write_table(table, staging, write_page_checksum=True)
    put_in_place(staging, path)


def _card(plan: Plan, experiment_id: str, scores: dict[str, Scores], versions: dict[str, str]) -> ModelCard:
    lora: dict[str, Any] = plan.config.lora.model_dump(mode="json")
    training: dict[str, Any] = plan.config.training.model_dump(mode="json")
    return ModelCard(
        experiment_id=experiment_id,
        base_model=plan.base.source.public_name,
        revision=plan.base.source.revision,
        dataset=plan.config.data.dataset_name,
        dataset_hash=plan.splits.fingerprint,
        label_names=plan.splits.label_names,
        threshold=plan.task.threshold if plan.task.multi_label else None,
        text_pair=plan.task.text_pair,
        max_length=plan.config.data.max_length,
        scores={split: s.to_dict() for split, s in scores.items()},
        lora=lora,
        training=training,
        versions=versions,
    )
