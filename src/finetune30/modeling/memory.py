"""Running out of memory: recognised on every device, and a batch size that gives way.

CUDA, MPS and the CPU allocator each say it in their own words; only CUDA has a class for it.
"""

from __future__ import annotations

import gc

import torch

_WORDS = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "cannot allocate memory",
    "cublas_status_alloc_failed",
)


def is_out_of_memory(fault: BaseException) -> bool:
    """Whether an exception means that memory ran out."""
    if isinstance(fault, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(fault, RuntimeError) and any(words in str(fault).lower() for words in _WORDS)


def release() -> None:
    """Give freed memory back to the device before trying again."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()
