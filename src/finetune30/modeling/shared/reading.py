"""Texts of requests as token ids: one tokenizer for all adapters of a base, safe in many threads.

transformers' tokenizer keeps how the last call cut texts, so two threads disturb each other. Here the
backend is asked under a lock, each time with the adapter's own ``max_length``.
Neighbours: ``tokens`` reads whole datasets, and gives the same ids.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finetune30.modeling.base import BaseModel
from finetune30.modeling.tokens import encode


@dataclass(frozen=True)
class Read:
    """One text, or pair of texts, as the model takes it."""

    ids: NDArray[np.int32]
    types: NDArray[np.int8] | None
    truncated: bool


class Reader:
    """Reads texts for the adapters of one base."""

    def __init__(self, base: BaseModel) -> None:
        self._tokenizer = base.tokenizer
        self._lock = threading.Lock()
        self._backend: Any = None
        self._types = "token_type_ids" in self._tokenizer.model_input_names
        self._side = self._tokenizer.truncation_side
        self._length: int | None = None
        backend = getattr(self._tokenizer, "backend_tokenizer", None)
        # What Python adds to the backend we do not know how to repeat.
        if backend is not None and not getattr(self._tokenizer, "split_special_tokens", False):
            from tokenizers import Tokenizer

            self._backend = Tokenizer.from_str(backend.to_str())
            self._backend.no_padding()

    def read(self, texts: Sequence[str], pairs: Sequence[str] | None, max_length: int) -> list[Read]:
        """Token ids of each text, at most ``max_length`` of them, special tokens included."""
        if self._backend is None:
            return self._read_slowly(texts, pairs, max_length)
        asked = list(texts) if pairs is None else list(zip(texts, pairs, strict=True))
        with self._lock:
            if self._length != max_length:
                self._backend.enable_truncation(max_length, strategy="longest_first", direction=self._side)
                self._length = max_length
            if len(asked) == 1:
                found = [self._backend.encode(*asked) if pairs is None else self._backend.encode(*asked[0])]
            else:
                found = self._backend.encode_batch(asked)
        return [self._of(one, pairs is not None) for one in found]

    def _of(self, encoding: Any, pair: bool) -> Read:
        types = np.asarray(encoding.type_ids, np.int8) if pair and self._types else None
        return Read(np.asarray(encoding.ids, np.int32), types, bool(encoding.overflowing))

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
