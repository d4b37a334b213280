"""Every key of an experiment: its type, its range, its default, and one line on what it does.

This is the only place where defaults live; ``config/default.yaml`` repeats them for the reader
and a test compares the two. Names are those of PEFT and transformers. Values are strict: true
is no number, "8" is no number, NaN is nothing.
Neighbours: rules holds what several keys must agree on, layers reads files into these classes.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator
from pydantic_core import PydanticCustomError

from finetune30.config.names import Device, Endpoint, ExperimentName, Initialisation, ModuleName, Text, Trackers
from finetune30.config.rules import broken_rules

MANY = 100_000_000
Count = Annotated[int, Field(ge=1, le=MANY)]
Layer = Annotated[int, Field(ge=0, le=1000)]
Share = Annotated[float, Field(ge=0, lt=1)]
Modules = Annotated[list[ModuleName], Field(min_length=1, max_length=1000)]


class Section(BaseModel):
    """A group of keys: frozen, strict, and closed to keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, defer_build=True)


class Model(Section):
    """The base model."""

    name: Text = Field("builtin:minilm", description="builtin:minilm, a local folder, or a hub id")
    revision: Text | None = Field(
        None, description="Commit, tag or branch of the hub model; pin a commit to repeat a run"
    )
    num_labels: Annotated[int, Field(ge=2, le=10_000)] | None = Field(
        None, description="Number of labels; null takes it from the data, a number must agree with the data"
    )
    dropout: Share | None = Field(
        0.0,
        description="Share zeroed inside the frozen base while training; above 0 training takes about twice as long, "
        "null takes what the base's own configuration says",
    )
    threshold: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.5, description="Multi-label: a label is given when its probability is at least this"
    )


class Lora(Section):
    """The adapter, by PEFT's own names."""

    r: int = Field(8, ge=1, le=512, description="Rank of the adapter; memory and file size grow linearly with it")
    lora_alpha: int = Field(
        16,
        ge=1,
        le=65_536,
        description="The update is scaled by lora_alpha / r (by lora_alpha / sqrt(r) with use_rslora)",
    )
    lora_dropout: Share = Field(0.0, description="Share of the adapter's inputs zeroed while training")
    target_modules: Literal["all-linear"] | Modules | None = Field(
        "all-linear",
        description="Linear layers that get an adapter; null takes the usual attention layers of the architecture",
    )
    exclude_modules: Modules | None = Field(None, description="Linear layers left out of target_modules")
    bias: Literal["none", "all", "lora_only"] = Field("none", description="Which bias terms are trained too")
    modules_to_save: Modules | None = Field(
        None, description="Layers trained and saved whole; the classification head is added by itself"
    )
    use_rslora: bool = Field(False, description="Rank-stabilised scaling: lora_alpha / sqrt(r)")
    use_dora: bool = Field(False, description="Weight-decomposed LoRA: slower, often better at small r")
    init_lora_weights: bool | Initialisation = Field(
        True, description="First values of the adapter; true is PEFT's default, false is random and for tests"
    )
    layers_to_transform: Layer | Annotated[list[Layer], Field(min_length=1, max_length=1000)] | None = Field(
        None, description="Numbers of the layers that get an adapter, from 0; null means all"
    )
    loraplus_lr_ratio: Annotated[float, Field(ge=1, le=10_000)] | None = Field(
        None, description="LoRA+: learning rate of B divided by that of A; null is plain LoRA"
    )


class ValidationRules(Section):
    """Which rows are dropped or cleaned before anything else sees them."""

    min_text_length: int = Field(1, ge=0, le=1_000_000, description="Shorter texts are dropped; in characters")
    max_text_length: Annotated[int, Field(ge=1, le=MANY)] | None = Field(
        None, description="Longer texts are dropped; in characters; null keeps them all"
    )
    allow_empty: bool = Field(False, description="Keep rows whose text is empty")
    remove_html: bool = Field(False, description="Strip HTML tags and entities from the texts")
    min_rows_per_label: int = Field(
        8, ge=0, le=MANY, description="A label with fewer training rows is reported as rare"
    )


