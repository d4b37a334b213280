"""Texts of requests as token ids: one tokenizer for all adapters of a base, safe in many threads.

transformers' tokenizer keeps how the last call cut texts, so two threads disturb each other. Here a backend is
asked under a lock, each time with the adapter's own ``max_length``; long texts have a backend of their own, so that
who reads a short one never waits longer than a short one takes. Of a text that is far longer than ``max_length``
only the beginning is read, where the tokens of the rest provably do not matter.
Neighbours: ``pairing`` joins long pairs; ``tokens`` reads whole datasets, and gives the same ids.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from finetune30.modeling.base import BaseModel
from finetune30.modeling.shared.pairing import Pairing, Read
from finetune30.modeling.tokens import encode

QUICK_CHARACTERS = 4_000
"""So few characters are read in a millisecond or so."""
# A word of English has five to six characters, and no tokenizer makes less than a token of each.
_CHARACTERS_A_TOKEN = 64
# Tokens beyond ``max_length`` that the beginning must have: what is next to the cut is none of the model's.
_SLACK = 32
# These never make one token of what stands before and after a space.
_SPLITS_AT_SPACES = frozenset({"BertPreTokenizer", "Whitespace", "WhitespaceSplit"})


class Reader:
    """Reads texts for the adapters of one base."""

    def __init__(self, base: BaseModel) -> None:
        self._tokenizer = base.tokenizer
        self._lock = threading.Lock()
        self._types = "token_type_ids" in self._tokenizer.model_input_names
        self._quick: _Backend | None = None
        backend = getattr(self._tokenizer, "backend_tokenizer", None)
        # What Python adds to the backend we do not know how to repeat.
        if backend is not None and not getattr(self._tokenizer, "split_special_tokens", False):
            side, described = self._tokenizer.truncation_side, backend.to_str()
            self._quick, self._slow = _Backend(described, side), _Backend(described, side)
            self._pairing = Pairing.of(self._slow.encoded([("a", "a")], 512)[0]) if side == "right" else None
            self._cuts = side == "right" and _splits_at_spaces(json.loads(described).get("pre_tokenizer"))

    def is_quick(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> bool:
        """Whether these are read at once: nobody else is held up by it, or waited for."""
        return self._quick is not None and _is_short(texts, pairs)

    def read(self, texts: Sequence[str], pairs: Sequence[str] | None, max_length: int) -> list[Read]:
        """Token ids of each text, at most ``max_length`` of them, special tokens included."""
        if self._quick is None:
            return self._read_slowly(texts, pairs, max_length)
        if _is_short(texts, pairs):
            return self._of(self._quick.encoded(_asked(texts, pairs), max_length), pairs is not None)
        if pairs is not None and self._pairing is not None:
            firsts, seconds = self._slow.whole(texts), self._slow.whole(pairs)
            return [
                self._pairing.read(*both, max_length, types=self._types) for both in zip(firsts, seconds, strict=True)
            ]
        # Of a pair the longer text is cut first: the length of both matters.
        begun = [_beginning(text, max_length) for text in texts] if self._cuts and pairs is None else texts
        found = self._slow.encoded(_asked(begun, pairs), max_length)
        for at, (part, text) in enumerate(zip(begun, texts, strict=True)):
            if len(part) < len(text) and sum(map(len, found[at].overflowing)) < _SLACK:
                [found[at]] = self._slow.encoded([text], max_length)
        return self._of(found, pairs is not None)

    def _of(self, encodings: Sequence[Any], pair: bool) -> list[Read]:
        typed = pair and self._types
        return [
            Read(
                np.asarray(one.ids, np.int32),
                np.asarray(one.type_ids, np.int8) if typed else None,
                bool(one.overflowing),
            )
            for one in encodings
        ]

    def _read_slowly(self, texts: Sequence[str], pairs: Sequence[str] | None, max_length: int) -> list[Read]:
        with self._lock:
            tokens = encode(self._tokenizer, texts, max_length, pairs=pairs)
        cut = frozenset(tokens.cut.tolist())
        found = []
        for at in range(len(tokens)):
            part = slice(int(tokens.starts[at]), int(tokens.starts[at + 1]))
            types = None if tokens.types is None else tokens.types[part]
            found.append(Read(tokens.ids[part], types, at in cut))
        return found


class _Backend:
    """One tokenizer of the ``tokenizers`` library, with its lock."""

    def __init__(self, described: str, side: str) -> None:
        from tokenizers import Tokenizer

        self._tokenizer: Any = Tokenizer.from_str(described)
        self._tokenizer.no_padding()
        self._side = side
        self._length: int | None = None
        self._lock = threading.Lock()

    def encoded(self, asked: Sequence[Any], max_length: int) -> list[Any]:
        with self._lock:
            if self._length != max_length:
                self._tokenizer.enable_truncation(max_length, strategy="longest_first", direction=self._side)
                self._length = max_length
            # Also of one: ``encode`` would let no other thread of Python run meanwhile.
            found: list[Any] = self._tokenizer.encode_batch(asked)
        return found

    def whole(self, texts: Sequence[str]) -> list[Any]:
        """Of each text all its own tokens."""
        with self._lock:
            self._tokenizer.no_truncation()
            self._length = None
            found: list[Any] = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return found


def _asked(texts: Sequence[str], pairs: Sequence[str] | None) -> list[Any]:
    return list(texts) if pairs is None else list(zip(texts, pairs, strict=True))


def _is_short(texts: Sequence[str], pairs: Sequence[str] | None) -> bool:
    return sum(map(len, texts)) + sum(map(len, pairs or ())) <= QUICK_CHARACTERS


def _beginning(text: str, max_length: int) -> str:
    """What is read of a long text: up to a space, and not ending in one."""
    end = text.find(" ", _CHARACTERS_A_TOKEN * max_length)
    return text if end < 0 else text[:end].rstrip()


def _splits_at_spaces(described: Mapping[str, Any] | None) -> bool:
    return any(
        one.get("type") in _SPLITS_AT_SPACES
        or (one.get("type") == "Metaspace" and one.get("split", False))
        or (one.get("type") == "ByteLevel" and one.get("use_regex", False))
        for one in _parts(described or {})
    )


def _parts(described: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if described.get("type") == "Sequence":
        for one in described.get("pretokenizers", ()):
            yield from _parts(one)
    else:
        yield described


__all__ = ["QUICK_CHARACTERS", "Read", "Reader"]
