"""The limit: how fast this machine multiplies, at the shapes of the model that is trained.

Neighbours: ``worker`` measures it, in a process that does nothing else.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping

_REPEATS = 9


def linear_rate(shapes: Mapping[tuple[int, int], int], tokens: int, precision: str, device: str) -> float:
    """FLOP per second of ``torch.nn.functional.linear`` over the linear layers of one encoder layer.

    Args:
        shapes: ``(out, in)`` -> how many of them a layer has.
        tokens: Rows of the products: real tokens of a typical batch.
    """
    import torch

    dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}[precision]
    layers = [
        (torch.randn(out, size, device=device).to(dtype), torch.randn(tokens, size, device=device).to(dtype))
        for (out, size), count in shapes.items()
        for _ in range(count)
    ]
    flop = sum(2 * tokens * weight.numel() for weight, _ in layers)
    seconds = []
    with torch.inference_mode():
        for _ in range(_REPEATS):
            began = time.perf_counter()
            for _ in range(4):
                for weight, inputs in layers:
                    torch.nn.functional.linear(inputs, weight)
            if device.startswith("cuda"):
                torch.cuda.synchronize()
            seconds.append((time.perf_counter() - began) / 4)
    return flop / statistics.median(seconds[1:])