class Data(Section):
    """The dataset: what is read, and how much of it."""

    dataset_name: Text = Field(
        "builtin:reviews",
        description="builtin:reviews, version:ID, upload:ID, a hub dataset, a CSV, TSV, JSONL or Parquet file, "
        "a folder or an archive of them",
    )
    dataset_config: Text | None = Field(
        None, description="Configuration (subset) of a hub dataset, such as sst2 of glue"
    )
    revision: Text | None = Field(
        None, description="Commit, tag or branch of a hub dataset; pin a commit to repeat a run"
    )
    text_column: Text | None = Field(None, description="Column of the text; null finds it by its name")
    text_pair_column: Text | None = Field(
        None, description="Column of the second text, where a row is a pair; null means one text a row"
    )
    label_column: Text | None = Field(None, description="Column of the label; null finds it by its name")
    label_separator: Text | None = Field(
        None,
        description="Splits a label cell into several labels (multi-label), such as | or ,; null means one label a row",
    )
    label_columns: Annotated[list[Text], Field(min_length=1, max_length=10_000)] | None = Field(
        None,
        description="Columns of 0 and 1, one a label (multi-label), as Kaggle's toxic comments have; "
        "null means one label column",
    )
    encoding: Text | None = Field(None, description="Encoding of text files, such as big5 or latin-1; null detects it")
    train_split: Text | None = Field(
        None, description="Name of the training split, of a hub dataset or in a folder; null means train"
    )
    validation_split: Text | None = Field(
        None, description="Name of the validation split, of a hub dataset or in a folder; null finds it"
    )
    test_split: Text | None = Field(
        None, description="Name of the test split, of a hub dataset or in a folder; null finds it"
    )
    validation_size: float = Field(
        0.1, gt=0, lt=0.5, description="Share of the training rows held out when there is no validation split"
    )
    train_samples: Count | None = Field(None, description="Train on this many rows drawn with the seed; null means all")
    eval_samples: Count | None = Field(
        None, description="Evaluate on this many rows drawn with the seed; null means all"
    )
    max_length: int = Field(128, ge=8, le=8192, description="Longer texts are cut to this many tokens")
    validation_rules: ValidationRules = Field(
        default_factory=ValidationRules, description="Which rows are dropped or cleaned first"
    )
    on_quality_fail: Literal["stop", "warn"] = Field(
        "stop", description="What a FAIL of the data checks does: stop before training, or warn and train"
    )


