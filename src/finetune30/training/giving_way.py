"""Training that gives way when memory runs out: smaller batches, more of them a step, the same step.

Neighbours: ``sitting`` trains with one batch shape; ``fit`` calls this here, ``rank`` in each of several
processes, which give way together or not at all.
"""

from __future__ import annotations

from finetune30.errors import OutOfMemory
from finetune30.modeling.memory import is_out_of_memory, release
from finetune30.training.peers import NoRoom
from finetune30.training.progress import note
from finetune30.training.sitting import BatchShape, Sitting, TrainedAdapter


def train(sitting: Sitting) -> TrainedAdapter:
    """Train to the end or to a wish to stop, halving batches that do not fit.

    Raises: OutOfMemory at batch 1, or where processes cannot agree on it; what ``sitting.train`` raises.
    """
    config = sitting.config
    assert config.training.per_device_train_batch_size != "auto"  # noqa: S101 - chosen before
    shape = BatchShape(config.training.per_device_train_batch_size, config.training.gradient_accumulation_steps)
    while True:
        try:
            return sitting.train(shape)
        except (RuntimeError, MemoryError) as fault:
            if not is_out_of_memory(fault):
                raise
            smaller = shape.smaller()
            if sitting.peers.size > 1 and not isinstance(fault, NoRoom):
                raise _no_room("one of the processes ran out of memory outside a training batch") from fault
            if smaller is None:
                text = f"not even one text of {config.data.max_length} tokens fits into the memory"
                raise _no_room(f"{text} of {sitting.compute.device}") from fault
        # Outside the except clause, so that the fault's frames no longer hold the tensors.
        sitting.progress(
            note(
                f"out of memory with batches of {shape.rows}: going on with {smaller.rows} texts x "
                f"{smaller.accumulation} accumulation steps "
                f"(the optimizer sees the same {shape.rows * shape.accumulation * sitting.peers.size})"
            )
        )
        shape = smaller
        release()


def _no_room(text: str) -> OutOfMemory:
    return OutOfMemory(
        text,
        where="training.per_device_train_batch_size",
        hint="lower data.max_length, choose a smaller model.name or lora.r, or train on a larger device",
    )
