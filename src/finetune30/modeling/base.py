"""The frozen base model: looked at first, loaded when the data is known.

``inspect`` reads the configuration, builds the module tree without memory (meta device) and
so can refuse wrong ``target_modules`` or a too large ``max_length`` before any data is read.
``load`` builds the classifier itself, in float32, with its head freshly initialised from the
seed. Neighbours: ``source`` finds the files, ``safety`` clears them, ``lora`` attaches.
"""

from __future__ import annotations

import hashlib
import inspect as inspection
import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
import transformers
from torch import nn
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from finetune30.errors import ModelError
from finetune30.modeling.safety import check_model_folder
from finetune30.modeling.source import Source, locate, sha256_of
from finetune30.modeling.task import OURS, Task

_TYPES = "token_type_ids"


@dataclass(frozen=True)
class BaseModel:
    """A base model that was looked at but not loaded.

    Attributes:
        source: Its files and identity.
        model_type: transformers' name of the architecture (``distilbert``).
        max_length: Longest input in tokens, special tokens included; None if unlimited.
        linear: Full name -> ``(out_features, in_features)`` of every layer an adapter could attach to.
        reads_types: Whether it tells a first text's tokens from a second's by their token types.
    """

    source: Source
    model_type: str
    max_length: int | None
    linear: Mapping[str, tuple[int, int]]
    reads_types: bool

    @cached_property
    def weights_sha256(self) -> str:
        """Digest over all weight files: which base this is, whatever its folder is called."""
        digests = [sha256_of(path) for path in sorted(self.source.folder.glob("*.safetensors"))]
        return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()

    @cached_property
    def kinds(self) -> dict[object, Any]:
        """What was found out of the adapters that fit on it, see ``shared.blueprint``."""
        return {}

    @cached_property
    def tokenizer(self) -> Any:
        """The model's tokenizer, able to pad, and giving nothing that the model does not take."""
        tokenizer = load_tokenizer(self.source)
        # transformers reads DistilBERT's texts with BERT's tokenizer, which gives types.
        if not self.reads_types and _TYPES in tokenizer.model_input_names:
            tokenizer.model_input_names = [name for name in tokenizer.model_input_names if name != _TYPES]
            tokenizer.init_kwargs["model_input_names"] = tokenizer.model_input_names  # so that it is saved
        return tokenizer


@dataclass(frozen=True)
class LoadedBase:
    """A classifier in memory and the modules whose weights are new (to be trained and saved)."""

    model: nn.Module
    new_modules: tuple[str, ...]


def inspect(name: str, revision: str | None = None) -> BaseModel:
    """Look at a base model without loading its weights.

    Raises: ModelError if it is missing, unsafe, or transformers has no classifier for it.
    """
    source = locate(name, revision)
    check_model_folder(source.folder)
    with quiet_transformers():
        config = _config(source)
        try:
            with torch.device("meta"):
                model = AutoModelForSequenceClassification.from_config(config, trust_remote_code=False)
        except ValueError as cause:
            raise ModelError(
                f"{name} is a {config.model_type!r} model, for which transformers has no text classifier",
                where="model.name",
                hint="use an encoder such as distilbert, bert, roberta, albert, electra or deberta-v2",
            ) from cause
    body = model.base_model_prefix + "."
    linear = {
        name: (module.weight.shape[0], module.weight.shape[1])
        for name, module in model.named_modules()
        if _is_linear(module) and name.startswith(body)
    }
    types = _TYPES in inspection.signature(model.forward).parameters and getattr(config, "type_vocab_size", 2) not in (
        0,
        1,
    )
    return BaseModel(source, config.model_type, _longest_input(config), linear, types)


