"""How the form is laid out: what a newcomer answers, and groups of everything else.

A key of a newer server that stands in no group is in the last one. Neighbours: ``pages.submit`` draws them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

BASICS = ("experiment_name", "data.dataset_name", "model.name", "training.num_train_epochs", "data.train_samples")
"""Answered above the groups."""
REST = "rest"
GROUPS: Mapping[str, tuple[str, ...]] = {
    "learning": (
        "training.learning_rate",
        "training.lr_scheduler_type",
        "training.warmup_steps",
        "training.weight_decay",
        "training.per_device_train_batch_size",
        "training.gradient_accumulation_steps",
        "training.max_steps",
        "training.max_grad_norm",
        "training.train_sampling_strategy",
        "training.class_weights",
        "seed",
    ),
    "evaluating": (
        "training.eval_strategy",
        "training.eval_steps",
        "data.eval_samples",
        "training.per_device_eval_batch_size",
        "training.early_stopping_patience",
        "training.early_stopping_threshold",
        "training.save_steps",
        "training.logging_steps",
        "training.fastest_within",
        "training.report_to",
    ),
    "adapter": (
        "lora.r",
        "lora.lora_alpha",
        "lora.lora_dropout",
        "lora.bias",
        "lora.target_modules",
        "lora.exclude_modules",
        "lora.modules_to_save",
        "lora.layers_to_transform",
        "lora.init_lora_weights",
        "lora.loraplus_lr_ratio",
        "lora.use_rslora",
        "lora.use_dora",
    ),
    "reading": (
        "data.text_column",
        "data.label_column",
        "data.text_pair_column",
        "data.encoding",
        "data.label_separator",
        "data.label_columns",
        "data.max_length",
        "data.validation_size",
        "data.train_split",
        "data.validation_split",
        "data.test_split",
        "data.dataset_config",
        "data.revision",
    ),
    "cleaning": (
        "data.validation_rules.min_text_length",
        "data.validation_rules.max_text_length",
        "data.validation_rules.min_rows_per_label",
        "data.on_quality_fail",
        "data.validation_rules.allow_empty",
        "data.validation_rules.remove_html",
    ),
    "base": ("model.revision", "model.num_labels", "model.dropout", "model.threshold", "training.freeze_below"),
    "machine": (
        "training.device",
        "training.bf16",
        "training.fp16",
        "training.num_processes",
        "training.num_nodes",
        "training.rdzv_endpoint",
    ),
}
ICONS = {
    "learning": "school",
    "evaluating": "speed",
    "adapter": "tune",
    "reading": "table_chart",
    "cleaning": "mop",
    "base": "deployed_code",
    "machine": "memory",
    REST: "more_horiz",
}


def groups(paths: Iterable[str]) -> dict[str, list[str]]:
    """The keys there are, by group."""
    there = list(paths)
    found = {name: [path for path in some if path in there] for name, some in GROUPS.items()}
    placed = {*BASICS, *(path for some in found.values() for path in some)}
    rest = [path for path in there if path not in placed]
    return found | ({REST: rest} if rest else {})
