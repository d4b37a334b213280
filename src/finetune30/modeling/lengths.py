"""How many tokens texts have, before any is cut.

What the checks and the analysis of data ask of a tokenizer; they know no models themselves. Reads
``tokenizer.json`` with the ``tokenizers`` library alone, which takes a tenth of a second where
transformers and torch take three. Neighbours: ``tokens`` reads texts for training, cut at ``max_length``.
"""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finetune30.errors import ModelError
from finetune30.modeling.safety import check_model_folder
from finetune30.modeling.source import Source

Lengths = Callable[[Sequence[str], Sequence[str] | None], NDArray[np.int64]]
_AT_ONCE = 256
_ODD = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_REMEMBERED = 2_000_000  # characters of words
_PIECE = 100_000
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
    except Exception as cause:  # the library raises Exception itself for a file it cannot read
        raise ModelError(f"the tokenizer cannot be read: {cause}", where=str(file), hint="save it again") from cause


def lengths_by(tokenizer: Any) -> Lengths:
    """Tokens of each text, or of each pair, special ones included.

    A text of more than 100,000 characters is counted in pieces, cut at a space where there is one: right
    to a token a piece, in memory that does not grow with the text.

    Args:
        tokenizer: Of ``counter_of``, or transformers' own.
    """
    import tokenizers

    inner = getattr(tokenizer, "backend_tokenizer", tokenizer)
    if not isinstance(inner, tokenizers.Tokenizer):
        return _by_transformers(tokenizer)
    counter = _uncut(inner)
    words = _WordCounts.of(counter)
    alone, paired = (int(counter.num_special_tokens_to_add(pair)) for pair in (False, True))

    def lengths(texts: Sequence[str], pairs: Sequence[str] | None = None) -> NDArray[np.int64]:
        if pairs is not None and max(map(len, texts), default=0) + max(map(len, pairs), default=0) <= _PIECE:
            return _in_portions(counter, list(zip(texts, pairs, strict=True)))
        counts = _without_special(counter, words, texts)
        return counts + alone if pairs is None else counts + _without_special(counter, words, pairs) + paired

    return lengths


def _uncut(inner: Any) -> Any:
    """A copy: how the last call of somebody else cut and padded must not count here, nor ours there."""
    import tokenizers

    counter = tokenizers.Tokenizer.from_str(inner.to_str())
    counter.no_truncation()
    counter.no_padding()
    return counter


def _without_special(counter: Any, words: _WordCounts | None, texts: Sequence[str]) -> NDArray[np.int64]:
    """Tokens of single texts, without those that stand around them."""
    counts = np.zeros(len(texts), np.int64)
    plain = [at for at, text in enumerate(texts) if words is not None and is_plain(text)]
    if words is not None and plain:
        counts[plain] = words.counts([texts[at] for at in plain])
    others = sorted(set(range(len(texts))) - set(plain))
    pieces = [(at, piece) for at in others for piece in _pieces(texts[at])]
    found = _in_portions(counter, [piece for _, piece in pieces], add_special_tokens=False)
    np.add.at(counts, [at for at, _ in pieces], found)
    return counts


def _pieces(text: str) -> Iterator[str]:
    while len(text) > _PIECE:
        cut = text.rfind(" ", _PIECE // 2, _PIECE)
        cut = cut if cut > 0 else _PIECE
        yield text[:cut]
        text = text[cut:]
    yield text


def _in_portions(counter: Any, given: Sequence[Any], *, add_special_tokens: bool = True) -> NDArray[np.int64]:
    """Tokens of each input; what the library returns is a hundred bytes a token, so it is asked bit by bit."""
    counts = array("q")
    portion: list[Any] = []
    characters = 0
    for number, one in enumerate(given, start=1):
        portion.append(one)
        characters += len(one) if isinstance(one, str) else sum(map(len, one))
        if len(portion) == _AT_ONCE or characters >= _PIECE or number == len(given):
            read = counter.encode_batch_fast(portion, add_special_tokens=add_special_tokens)
            counts.extend(len(encoding.ids) for encoding in read)
            portion, characters = [], 0
    return np.frombuffer(counts, np.int64) if counts else np.zeros(0, np.int64)


def longer_than(tokenizer: Any, max_length: int) -> Longer:
    """Which texts (or pairs) have more than ``max_length`` tokens."""
    lengths = lengths_by(tokenizer)
    special = int(lengths([""], [""])[0])

    def longer(texts: Sequence[str], pairs: Sequence[str] | None = None) -> NDArray[np.bool_]:
        found = np.zeros(len(texts), bool)
        whole = texts if pairs is None else [f"{text} {pair}" for text, pair in zip(texts, pairs, strict=True)]
        # A token of ASCII text is at least one character (and some put a space in front of each text):
        # most texts need not be read at all.
        asked = [at for at, text in enumerate(whole) if len(text) + special + 2 > max_length or not text.isascii()]
        some = None if pairs is None else [pairs[at] for at in asked]
        found[asked] = lengths([texts[at] for at in asked], some) > max_length
        return found

    return longer


def is_plain(text: str) -> bool:
    """Whether a text is short, and ASCII in which only spaces, tabs and line ends part words."""
    return len(text) <= _PIECE and text.isascii() and (text.isprintable() or _ODD.search(text) is None)


class _WordCounts:
    """Tokens of words, each counted once: BERT's tokenizers part words at spaces before anything else.

    What is remembered is bounded; random letters are forgotten again.
    """

    def __init__(self, counter: Any) -> None:
        self._counter = counter
        self._known: dict[str, int] = {}
        self._characters = 0

    @classmethod
    def of(cls, counter: Any) -> _WordCounts | None:
        """None for tokenizers that do not part words so."""
        described = json.loads(counter.to_str())
        kinds = [(described.get(part) or {}).get("type") for part in ("normalizer", "pre_tokenizer", "model")]
        if kinds != ["BertNormalizer", "BertPreTokenizer", "WordPiece"]:
            return None
        return cls(counter)

    def counts(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Tokens of plain texts, without special ones."""
        split = [text.split() for text in texts]
        new = list({word for words in split for word in words} - self._known.keys())
        self._characters += sum(map(len, new))
        if self._characters > _REMEMBERED:
            new = list({word for words in split for word in words})
            self._known, self._characters = {}, sum(map(len, new))
        self._known.update(zip(new, _in_portions(self._counter, new, add_special_tokens=False).tolist(), strict=True))
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
