"""Texts as token ids: read once, kept flat, padded when a batch is made.

The ids of all texts lie in one array, which may be a file mapped into memory, so their number
does not decide how much memory a run needs. A file is named by the hash of the tokenizer, the
texts and ``max_length``: the same work is never done twice, and stale ids cannot be met.
Neighbours: ``predict`` and ``training`` make batches of it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from finetune30.durable import put_in_place

# Texts given to the tokenizer at once: its answer takes a hundred bytes a token while it lasts.
_AT_ONCE = 512
# A cache is kept below this, oldest files first out.
_CACHE_BYTES = 2 << 30
_FORMAT = "1"
_DIGEST = b"sha256"


@dataclass(frozen=True)
class Padder:
    """How a tokenizer pads."""

    token: int
    token_type: int
    left: bool

    @classmethod
    def of(cls, tokenizer: Any) -> Padder:
        """The padding of a tokenizer."""
        return cls(int(tokenizer.pad_token_id), int(tokenizer.pad_token_type_id), tokenizer.padding_side == "left")


@dataclass(frozen=True)
class Tokens:
    """Token ids of texts, in the order of the texts, special tokens included.

    Attributes:
        ids: All ids, text after text: shape (tokens,), int32.
        types: Token types beside them, int8; None for the many models that know none but 0.
        starts: Where each text begins in ``ids``, and where the last ends: shape (texts + 1,), int64.
        cut: Positions of the texts that were longer than ``max_length``, ascending.
    """

    ids: NDArray[np.int32]
    types: NDArray[np.int8] | None
    starts: NDArray[np.int64]
    cut: NDArray[np.int64]
    padder: Padder

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def truncated(self) -> int:
        """How many texts were cut."""
        return len(self.cut)

    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each text."""
        lengths: NDArray[np.int64] = np.diff(self.starts)
        return lengths

    def batch(self, rows: Sequence[int]) -> dict[str, Tensor]:
        """Some texts, padded to the longest of them.

        Returns: ``input_ids`` of shape (rows, longest); ``token_type_ids`` if the model wants them;
            ``attention_mask`` only where something is padded.
        """
        lengths = [int(self.starts[row + 1] - self.starts[row]) for row in rows]
        longest = max(lengths)
        ids = np.full((len(rows), longest), self.padder.token, dtype=np.int64)
        types = None if self.types is None else np.full_like(ids, self.padder.token_type)
        mask = np.zeros((len(rows), longest), dtype=np.int64)
        for place, (row, length) in enumerate(zip(rows, lengths, strict=True)):
            there = slice(longest - length, longest) if self.padder.left else slice(0, length)
            source = slice(int(self.starts[row]), int(self.starts[row]) + length)
            ids[place, there] = self.ids[source]
            mask[place, there] = 1
            if types is not None and self.types is not None:
                types[place, there] = self.types[source]
        batch = {"input_ids": torch.from_numpy(ids)}
        if types is not None:
            batch["token_type_ids"] = torch.from_numpy(types)
        if min(lengths) < longest:
            batch["attention_mask"] = torch.from_numpy(mask)
        return batch


def encode(
    tokenizer: Any,
    texts: Sequence[str],
    max_length: int,
    cache: Path | None = None,
    pairs: Sequence[str] | None = None,
) -> Tokens:
    """Token ids of each text, at most ``max_length`` of them.

    Args:
        cache: Folder of token files; None reads the texts afresh and keeps everything in memory.
        pairs: A second text for each, read together with the first in the tokenizer's own way; where both
            are too long for ``max_length``, tokens are cut from the longer of the two.
    """
    padder = Padder.of(tokenizer)
    if cache is None:
        return _read(tokenizer, texts, pairs, max_length, padder)
    path = cache / f"{_key(tokenizer, texts, pairs, max_length)}.arrow"
    with suppress(OSError, pa.ArrowException, LookupError, AttributeError, ValueError):  # none, or not whole
        found = _open(path, padder)
        with suppress(OSError):  # others' files are used as they are
            os.utime(path)
        return found
    tokens = _read(tokenizer, texts, pairs, max_length, padder)
    with suppress(OSError):  # a cache that cannot be written must not stop a run
        _write(tokens, path)
        return _open(path, padder)
    return tokens


