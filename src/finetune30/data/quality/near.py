"""Texts that are nearly the same: a word changed, a typo, other punctuation.

MinHash signatures (by ``rensa``) of character sequences bring candidates together, band by band;
each candidate is then compared with the earliest text of its band by edit distance (by ``rapidfuzz``).
A row leaves the search once it is found, so that work grows with the rows, not with their pairs.
Source: Broder 1997, On the resemblance and containment of documents; Leskovec et al., Mining of
Massive Datasets, chapter 3.4.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finetune30.data.quality.keys import KeyFile
from finetune30.data.quality.rows import Dataset, portions

ALIKE = 0.85
_BANDS, _BAND_ROWS = 20, 4
_SEED = 30
_LONGEST = 10_000  # characters of a text: books differ before that
_COMPARED_ROWS, _COMPARED_CHARACTERS = 100_000, 1 << 23
_SPACED, _DENSE = 5, 2  # characters of a sequence: where words have spaces, where a character is a word
_NO_LETTER = re.compile(r"[\W_]+")
_DENSE_FROM = "\u2e80"
_MIX = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class NearCopies:
    """What is nearly the same, but not the same.

    Args:
        later: Shape (rows,): whether an earlier row of the same split and label is nearly the same.
        leaked: Shape (rows,): a validation or test row that is nearly a train row.
        leaking: Rows involved in such a leak, those of train included.
    """

    later: NDArray[np.bool_]
    leaked: NDArray[np.bool_]
    leaking: NDArray[np.int64]


def find_near_copies(data: Dataset, there: NDArray[np.bool_], leaked: NDArray[np.bool_]) -> NearCopies:
    """Near copies among the rows that are there (first of their text in their split, not empty).

    Args:
        leaked: Rows whose very text is in train; they are no near leaks.
    """
    bands, usual_length = _signatures(data)
    at_once = min(_COMPARED_ROWS, max(1_000, _COMPARED_CHARACTERS // usual_length))
    later, near_leaked = np.zeros(len(data), bool), np.zeros(len(data), bool)
    leaking = [np.zeros(0, np.int64)]
    first_held_out = int(data.starts[1]) if data.roles[0] == "train" else len(data)
    held_out = np.zeros(len(data), bool)
    held_out[first_held_out:] = True
    for band in bands:
        still_open = there & ~(later & (~held_out | near_leaked | leaked))
        for groups in band.groups(still_open):
            for pairs in _candidates(groups.rows, groups.starts, data, at_once):
                pairs = pairs[_alike(data, pairs)]
                one, other = pairs[:, 0], pairs[:, 1]
                same_split = data.split_of(one) == data.split_of(other)
                # With another label it is no copy but a contrast: "well organised", "disorganised".
                later[one[same_split & (data.labels[one] == data.labels[other])]] = True
                leak = ~same_split & (other < first_held_out) & ~leaked[one]
                near_leaked[one[leak]] = True
                leaking += [one[leak], other[leak]]
        band.close()
    return NearCopies(later, near_leaked, np.unique(np.concatenate(leaking)))


def similarity(one: str, other: str) -> float:
    """1 for texts with the same words, 0 for nothing in common; case and punctuation do not count."""
    from rapidfuzz import fuzz

    return float(fuzz.ratio(_form(one), _form(other))) / 100


def _candidates(
    rows: NDArray[np.int64], starts: NDArray[np.int64], data: Dataset, at_once: int
) -> Iterator[NDArray[np.int64]]:
    """Pairs (row, earlier row): with the earliest of the group, the earliest of the same split, and the one before."""
    group = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(rows))))
    split = data.split_of(rows)
    new = np.append(True, (group[1:] != group[:-1]) | (split[1:] != split[:-1]))
    first_of_split = rows[np.flatnonzero(new)][np.cumsum(new) - 1]
    first = rows[starts][group]
    before = np.where(np.append(True, group[1:] != group[:-1]), rows, np.append(rows[:1], rows[:-1]))
    pairs = np.stack([np.tile(rows, 3), np.concatenate([first, first_of_split, before])], axis=1)
    pairs = np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0)
    for start in range(0, len(pairs), at_once):
        yield pairs[start : start + at_once]


def _alike(data: Dataset, pairs: NDArray[np.int64]) -> NDArray[np.bool_]:
    from rapidfuzz import fuzz
    from rapidfuzz.process import cpdist

    rows, where = np.unique(pairs, return_inverse=True)
    at = where.reshape(pairs.shape)
    alike = np.ones(len(pairs), bool)
    # Of a pair both texts must be: many questions are asked about one long passage.
    for texts in filter(None, data.columns_at(rows)):
        forms = [_form(text) for text in texts]
        ones, others = ([forms[i] for i in at[:, side]] for side in (0, 1))
        alike &= np.asarray(cpdist(ones, others, scorer=fuzz.ratio, score_cutoff=100 * ALIKE)) > 0
    return alike


def _signatures(data: Dataset) -> tuple[list[KeyFile], int]:
    """A key for each row and band: rows whose MinHash agrees in a whole band have equal keys.

    Returns: The bands, and the mean length of a text.
    """
    import rensa

    bands, characters = [KeyFile() for _ in range(_BANDS)], 0
    for portion in portions(data.texts()):
        forms = [_form(text) for text in portion]
        characters += sum(map(len, forms))
        hashes, starts = _sequences(forms)
        made = rensa.RMinHash.digest_matrix_from_flat_token_hashes(hashes, starts, _BANDS * _BAND_ROWS, _SEED)
        digests = np.array(made.to_rows(), np.uint64).reshape(len(forms), _BANDS, _BAND_ROWS)
        keys = np.zeros(digests.shape[:2], np.uint64)
        for at in range(_BAND_ROWS):
            keys = (keys ^ digests[:, :, at]) * _MIX
            keys ^= keys >> np.uint64(29)
        for number, band in enumerate(bands):
            band.append(keys[:, number])
    return bands, 1 + characters // max(1, len(data))


def _form(text: str) -> str:
    """What is compared: letters and digits, small, with single spaces between; without any, the signs."""
    text = text[:_LONGEST]
    return _NO_LETTER.sub(" ", text.casefold()).strip() or text.strip()


def _sequences(forms: Sequence[str]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Hashes of the character sequences of each text, flat, and where each text's begin (and the end)."""
    dense = np.array([not form.isascii() and max(form) >= _DENSE_FROM for form in forms])
    # A text shorter than a sequence is one sequence with padding; the padding also parts neighbours.
    padded = ("\0" * _SPACED).join([*forms, ""])
    points = np.frombuffer(padded.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    lengths = np.fromiter(map(len, forms), np.int64, len(forms))
    begins = np.cumsum(lengths + _SPACED) - lengths - _SPACED
    counts = np.maximum(lengths - np.where(dense, _DENSE, _SPACED) + 1, 1)
    starts = np.concatenate([[0], np.cumsum(counts)])
    at = np.repeat(begins - starts[:-1], counts) + np.arange(starts[-1])
    wide = np.repeat(dense, counts)
    hashes = np.zeros(len(at), np.uint64)
    for place in range(_SPACED):
        following: Any = points[at + place]
        if place >= _DENSE:
            following = np.where(wide, np.uint64(0), following)
        hashes = (hashes ^ following) * _MIX
        hashes ^= hashes >> np.uint64(32)
    return hashes, starts.astype(np.uint64)
