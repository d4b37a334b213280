"""How many tokens texts have, before any is cut.

What the checks and the analysis of data ask of a tokenizer; they know no models themselves.
Neighbours: ``tokens`` reads texts for training, cut at ``max_length``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Lengths = Callable[[Sequence[str], Sequence[str] | None], NDArray[np.int64]]
Longer = Callable[[Sequence[str], Sequence[str] | None], NDArray[np.bool_]]


def lengths_by(tokenizer: Any) -> Lengths:
    """Tokens of each text, or of each pair, special ones included."""

    def lengths(texts: Sequence[str], pairs: Sequence[str] | None = None) -> NDArray[np.int64]:
        if not len(texts):
            return np.zeros(0, np.int64)
        read = tokenizer(
            list(texts), None if pairs is None else list(pairs), truncation=False, verbose=False,
            return_attention_mask=False,
        )["input_ids"]  # fmt: skip
        return np.fromiter(map(len, read), np.int64, len(texts))

    return lengths


def longer_than(tokenizer: Any, max_length: int) -> Longer:
    """Which texts (or pairs) have more than ``max_length`` tokens."""
    lengths = lengths_by(tokenizer)
    special = tokenizer.num_special_tokens_to_add(pair=True) + 1  # and the space that some put in front

    def longer(texts: Sequence[str], pairs: Sequence[str] | None = None) -> NDArray[np.bool_]:
        found = np.zeros(len(texts), bool)
        seconds = [""] * len(texts) if pairs is None else pairs
        # A token of ASCII text is at least one character: most texts need not be read at all.
        asked = [
            at
            for at, (text, second) in enumerate(zip(texts, seconds, strict=True))
            if len(text) + len(second) + special > max_length or not (text.isascii() and second.isascii())
        ]
        some = None if pairs is None else [pairs[at] for at in asked]
        found[asked] = lengths([texts[at] for at in asked], some) > max_length
        return found

    return longer
