"""When two texts are the same: equal after folding case and white space.

Used wherever copies matter: duplicates, leaks, contradictory labels, and the cut of a validation
split. Keys are 64-bit hashes: among ten million texts two different ones share a key with a
probability of about three in a million.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import repeat, starmap

import numpy as np
import xxhash
from numpy.typing import NDArray

from finetune30.data.table import Table

_SHUFFLE = np.uint64(0x9E3779B97F4A7C15)


def folded(text: str) -> str:
    """Small letters, single spaces, none around."""
    return " ".join(text.casefold().split())


def key_of(text: str) -> int:
    """64-bit hash of a text as it is."""
    return int(xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass")))


def whole(text: str, pair: str | None) -> str:
    """One text, or both of a pair with a separator that folding takes out of texts."""
    return text if pair is None else f"{text}\x1f{pair}"


def folded_whole(text: str, pair: str | None) -> str:
    """The same, folded: words do not move from one text of a pair to the other."""
    return folded(text) if pair is None else f"{folded(text)}\x1f{folded(pair)}"


def texts_and_pairs(table: Table) -> Iterator[tuple[str, str | None]]:
    """Each row's text and its second text, None where rows have one."""
    return zip(table.texts, repeat(None) if table.pairs is None else table.pairs, strict=False)


def whole_texts(table: Table) -> Iterator[str]:
    """What is looked at of each row: its text, or both of a pair."""
    return iter(table.texts) if table.pairs is None else starmap(whole, texts_and_pairs(table))


def keys_of(table: Table, rows: NDArray[np.int64]) -> NDArray[np.uint64]:
    """A number for the text of each of these rows: equal where texts are the same after folding."""
    texts: Sequence[str] = table.texts.take(rows)
    pairs = repeat("") if table.pairs is None else table.pairs.take(rows)
    keys = (key_of(f"{folded(text)}\x1f{folded(pair)}") for text, pair in zip(texts, pairs, strict=False))
    return np.fromiter(keys, np.uint64, len(rows))


def numbered(keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Keys made distinct: the second of equal keys becomes another, the same on both sides."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    new = np.append(True, ordered[1:] != ordered[:-1])[: len(keys)]
    starts = np.flatnonzero(new)
    rank = np.arange(len(keys)) - starts[np.cumsum(new) - 1] if len(keys) else np.zeros(0, np.int64)
    distinct = np.empty_like(keys)
    distinct[order] = ordered + rank.astype(np.uint64) * _SHUFFLE
    return distinct
