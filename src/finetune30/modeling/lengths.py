"""How many tokens texts have, before any is cut.

What the checks and the analysis of data ask of a tokenizer; they know no models themselves. Reads
``tokenizer.json`` with the ``tokenizers`` library alone, which takes a tenth of a second where
transformers and torch take three. Neighbours: ``tokens`` reads texts for training, cut at ``max_length``.
"""

from __future__ import annotations

import json
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
_ODD = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_REMEMBERED = 200_000
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
    lengths, words = lengths_by(tokenizer), _WordCounts.of(tokenizer)
    special = int(lengths([""], [""])[0])

    def longer(texts: Sequence[str], pairs: Sequence[str] | None = None) -> NDArray[np.bool_]:
        found = np.zeros(len(texts), bool)
        whole = texts if pairs is None else [f"{text} {pair}" for text, pair in zip(texts, pairs, strict=True)]
        # A token of ASCII text is at least one character (and some put a space in front of each text):
        # most texts need not be read at all.
        open_ones = [at for at, text in enumerate(whole) if len(text) + special + 2 > max_length or not text.isascii()]
        asked = open_ones if words is None else [at for at in open_ones if not is_plain(whole[at])]
        if words is not None:
            plain = [at for at in open_ones if is_plain(whole[at])]
            own = special if pairs is not None else int(lengths([""], None)[0])
            found[plain] = words.counts([whole[at] for at in plain]) + own > max_length
        some = None if pairs is None else [pairs[at] for at in asked]
        found[asked] = lengths([texts[at] for at in asked], some) > max_length
        return found

    return longer


def is_plain(text: str) -> bool:
    """Whether a text is ASCII in which only spaces, tabs and line ends part words."""
    return text.isascii() and (text.isprintable() or _ODD.search(text) is None)


class _WordCounts:
    """Tokens of words, each counted once: BERT's tokenizers part words at spaces before anything else.

    What is remembered is bounded; random letters are forgotten again.
    """

    def __init__(self, counter: Any) -> None:
        self._counter = counter
        self._known: dict[str, int] = {}

    @classmethod
    def of(cls, tokenizer: Any) -> _WordCounts | None:
        """None for tokenizers that do not part words so."""
        import tokenizers

        inner = getattr(tokenizer, "backend_tokenizer", tokenizer)
        if not isinstance(inner, tokenizers.Tokenizer):
            return None
        described = json.loads(inner.to_str())
        kinds = [(described.get(part) or {}).get("type") for part in ("normalizer", "pre_tokenizer", "model")]
        if kinds != ["BertNormalizer", "BertPreTokenizer", "WordPiece"]:
            return None
        counter = tokenizers.Tokenizer.from_str(inner.to_str())
        counter.no_truncation()
        counter.no_padding()
        return cls(counter)

    def counts(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Tokens of plain texts, without special ones."""
        split = [text.split() for text in texts]
        new = list({word for words in split for word in words} - self._known.keys())
        if len(self._known) + len(new) > _REMEMBERED:
            self._known = {}
            new = list({word for words in split for word in words})
        for start in range(0, len(new), _AT_ONCE):
            some = new[start : start + _AT_ONCE]
            read = self._counter.encode_batch_fast(some, add_special_tokens=False)
            self._known.update(zip(some, (len(one.ids) for one in read), strict=True))
        count_of = self._known.__getitem__
        return np.fromiter((sum(map(count_of, words)) for words in split), np.int64, len(split))


def _by_transformers(tokenizer: Any) -> Lengths:
    """A tokenizer written in Python."""

    def lengths(texts: Sequence[str], pairs: Sequence[str] | None = None) -> NDArray[np.int64]:
        if not len(texts):
            return np.zeros(0, np.int64)
        second = None if pairs is None else list(pairs)
        read = tokenizer(list(texts), second, truncation=False, verbose=False, return_attention_mask=False)
        return np.fromiter(map(len, read["input_ids"]), np.int64, len(texts))

    return lengths
