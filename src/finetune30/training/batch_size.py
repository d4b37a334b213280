"""The largest training batch that pays (``training.per_device_train_batch_size: auto``).

Measured on this device before a run exists, then written into its configuration as a number: a
resumed or repeated run does not measure again. Neighbours: the pipeline's plan asks.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from finetune30.config import ExperimentConfig
from finetune30.data import Splits
from finetune30.modeling import BaseModel, Compute, lora
from finetune30.modeling.base import load as load_base
from finetune30.modeling.memory import is_out_of_memory, release
from finetune30.modeling.predict import Inputs
from finetune30.modeling.tokens import encode
from finetune30.training.lower import LowerOutputs, why_not_kept
from finetune30.training.placing import put_engine
from finetune30.training.processes import processes
from finetune30.training.progress import Progress, note

# Enough to find texts of middle length among.
_MEASURED_TEXTS = 4096
_SMALLEST, _LARGEST = 8, 256
# An epoch of fewer steps learns too little from each row; a doubling that gains less than this does not pay.
_STEPS_AN_EPOCH = 50
_PAYS = 1.05
_ROUNDS = 3


def choose_batch_size(
    base: BaseModel, splits: Splits, config: ExperimentConfig, compute: Compute, progress: Progress
) -> ExperimentConfig:
    """The configuration with a number in the place of ``per_device_train_batch_size: auto``, measured here."""
    model = lora.attach(load_base(base, splits.label_names, seed=config.seed), base, config)
    model.to(compute.device)
    encoder = put_engine(model, config, compute, lambda _: None)
    model.train()
    train = splits.train
    pairs = None if train.pairs is None else train.pairs[:_MEASURED_TEXTS]
    few = encode(base.tokenizer, train.texts[:_MEASURED_TEXTS], config.data.max_length, pairs=pairs)
    inputs: Inputs = few
    below = config.training.freeze_below
    with tempfile.TemporaryDirectory() as folder:
        if encoder is not None and below is not None and why_not_kept(encoder, few) is None:
            inputs, encoder.below = LowerOutputs(encoder, few, below, Path(folder), compute.device), below
        rows = len(train) // (config.training.gradient_accumulation_steps * processes(config))
        size, seen = largest_that_pays(model, inputs, rows, compute.device)
    tried = ", ".join(f"{n}: {speed:.0f}" for n, speed in seen.items()) or "too few texts to measure"
    progress(note(f"per_device_train_batch_size: auto is {size} here (tokens/s by batch size: {tried})"))
    training = config.training.model_copy(update={"per_device_train_batch_size": size})
    return config.model_copy(update={"training": training}).with_notes(config.notes)


def largest_that_pays(model: nn.Module, inputs: Inputs, rows: int, device: str) -> tuple[int, dict[int, float]]:
    """Double the batch while tokens per second grow by a twentieth, memory lasts and an epoch has 50 steps.

    Args:
        model: Ready to train; its gradients are cleared, its weights stay.
        inputs: Some of the training texts; those of middle length are measured.
        rows: Training texts over the batches that make an optimizer step: how many batches an epoch can have.
    Returns: The batch size, and tokens per second of each that was tried.
    """
    seen: dict[int, float] = {}
    for size in _sizes(rows, len(inputs.lengths())):
        try:
            seen[size] = _tokens_per_s(model, inputs, size, device)
        except (RuntimeError, MemoryError) as fault:
            if not is_out_of_memory(fault):
                raise
            release()
            break
        if size > _SMALLEST and seen[size] < _PAYS * seen[size // 2]:
            break
    model.zero_grad(set_to_none=True)
    best = max(seen.values(), default=0.0)
    # The smallest that is within the same margin of the best: beyond it nothing is gained.
    return min((size for size, speed in seen.items() if speed * _PAYS >= best), default=_SMALLEST), seen


def _sizes(rows: int, texts: int) -> Iterator[int]:
    size = _SMALLEST
    while size <= min(_LARGEST, texts) and (size == _SMALLEST or rows // size >= _STEPS_AN_EPOCH):
        yield size
        size *= 2


def _tokens_per_s(model: nn.Module, inputs: Inputs, size: int, device: str) -> float:
    lengths = inputs.lengths()
    order = lengths.argsort(kind="stable").tolist()
    start = max(0, (len(order) - size) // 2)
    batch = {name: value.to(device) for name, value in inputs.batch(order[start : start + size]).items()}
    count = int(lengths[order[start : start + size]].sum())
    seconds = []
    for _ in range(_ROUNDS + 1):
        began = time.perf_counter()
        model(**batch).logits.float().logsumexp(-1).mean().backward()
        if device.startswith("cuda"):
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - began)
        model.zero_grad(set_to_none=True)
    return count / statistics.median(seconds[1:])