def _read(tokenizer: Any, texts: Sequence[str], pairs: Sequence[str] | None, max_length: int, padder: Padder) -> Tokens:
    ids, types, lengths, cut = [], [], [0], []
    for start in range(0, len(texts), _AT_ONCE):
        some = [list(column[start : start + _AT_ONCE]) for column in (texts, pairs) if column is not None]
        read = tokenizer(*some, truncation=True, max_length=max_length, return_attention_mask=False)
        ids.append(np.fromiter(chain.from_iterable(read["input_ids"]), np.int32))
        if "token_type_ids" in read:
            types.append(np.fromiter(chain.from_iterable(read["token_type_ids"]), np.int8))
        rows = [len(row) for row in read["input_ids"]]
        lengths += rows
        # Only a text that fills max_length can have been cut; of these, those that are longer uncut.
        full = [place for place, length in enumerate(rows) if length >= max_length]
        uncut = [[column[i] for i in full] for column in some]
        whole = tokenizer(*uncut, truncation=False, verbose=False)["input_ids"] if full else []
        cut += [start + place for place, row in zip(full, whole, strict=True) if len(row) > max_length]
    flat = np.concatenate(ids) if ids else np.zeros(0, np.int32)
    flat_types = np.concatenate(types) if types else np.zeros(0, np.int8)
    return Tokens(
        flat,
        flat_types if flat_types.any() else None,
        np.cumsum(lengths, dtype=np.int64),
        np.asarray(cut, dtype=np.int64),
        padder,
    )


def _key(tokenizer: Any, texts: Sequence[str], pairs: Sequence[str] | None, max_length: int) -> str:
    digest = hashlib.sha256(f"{_FORMAT} {max_length} {'' if pairs is None else 'pairs '}".encode())
    for part in _description(tokenizer):
        digest.update(part.encode())
    for text in texts if pairs is None else chain.from_iterable(zip(texts, pairs, strict=True)):
        encoded = text.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
    return digest.hexdigest()


def _description(tokenizer: Any) -> Iterator[str]:
    """All that decides what ids a text gets."""
    import tokenizers
    import transformers

    yield f"{transformers.__version__} {tokenizers.__version__} {type(tokenizer).__qualname__}"
    yield f"{tokenizer.truncation_side} {tokenizer.padding_side} {tokenizer.model_input_names}"
    # Some behaviour (split_special_tokens) is Python's alone; where the files lie is not behaviour.
    settings = {k: v for k, v in tokenizer.init_kwargs.items() if "file" not in k and "path" not in k}
    yield repr(sorted(settings.items())) + repr(getattr(tokenizer, "split_special_tokens", None))
    fast = getattr(tokenizer, "backend_tokenizer", None)
    if fast is None:
        yield repr(sorted(tokenizer.get_vocab().items()))
        return
    # How the last call cut and padded is in there as well, and says nothing of the next.
    values = json.loads(fast.to_str())
    yield json.dumps({key: value for key, value in values.items() if key not in ("truncation", "padding")})


def _write(tokens: Tokens, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    columns: dict[str, NDArray[Any]] = {"ids": tokens.ids, "starts": tokens.starts, "cut": tokens.cut}
    if tokens.types is not None:
        columns["types"] = tokens.types
    # One row whose columns are lists: each column is one buffer of the file, mapped as it is.
    lists = {name: pa.array([v], pa.large_list(pa.from_numpy_dtype(v.dtype))) for name, v in columns.items()}
    table = pa.table(lists).replace_schema_metadata({_DIGEST: _digest(columns)})
    staging = path.with_name(f".staging-{os.getpid()}-{path.name}")
    try:
        with pa.OSFile(str(staging), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
        put_in_place(staging, path)
    finally:
        staging.unlink(missing_ok=True)
    _make_room(path.parent)


def _open(path: Path, padder: Padder) -> Tokens:
    table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    columns = {name: table.column(name).chunk(0).values.to_numpy(zero_copy_only=True) for name in table.schema.names}
    if (table.schema.metadata or {}).get(_DIGEST) != _digest(columns):
        raise ValueError("the file is not as it was written")
    return Tokens(columns["ids"], columns.get("types"), columns["starts"], columns["cut"], padder)


def _digest(columns: dict[str, NDArray[Any]]) -> bytes:
    digest = hashlib.sha256()
    for name in sorted(columns):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(columns[name]).data)
    return digest.hexdigest().encode()


def _make_room(cache: Path) -> None:
    """Forget what was not used for longest, until the cache is small enough."""
    files = sorted(cache.glob("*.arrow"), key=lambda file: file.stat().st_mtime, reverse=True)
    total = 0
    for file in files:
        total += file.stat().st_size
        if total > _CACHE_BYTES:
            file.unlink(missing_ok=True)
