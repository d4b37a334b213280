"""How many tokens texts have, before any is cut.

What the checks and the analysis of data ask of a tokenizer; they know no models themselves. Reads
``tokenizer.json`` with the ``tokenizers`` library alone, which takes a tenth of a second where
transformers and torch take three. Neighbours: ``tokens`` reads texts for training, cut at ``max_length``.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finetune30.errors import ModelError
from finetune30.modeling.safety import check_model_folder
from finetune30.modeling.source import Source

Lengths = Callable[[Sequence[str], Sequence[str] | None], NDArray[np.int64]]
_AT_ONCE = 256
_PLAIN_WORD = re.compile(r"[A-Za-z0-9]+[^\sA-Za-z0-9]*(?=\s|\Z)")
Longer = Callable[[Sequence[str], Sequence[str] | None], NDArray[np.bool_]]


def counter_of(source: Source) -> Any:
    """The tokenizer of a model's folder, for counting only.

    Returns: What ``lengths_by`` and ``longer_than`` take.
    Raises: ModelError when the folder holds none, or what no model folder may hold.
    """
    import tokenizers

    check_model_folder(source.folder)
    file = source.folder / "tokenizer.json"
    if not file.is_file():
        from finetune30.modeling.base import load_tokenizer

        return load_tokenizer(source)
    try:
        return tokenizers.Tokenizer.from_file(str(file))
    except Exception as cause:
        raise ModelError(f"the tokenizer cannot be read: {cause}", where=str(file), hint="save it again") from cause


def lengths_by(tokenizer: Any) -> Lengths:
    """Tokens of each text, or of each pair, special ones included.

    Args:
        tokenizer: Of ``counter_of``, or transformers' own.
    """
    import tokenizers

    inner = getattr(tokenizer, "backend_tokenizer", tokenizer)
    if not isinstance(inner, tokenizers.Tokenizer):
        return _by_transformers(tokenizer)
    # A copy: how the last call of somebody else cut and padded must not count here, nor ours there.
    counter = tokenizers.Tokenizer.from_str(inner.to_str())
    counter.no_truncation()
    counter.no_padding()

    def lengths(texts: Sequence[str], pairs: Sequence[str] | None = None) -> NDArray[np.int64]:
        given: list[Any] = list(texts) if pairs is None else list(zip(texts, pairs, strict=True))
        counts = array("q")
        for start in range(0, len(given), _AT_ONCE):  # what the library returns is a hundred bytes a token
            counts.extend(len(one.ids) for one in counter.encode_batch_fast(given[start : start + _AT_ONCE]))
        return np.frombuffer(counts, np.int64) if counts else np.zeros(0, np.int64)

    return lengths


def longer_than(tokenizer: Any, max_length: int) -> Longer:
    """Which texts (or pairs) have more than ``max_length`` tokens."""
    lengths = lengths_by(tokenizer)
    special = int(lengths([""], [""])[0]) + 2  # and the space that some put in front of each text

    def longer(texts: Sequence[str], pairs: Sequence[str] | None = None) -> NDArray[np.bool_]:
        found = np.zeros(len(texts), bool)
        seconds = [""] * len(texts) if pairs is None else pairs
        asked = []
        for at, (text, second) in enumerate(zip(texts, seconds, strict=True)):
            # A token of ASCII text is at least one character, and a word is at least one token: most
            # texts need not be read at all.
            if len(text) + len(second) + special <= max_length and text.isascii() and second.isascii():
                continue
            if len(text) > 2 * max_length and sum(1 for _ in _PLAIN_WORD.finditer(text)) > max_length:
                found[at] = True
                continue
            asked.append(at)
        some = None if pairs is None else [pairs[at] for at in asked]
        found[asked] = lengths([texts[at] for at in asked], some) > max_length
        return found

    return longer


def _by_transformers(tokenizer: Any) -> Lengths:
    """A tokenizer written in Python."""

    def lengths(texts: Sequence[str], pairs: Sequence[str] | None = None) -> NDArray[np.int64]:
        if not len(texts):
            return np.zeros(0, np.int64)
        second = None if pairs is None else list(pairs)
        read = tokenizer(list(texts), second, truncation=False, verbose=False, return_attention_mask=False)
        return np.fromiter(map(len, read["input_ids"]), np.int64, len(texts))

    return lengths