class Training(Section):
    """How the adapter is trained, by the names of transformers' TrainingArguments."""

    learning_rate: float = Field(
        5e-4, gt=0, le=1, description="Highest learning rate of AdamW, reached after the warm-up"
    )
    num_train_epochs: float = Field(3.0, gt=0, le=1000, description="Passes over the training rows; may be a fraction")
    max_steps: Literal[-1] | Count = Field(-1, description="Optimiser steps, overriding the epochs; -1 goes by epochs")
    per_device_train_batch_size: Literal["auto"] | Annotated[int, Field(ge=1, le=4096)] = Field(
        16,
        description="Texts in a training batch; auto measures: the largest that pays, if an epoch keeps 50 steps",
    )
    per_device_eval_batch_size: int = Field(64, ge=1, le=4096, description="Texts in an evaluation batch")
    gradient_accumulation_steps: int = Field(1, ge=1, le=1024, description="Batches added up before an optimiser step")
    warmup_steps: Share | Count = Field(
        0.1,
        description="Warm-up of the learning rate: below 1 a share of all steps, from 1 a number of steps",
    )
    lr_scheduler_type: Literal[
        "linear",
        "cosine",
        "constant",
        "constant_with_warmup",
        "cosine_with_restarts",
        "polynomial",
        "inverse_sqrt",
    ] = Field("linear", description="How the learning rate falls after the warm-up")
    weight_decay: float = Field(0.01, ge=0, le=1, description="Weight decay of AdamW")
    max_grad_norm: float = Field(
        1.0, ge=0, le=1_000_000, description="Longer gradients are cut to this length; 0 leaves them alone"
    )
    eval_strategy: Literal["epoch", "steps", "no"] = Field(
        "epoch",
        description="When to evaluate and save: after each epoch, every eval_steps, or only at the end",
    )
    eval_steps: Count | None = Field(
        None, description="Steps between evaluations with eval_strategy: steps; null takes logging_steps"
    )
    save_steps: Count | None = Field(
        None,
        description="Steps between additional checkpoints to resume from; null saves with the evaluations",
    )
    logging_steps: Count = Field(10, description="Steps between two lines of the log")
    early_stopping_patience: Count | None = Field(
        None, description="Stop after this many evaluations without a better accuracy; null never stops early"
    )
    early_stopping_threshold: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Accuracy must rise by more than this to count as better; a fraction of 1",
    )
    class_weights: (
        Literal["balanced"]
        | Annotated[dict[Text, Annotated[float, Field(gt=0, le=1_000_000)]], Field(min_length=1, max_length=10_000)]
        | None
    ) = Field(None, description="Weight of each label in the loss by label name; balanced weighs rare labels more")
    report_to: Trackers = Field(default=[], description="Trackers that get the metrics as well")
    train_sampling_strategy: Literal["group_by_length", "random"] = Field(
        "group_by_length",
        description="Order of the training texts: similar lengths together (less padding), or random",
    )
    freeze_below: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        None,
        description="Adapters only in the layers above so many from the bottom, whose outputs are computed once and "
        "kept on disk while the run lasts; null adapts all layers",
    )
    fastest_within: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None,
        description="The fastest checkpoint kept is within this of the best accuracy; null takes any",
    )
    device: Device = Field("auto", description="Where to train; auto takes CUDA, then MPS, then the CPU")
    bf16: Literal["auto"] | bool = Field(
        "auto", description="bfloat16 arithmetic; auto uses it where the hardware has it"
    )
    fp16: bool = Field(False, description="float16 arithmetic, on CUDA only")
    num_processes: Annotated[int, Field(ge=1, le=64)] = Field(
        1,
        description="Processes on each machine that train one adapter together, one a GPU; an optimiser step holds "
        "per_device_train_batch_size x gradient_accumulation_steps x num_processes x num_nodes texts",
    )
    num_nodes: Annotated[int, Field(ge=1, le=1024)] = Field(
        1, description="Machines that train one adapter together, on one shared folder of results"
    )
    rdzv_endpoint: Endpoint | None = Field(
        None, description="Where the machines meet: a name of the first one and a free port; with num_nodes above 1"
    )


class ExperimentConfig(Section):
    """All that decides the result of a run. Frozen; equal if all keys are equal.

    Attributes:
        notes: What was read under another name, such as ``training.warmup_ratio read as
            training.warmup_steps``. No part of the configuration: not written, not compared.
    """

    experiment_name: ExperimentName = Field("reviews", description="A label for people; the run's id begins with it")
    seed: int = Field(
        42, ge=0, le=2**32 - 1, description="Seed of everything random: sampling, order, weights, dropout"
    )
    model: Model = Field(default_factory=Model, description="The base model")
    lora: Lora = Field(default_factory=Lora, description="The adapter")
    data: Data = Field(default_factory=Data, description="The dataset")
    training: Training = Field(default_factory=Training, description="The training")
    _notes: tuple[str, ...] = PrivateAttr(default=())

    @model_validator(mode="after")
    def _keys_agree(self) -> ExperimentConfig:
        if broken := broken_rules(self):
            raise PydanticCustomError(
                "broken_rules",
                "{text}",
                {"text": "; ".join(f"{b.key} {b.text}" for b in broken), "broken": broken},
            )
        return self

    @property
    def notes(self) -> tuple[str, ...]:
        return self._notes

    def with_notes(self, notes: tuple[str, ...]) -> ExperimentConfig:
        """The same configuration, remembering how its keys were read."""
        copy = self.model_copy()
        copy._notes = notes
        return copy

    @property
    def fingerprint(self) -> str:
        """sha256 in hex over every key but ``experiment_name``: equal if only the names differ."""
        values = self.to_dict()
        del values["experiment_name"]
        canonical = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return hashlib.sha256(canonical.encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Every key with its value, as JSON types."""
        return self.model_dump(mode="json")

    def to_yaml(self) -> str:
        """Every key, in the order of the schema; reading it back gives an equal configuration."""
        from finetune30.config.writing import to_yaml

        return to_yaml(self.to_dict())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ExperimentConfig) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash((self.experiment_name, self.fingerprint))
