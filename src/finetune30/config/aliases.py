"""Other names that a key goes by: older transformers, and the spellings of other tools.

Each is read as the key it stands for, and said ("read as"). Names that mean something this
program does by itself are passed over, and said too. Nothing is ever silently ignored.
Neighbours: layers asks here before it calls a key unknown; importing reads whole files of
other tools and shares the conversions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from finetune30.config.faults import shown


class NotConvertibleError(ValueError):
    """The value of an alias has no meaning here; the text says what is and what was expected."""


class ChangesNothingError(ValueError):
    """The value of an alias asks for what happens anyway; the text says why."""


def same(value: object) -> object:
    return value


@dataclass(frozen=True)
class Alias:
    """Stands for ``key``; ``convert`` makes its value, or raises one of the two errors above."""

    key: str
    convert: Callable[[object], object] = same


def share(value: object) -> object:
    """A ratio of all steps. 1 would mean one step to warmup_steps, so it is refused."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1:
        return float(value)
    raise NotConvertibleError(f"is {shown(value)}, expected a number from 0 and below 1")


def flag(when_true: object, when_false: object = None) -> Callable[[object], object]:
    """true becomes one value, false another; without another, false changes nothing."""

    def convert(value: object) -> object:
        if not isinstance(value, bool):
            raise NotConvertibleError(f"is {shown(value)}, expected true or false")
        if not value and when_false is None:
            raise ChangesNothingError("false changes nothing")
        return when_true if value else when_false

    return convert


def modules(value: object) -> object:
    """``all`` means all linear layers; commas make a list."""
    if value in ("all", "all-linear"):
        return "all-linear"
    if isinstance(value, str):
        return [name.strip() for name in value.split(",") if name.strip()]
    return value


def passed_over(why: str, *accepted: object) -> Callable[[object], object]:
    """A name that does nothing here, for one of the ``accepted`` values (any, if none is given)."""

    def convert(value: object) -> object:
        # `in` alone would take 1 for true.
        if accepted and not any(type(value) is type(one) and value == one for one in accepted):
            raise NotConvertibleError(f"is {shown(value)}, expected {' or '.join(map(shown, accepted))}: {why}")
        raise ChangesNothingError(why)

    return convert


def _named(section: str, names: dict[str, str], convert: Callable[[object], object] = same) -> dict[str, Alias]:
    """Aliases of one section by the key of the same section that each stands for."""
    return {
        f"{section}.{old}": Alias(f"{section}.{key}", convert) for key, olds in names.items() for old in olds.split()
    }


def _passed_over(section: str, names: str, why: str, *accepted: object) -> dict[str, Alias]:
    return {f"{section}.{name}": Alias("", passed_over(why, *accepted)) for name in names.split()}


_OWN_FOLDER = "each run has a folder of its own under the results folder"
_RETENTION = "the best, the last and the fastest checkpoint are kept, always"

ALIASES: dict[str, Alias] = {
    **_named("model", {"name": "base_model model_name model_name_or_path pretrained_model_name_or_path"}),
    **_named("model", {"revision": "model_revision"}),
    **_passed_over("model", "trust_remote_code", "code that comes with a model is never run", False),
    **_named("lora", {"r": "lora_r lora_rank rank", "lora_alpha": "alpha", "lora_dropout": "dropout"}),
    **_named("lora", {"bias": "lora_bias", "use_dora": "peft_use_dora", "use_rslora": "peft_use_rslora"}),
    **_named("lora", {"target_modules": "lora_target lora_target_modules"}, modules),
    **_named("lora", {"target_modules": "lora_target_linear"}, flag("all-linear")),
    **_named("lora", {"modules_to_save": "lora_modules_to_save additional_target"}, modules),
    **_named("lora", {"init_lora_weights": "pissa_init"}, flag("pissa")),
    **_passed_over("lora", "task_type", "only sequence classification is trained", "SEQ_CLS"),
    **_passed_over("lora", "peft_type", "only LoRA is trained", "LORA"),
    **_named("data", {"dataset_name": "dataset path", "dataset_config": "dataset_config_name subset"}),
    **_named("data", {"max_length": "cutoff_len sequence_len max_seq_len max_seq_length"}),
    **_named("data", {"validation_size": "val_size val_set_size", "validation_split": "valid_split"}),
    **_named("data", {"train_samples": "max_samples max_train_samples", "eval_samples": "max_eval_samples"}),
    **_named("data", {"label_column": "target_column"}),
    "training.seed": Alias("seed"),
    **_named("training", {"learning_rate": "lr", "num_train_epochs": "epochs num_epochs"}),
    **_named(
        "training",
        {
            "per_device_train_batch_size": "batch_size micro_batch_size per_gpu_train_batch_size",
            "per_device_eval_batch_size": "eval_batch_size per_gpu_eval_batch_size",
            "gradient_accumulation_steps": "gradient_accumulation",
            "lr_scheduler_type": "lr_scheduler scheduler",
            "eval_strategy": "evaluation_strategy",
        },
    ),
    **_named("training", {"warmup_steps": "warmup_ratio"}, share),
    **_named("training", {"train_sampling_strategy": "group_by_length"}, flag("group_by_length", "random")),
    **_named("training", {"device": "no_cuda use_cpu"}, flag("cpu")),
    **_named("training", {"device": "use_mps_device"}, flag("mps")),
    **_passed_over("training", "output_dir logging_dir overwrite_output_dir", _OWN_FOLDER),
    **_passed_over("training", "save_total_limit save_strategy", _RETENTION),
    **_passed_over("training", "load_best_model_at_end", "the best checkpoint becomes the final model", True),
    **_passed_over(
        "training",
        "metric_for_best_model",
        "the best checkpoint is that of the best accuracy",
        "accuracy",
        "eval_accuracy",
    ),
    **_passed_over("training", "auto_find_batch_size", "a batch that does not fit is halved by itself"),
}
