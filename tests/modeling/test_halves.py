"""Two halves of 16 bits are the number: read alone one is its bfloat16, together they are all its bits."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from finetune30.modeling.shared.halves import Halves

EDGES = [0.0, -0.0, 1e-45, -1e-45, 1.1754942e-38, -1.1754942e-38, 3.4028235e38, -3.4028235e38, 3.3895314e38, 1.00390625]
NUMBERS = arrays.arrays(np.float32, st.integers(1, 64), elements=st.floats(width=32, allow_nan=False))


@given(NUMBERS)
def test_both_halves_give_back_every_bit(numbers: np.ndarray[tuple[int], np.dtype[np.float32]]) -> None:
    whole = Halves.of(torch.from_numpy(numbers)).whole().numpy()
    np.testing.assert_array_equal(whole.view(np.int32), numbers.view(np.int32))


@given(NUMBERS)
def test_the_upper_half_is_the_nearest_bfloat16(numbers: np.ndarray[tuple[int], np.dtype[np.float32]]) -> None:
    given_, high = torch.from_numpy(numbers), Halves.of(torch.from_numpy(numbers)).high
    theirs = given_.to(torch.bfloat16)
    # Of two that are equally near either is right.
    same = (high == theirs) | ((high.double() - given_.double()).abs() == (theirs.double() - given_.double()).abs())
    assert bool(same.all())


def test_numbers_at_the_edges_come_back_and_cost_four_bytes_each() -> None:
    numbers = torch.tensor([*EDGES, *(-one for one in EDGES)])
    halves = Halves.of(numbers)
    assert torch.equal(halves.whole().view(torch.int32), numbers.view(torch.int32))
    assert halves.nbytes == numbers.nbytes
