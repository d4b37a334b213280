"""What LLaMA-Factory, Axolotl and AutoTrain call the things that mean something here.

One table a tool, from the dotted path in its file to our key. ``name=value`` is looked up before
``name``. Sources: LLaMA-Factory ``hparams/*_args.py``, Axolotl's configuration reference,
AutoTrain ``trainers/text_classification/params.py``.
Neighbours: importing walks a file along its table, aliases lends the conversions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from finetune30.config.aliases import Alias, NotConvertibleError, flag, modules, passed_over, share
from finetune30.config.faults import shown


@dataclass(frozen=True)
class Tool:
    """A program whose files are read: its name, keys that give it away, and its table."""

    name: str
    tells: frozenset[str]
    table: Mapping[str, Alias]
    flattened: frozenset[str] = frozenset()


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _always(value: object) -> Callable[[object], object]:
    return lambda _: value


def _held_out(value: object) -> object:
    if isinstance(value, int) and value > 1:
        raise NotConvertibleError(f"is {value}, a number of rows, expected a share below 0.5")
    if value == 0:
        raise NotConvertibleError("is 0, but accuracy is always measured on rows held out")
    return value


def _steps(value: object) -> object:
    if value == 0 or (isinstance(value, float) and not value.is_integer()):
        raise NotConvertibleError(f"is {shown(value)}, expected a number of steps")
    return int(value) if isinstance(value, float) else value


def _dataset_entry(value: object) -> object:
    if isinstance(value, str) and "/" in value and "," not in value:
        return value.removeprefix("REMOTE:").removeprefix("ONLINE:")
    raise NotConvertibleError(
        "names entries of dataset_info.json; set data.dataset_name to a file, a folder or a hub dataset"
    )


def _evaluations(value: object) -> object:
    if value == 1:
        return "epoch"
    if value == 0:
        return "no"
    raise NotConvertibleError(f"is {shown(value)}; set training.eval_strategy: steps and training.eval_steps instead")


def _own(section: str, names: str) -> dict[str, Alias]:
    """Keys that the other tool calls as we do."""
    return {name: Alias(f"{section}.{name}") for name in names.split()}


def _left_out(names: str, why: str) -> dict[str, Alias]:
    return {name: Alias("", passed_over(why)) for name in names.split()}


_NO_CODE = "code that comes with a model is never run"
_OWN_FOLDER = "each run has a folder of its own"
_RETENTION = "the best, the last and the fastest checkpoint are kept, always"
_CLASSIFIERS = "text classifiers are trained here"

_TRAINER = {
    **_own(
        "training",
        "learning_rate max_steps lr_scheduler_type weight_decay max_grad_norm logging_steps bf16 fp16",
    ),
    **_own("training", "gradient_accumulation_steps eval_strategy report_to train_sampling_strategy"),
    "evaluation_strategy": Alias("training.eval_strategy"),
    "eval_steps": Alias("training.eval_steps", _steps),
    "save_steps": Alias("training.save_steps", _steps),
    "warmup_steps": Alias("training.warmup_steps"),
    "warmup_ratio": Alias("training.warmup_steps", share),
    "group_by_length": Alias("training.train_sampling_strategy", flag("group_by_length", "random")),
    "use_cpu": Alias("training.device", flag("cpu")),
    "no_cuda": Alias("training.device", flag("cpu")),
    "seed": Alias("seed"),
    **_left_out("output_dir overwrite_output_dir logging_dir", _OWN_FOLDER),
    **_left_out("save_total_limit save_strategy saves_per_epoch load_best_model_at_end", _RETENTION),
    **_left_out("optim optimizer", "AdamW is the optimiser"),
    **_left_out("trust_remote_code", _NO_CODE),
    **_left_out("resume_from_checkpoint", "finetune30 train --resume ID goes on with a run"),
    **_left_out(
        "gradient_checkpointing flash_attn flash_attention ddp_timeout deepspeed fsdp",
        "nothing here needs it",
    ),
}

LLAMA_FACTORY = Tool(
    "LLaMA-Factory",
    _words(
        "model_name_or_path finetuning_type stage template dataset dataset_dir cutoff_len lora_rank"
        " lora_target do_train max_samples val_size"
    ),
    {
        **_TRAINER,
        **_own("training", "num_train_epochs per_device_train_batch_size per_device_eval_batch_size"),
        **_own("lora", "lora_alpha lora_dropout use_rslora use_dora loraplus_lr_ratio"),
        "model_name_or_path": Alias("model.name"),
        "model_revision": Alias("model.revision"),
        "lora_rank": Alias("lora.r"),
        "lora_target": Alias("lora.target_modules", modules),
        "additional_target": Alias("lora.modules_to_save", modules),
        "pissa_init": Alias("lora.init_lora_weights", flag("pissa")),
        "dataset": Alias("data.dataset_name", _dataset_entry),
        "cutoff_len": Alias("data.max_length"),
        "max_samples": Alias("data.train_samples"),
        "val_size": Alias("data.validation_size", _held_out),
        "early_stopping_steps": Alias("training.early_stopping_patience"),
        "run_name": Alias("experiment_name"),
        "finetuning_type": Alias("", passed_over("LoRA adapters are trained here", "lora")),
        **_left_out("stage template do_train do_eval do_predict", _CLASSIFIERS),
    },
)

AXOLOTL = Tool(
    "Axolotl",
    _words(
        "base_model adapter datasets sequence_len micro_batch_size val_set_size num_epochs lora_r"
        " lora_target_linear load_in_8bit load_in_4bit sample_packing"
    ),
    {
        **_TRAINER,
        **_own("training", "early_stopping_patience"),
        **_own("lora", "lora_alpha lora_dropout loraplus_lr_ratio"),
        "base_model": Alias("model.name"),
        "revision_of_model": Alias("model.revision"),
        "lora_r": Alias("lora.r"),
        "lora_target_modules": Alias("lora.target_modules", modules),
        "lora_target_linear": Alias("lora.target_modules", flag("all-linear")),
        "lora_modules_to_save": Alias("lora.modules_to_save", modules),
        "peft_layers_to_transform": Alias("lora.layers_to_transform"),
        "peft_use_dora": Alias("lora.use_dora"),
        "peft_use_rslora": Alias("lora.use_rslora"),
        "datasets.path": Alias("data.dataset_name"),
        "datasets.name": Alias("data.dataset_config"),
        "datasets.split": Alias("data.train_split"),
        "datasets.revision": Alias("data.revision"),
        "datasets.type": Alias("", passed_over(_CLASSIFIERS)),
        "sequence_len": Alias("data.max_length"),
        "val_set_size": Alias("data.validation_size", _held_out),
        "num_epochs": Alias("training.num_train_epochs"),
        "micro_batch_size": Alias("training.per_device_train_batch_size"),
        "eval_batch_size": Alias("training.per_device_eval_batch_size"),
        "lr_scheduler": Alias("training.lr_scheduler_type"),
        "evals_per_epoch": Alias("training.eval_strategy", _evaluations),
        "wandb_name": Alias("experiment_name"),
        "adapter": Alias("", passed_over("LoRA adapters are trained here", "lora")),
        **_left_out("load_in_8bit load_in_4bit", "the base model is never quantised"),
        **_left_out("sample_packing pad_to_sequence_len", "batches are padded to their longest text"),
    },
    frozenset({"datasets"}),
)

AUTOTRAIN = Tool(
    "AutoTrain",
    _words("task base_model project_name backend params log hub"),
    {
        "base_model": Alias("model.name"),
        "project_name": Alias("experiment_name"),
        "task": Alias("", passed_over(_CLASSIFIERS, "text_classification", "text-classification")),
        "log": Alias("training.report_to"),
        "data.path": Alias("data.dataset_name"),
        "data.train_split": Alias("data.train_split"),
        "data.valid_split": Alias("data.validation_split"),
        "data.column_mapping.text_column": Alias("data.text_column"),
        "data.column_mapping.target_column": Alias("data.label_column"),
        "params.lr": Alias("training.learning_rate"),
        "params.epochs": Alias("training.num_train_epochs"),
        "params.batch_size": Alias("training.per_device_train_batch_size"),
        "params.max_seq_length": Alias("data.max_length"),
        "params.gradient_accumulation": Alias("training.gradient_accumulation_steps"),
        "params.scheduler": Alias("training.lr_scheduler_type"),
        "params.mixed_precision=fp16": Alias("training.fp16", _always(True)),
        "params.mixed_precision=bf16": Alias("training.bf16", _always(True)),
        "params.mixed_precision=none": Alias("training.bf16", _always(False)),
        **{
            f"params.{name}": alias
            for name, alias in {
                **_TRAINER,
                **_own("training", "early_stopping_patience early_stopping_threshold"),
                "auto_find_batch_size": Alias("", passed_over("a batch that does not fit is halved by itself")),
            }.items()
        },
        "backend": Alias("", passed_over("this machine trains", "local")),
    },
    frozenset({"data", "data.column_mapping", "params", "hub"}),
)

# AutoTrain has a section called data, too.
OUR_SECTIONS = frozenset({"extends", "model", "lora", "training"})
TOOLS = (LLAMA_FACTORY, AXOLOTL, AUTOTRAIN)


def recognised(values: Mapping[str, object]) -> Tool | None:
    """The tool whose keys a file has: two of them at least, and no section of ours."""
    if OUR_SECTIONS & values.keys():
        return None
    best = max(TOOLS, key=lambda tool: len(tool.tells & values.keys()))
    return best if len(best.tells & values.keys()) >= 2 else None