def load(base: BaseModel, label_names: Sequence[str], *, seed: int) -> LoadedBase:
    """The base with a classification head for these labels, in float32 on the CPU.

    Args:
        label_names: Their order is the order of the logits; they travel in ``config.id2label``.
        seed: New layers are initialised from it.
    Raises: ModelError if the weights do not load.
    """
    transformers.set_seed(seed)
    config = classifier_config(base, Task(tuple(label_names)))
    with quiet_transformers():
        try:
            model, report = AutoModelForSequenceClassification.from_pretrained(
                base.source.folder,
                config=config,
                dtype=torch.float32,
                trust_remote_code=False,
                use_safetensors=True,
                local_files_only=True,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
        except (OSError, ValueError, RuntimeError) as cause:
            raise ModelError(
                f"the weights of {base.source.name} do not load: {str(cause).splitlines()[0]}",
                where=str(base.source.folder),
            ) from cause
    # PEFT would name the local folder as an adapter's base; it must load on other machines.
    model.name_or_path = base.source.public_name
    mismatched = {key if isinstance(key, str) else key[0] for key in report["mismatched_keys"]}
    return LoadedBase(model, _wholly_new(model, set(report["missing_keys"]) | mismatched))


def classifier_config(base: BaseModel, task: Task) -> Any:
    """transformers' configuration of the base as a classifier for this task."""
    names = [str(n) for n in task.label_names]
    with quiet_transformers():
        config = _config(
            base.source,
            num_labels=len(names),
            id2label=dict(enumerate(names)),
            label2id={n: i for i, n in enumerate(names)},
        )
    vars(config).pop(OURS, None)  # a base may itself have been made here, for another task
    for key, value in task.described().items():
        setattr(config, key, value)
    if getattr(config, "pad_token_id", None) is None:
        config.pad_token_id = base.tokenizer.pad_token_id
    return config


def load_tokenizer(source: Source) -> Any:
    """The tokenizer of a model folder; one without a padding token pads with its end token.

    Raises: ModelError if the folder has none.
    """
    with quiet_transformers():
        try:
            tokenizer = AutoTokenizer.from_pretrained(source.folder, trust_remote_code=False, local_files_only=True)
        except (OSError, ValueError, ImportError, KeyError) as cause:
            raise ModelError(
                f"{source.name} has no usable tokenizer: {str(cause).splitlines()[0]}",
                where=str(source.folder),
                hint="save it beside the model with tokenizer.save_pretrained(folder)",
            ) from cause
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise ModelError(f"the tokenizer of {source.name} can neither pad nor end a text", where=str(source.folder))
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep progress bars, load reports and third-party deprecations off the user's screen.

    What matters in them (newly initialised layers) we read from the loading report ourselves.
    """
    verbosity = transformers.logging.get_verbosity()
    hub = logging.getLogger("huggingface_hub")
    hub_level = hub.level
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    hub.setLevel(logging.ERROR)
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning, module=r"transformers\..*|peft\..*")
            yield
    finally:
        transformers.logging.set_verbosity(verbosity)
        hub.setLevel(hub_level)


def _config(source: Source, **values: Any) -> Any:
    try:
        return AutoConfig.from_pretrained(source.folder, trust_remote_code=False, local_files_only=True, **values)
    except (OSError, ValueError, KeyError, TypeError) as cause:
        raise ModelError(
            f"config.json of {source.name} is not one transformers knows: {str(cause).splitlines()[0]}",
            where=str(source.folder / "config.json"),
        ) from cause


def _is_linear(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear | transformers.pytorch_utils.Conv1D)


def _longest_input(config: Any) -> int | None:
    longest = getattr(config, "max_position_embeddings", None)
    if not isinstance(longest, int) or longest <= 0:
        return None
    # RoBERTa and its kin number positions from padding_idx + 1, so two of them are never used.
    offset = {"roberta", "xlm-roberta", "camembert", "longformer", "xlm-roberta-xl", "xmod", "mpnet"}
    return longest - config.pad_token_id - 1 if config.model_type in offset else longest


def _wholly_new(model: nn.Module, new_keys: set[str]) -> tuple[str, ...]:
    """The outermost modules all of whose parameters are new: ``classifier``, never ``classifier.dense``."""
    parameters = {name for name, _ in model.named_parameters()}
    new = new_keys & parameters
    outermost: list[str] = []
    for module_name, _ in model.named_modules():
        inside = {p for p in parameters if p.startswith(module_name + ".")} if module_name else set()
        covered = any(module_name.startswith(o + ".") for o in outermost)
        if inside and inside <= new and not covered:
            outermost.append(module_name)
    return tuple(outermost)
