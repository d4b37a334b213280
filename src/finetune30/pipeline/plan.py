"""Everything bad input can stop, checked before a row or a folder exists.

Neighbours: ``run`` asks for a plan first; ``attempt`` carries it out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from finetune30 import data
from finetune30.config import ExperimentConfig
from finetune30.data import Splits, quality
from finetune30.data.naming import VERSION_PREFIX
from finetune30.data.quality import QualityReport, Verdict
from finetune30.data.versions import VersionStore
from finetune30.errors import QualityError
from finetune30.modeling import BaseModel, Compute, Task, check_fits, choose, inspect, lora
from finetune30.modeling.language import languages_of
from finetune30.modeling.lengths import longer_than
from finetune30.training import check_options, choose_batch_size, task_of

# Three kept checkpoints, one in staging, the final model; weights plus two optimizer moments each.
_COPIES = 3 * 5
_LOGS_AND_DATABASE_BYTES = 32 << 20


@dataclass(frozen=True)
class Plan:
    """A configuration that can run here, with what it names already found.

    Attributes:
        config: With the base model's revision pinned.
        quality: What the checks of the data found.
        disk_bytes: Estimate of what the run will write.
    """

    config: ExperimentConfig
    base: BaseModel
    splits: Splits
    quality: QualityReport
    versions: VersionStore
    compute: Compute
    disk_bytes: int

    @property
    def task(self) -> Task:
        """What the adapter will answer."""
        return task_of(self.splits, self.config)


def prepare(config: ExperimentConfig, versions: VersionStore, note: Callable[[str], None]) -> Plan:
    """Check a configuration against this machine, its model and its data.

    Args:
        versions: Where ``version:ID`` is looked up and the rows will be kept.
        note: Told what was found and decided, one sentence at a time.
    Raises: BadInput (ConfigError, ModelError, DataError, StorageError); nothing was made then.
    """
    for text in config.notes:
        note(text)
    versions.check_place()
    compute = choose(config.training.device, config.training.bf16, fp16=config.training.fp16)
    note(f"device: {compute.reason}")
    base = inspect(config.model.name, config.model.revision)
    targets = check_fits(base, config)
    pinned = f" at {base.source.revision}" if base.source.revision else ""
    note(f"model: {config.model.name}{pinned} ({base.model_type}), adapter on {', '.join(targets)}")
    _ = base.tokenizer  # a missing tokenizer is bad input too
    found = data.find(config, versions)
    splits = data.prepare(found, config)
    for text in splits.notes:
        note(f"data: {text}")
    test = f", {len(splits.test.texts)} test" if splits.test is not None else ""
    of_two = " of two texts" if splits.train.pairs is not None else ""
    several = ", any number of them a row" if splits.multi_label else ""
    note(
        f"data: {splits.source}: {len(splits.train.texts)} train, {len(splits.validation.texts)} validation{test} "
        f"rows{of_two}, {len(splits.label_names)} labels ({_some(splits.label_names)}){several}"
    )
    check_options(config, splits.label_names, compute)
    report = quality.inspect(
        found, config, longer=longer_than(base.tokenizer, config.data.max_length), spoken=languages_of(base.source)
    )
    _judge(report, config, note)
    if config.training.per_device_train_batch_size == "auto":
        config = choose_batch_size(base, splits, config, compute, lambda event: note(event.message))
    config = _lasting(config, base, versions)
    adapter_bytes = lora.estimated_bytes(base, config, len(splits.label_names))
    return Plan(config, base, splits, report, versions, compute, _COPIES * adapter_bytes + _LOGS_AND_DATABASE_BYTES)


def _judge(report: QualityReport, config: ExperimentConfig, note: Callable[[str], None]) -> None:
    """Tell what the checks found; stop at a FAIL unless the configuration says otherwise.

    Raises: QualityError.
    """
    for one in report.checks:
        if one.status is not Verdict.PASS:
            note(f"quality: {one.status} {one.name}: {one.found}")
    if report.failed and config.data.on_quality_fail == "stop":
        told = "; ".join(f"{one.name}: {one.found}" for one in report.failed)
        raise QualityError(
            f"the data is not fit for training: {told}",
            where=config.data.dataset_name,
            hint=f"finetune30 data validate {config.data.dataset_name} names the rows, --fix --out repairs a copy; "
            "data.on_quality_fail: warn trains all the same",
        )


def _lasting(config: ExperimentConfig, base: BaseModel, versions: VersionStore) -> ExperimentConfig:
    """The configuration under names that mean the same tomorrow and in any working directory."""
    source = base.source
    local = source.revision is None and not source.name.startswith("builtin:")
    model = {"name": str(source.folder)} if local else {"revision": source.revision}
    dataset = config.data.dataset_name
    path = Path(dataset)
    data_names = {"dataset_name": str(path.absolute())} if path.exists() else {}
    if dataset.startswith(VERSION_PREFIX):  # a tag may move on
        data_names = {"dataset_name": f"{VERSION_PREFIX}{versions.find(dataset.removeprefix(VERSION_PREFIX)).id}"}
    return config.model_copy(
        update={
            "model": config.model.model_copy(update=model),
            "data": config.data.model_copy(update=data_names),
        }
    )


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
