"""An adapter's float32 numbers as two halves of 16 bits: one is read in bfloat16 as it is, both give the number back.

``high`` is the number rounded to the nearest bfloat16, ``low`` what is missing: taken as whole numbers, the bits
of the number are ``(bits of high << 16) + low``. So both number formats are there in four bytes a number.
Neighbours: ``deltas`` keeps them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_HALF = 1 << 15  # half of what the last bit of the upper half counts


@dataclass(frozen=True)
class Halves:
    """Numbers in a row.

    Attributes:
        high: bfloat16; also the product's operand. Beyond its largest number it is infinite.
        low: int16.
    """

    high: Tensor
    low: Tensor

    @classmethod
    def of(cls, numbers: Tensor) -> Halves:
        """Of finite float32 numbers; they are not kept."""
        bits = numbers.view(torch.int32)
        high = (bits + _HALF) >> 16
        low = (bits - (high << 16)).to(torch.int16)
        return cls(high.to(torch.int16).view(torch.bfloat16), low)

    @property
    def nbytes(self) -> int:
        """Memory of both."""
        return self.high.nbytes + self.low.nbytes

    def whole(self) -> Tensor:
        """The very float32 numbers they were made of."""
        bits = self.high.view(torch.int16).to(torch.int32) << 16
        return bits.add_(self.low).view(torch.float32)
