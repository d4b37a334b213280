"""Base models and adapters in memory, loaded on first use, the least recently used let go.

An adapter in memory is never changed. A request holds the one it began with, so loading, switching and
letting go disturb no answer; what is switched is which adapter a name means (``following``). Loading and
verifying happen in the caller's thread, beside the lane.
Neighbours: ``catalog`` says what an address means, ``lane`` computes, ``modeling.shared`` holds the tensors.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from finetune30.errors import Finetune30Error, ModelError, StorageError
from finetune30.modeling import base as base_model
from finetune30.modeling.base import BaseModel
from finetune30.modeling.device import Compute
from finetune30.modeling.language import languages_of
from finetune30.modeling.memory import is_out_of_memory
from finetune30.modeling.opened import OpenAdapter, open_adapter
from finetune30.modeling.process import give_back, one_thread
from finetune30.modeling.shared import Adapter, NotShared, Row, SharedBase
from finetune30.modeling.shared.alone import AloneAdapter
from finetune30.modeling.shared.reading import Read, Reader
from finetune30.modeling.task import Task
from finetune30.serving.catalog import Found
from finetune30.serving.hot import Hot
from finetune30.serving.lane import Engine, Lane, Logits
from finetune30.serving.probes import PROBES, PROBES_TOKENS

_LOG = logging.getLogger("finetune30.serving")
# Rows of a trial that are computed at once: in float32 half of what a batch of requests takes.
_PROBED_AT_ONCE = 6


@dataclass(frozen=True)
class Live:
    """An adapter that answers.

    Attributes:
        found: What it is: run, model and version, owner.
        languages: ISO codes of those its base knows; None where that is unknown, or all of them.
    """

    found: Found
    adapter: Adapter | AloneAdapter
    engine: Engine
    reader: Reader
    base_model: str
    languages: frozenset[str] | None

    @property
    def task(self) -> Task:
        """What it is asked."""
        return self.adapter.task

    @property
    def sha256(self) -> str:
        """Of all its files, or of its weights where it was never sealed: two adapters with this are one."""
        return self.found.sha256 or self.adapter.sha256


@dataclass(frozen=True)
class Asking:
    """A question to an adapter, read; its answer is on the way."""

    live: Live
    read: Sequence[Read]
    future: Future[Logits]


@dataclass
class _Base:
    base: BaseModel
    engine: SharedBase
    reader: Reader
    languages: frozenset[str] | None


class AdapterHost:
    """Everything that is in memory.

    Args:
        memory_bytes: Adapters beyond this are let go, those used longest ago first; the bases are not counted.
        merges: The adapter that nearly everybody asks is computed on a copy of its base, see ``hot``.
    """

    def __init__(self, compute: Compute, lane: Lane, memory_bytes: int, *, merges: bool = False) -> None:
        self.compute = compute
        self.lane = lane
        self.memory_bytes = memory_bytes
        self.loads = 0
        self.evictions = 0
        self.hot = Hot(lane, self._room, self._there, on=merges)
        self._bases: dict[tuple[str, str | None], list[_Base]] = {}
        self._live: OrderedDict[tuple[str, str], Live] = OrderedDict()
        self._pinned: frozenset[tuple[str, str]] = frozenset()
        self._lock = threading.Lock()
        self._loading: dict[object, threading.Lock] = {}
        self._verifying = threading.Lock()

    def live(self, found: Found) -> Live:
        """The adapter of a run, loaded and verified if it is not there yet.

        Raises: ModelError with the reason why it is not fit to answer.
        """
        known = self.known(found)
        if known is not None:
            return known
        with self._one_at_a_time(found.key):
            known = self.known(found)
            if known is not None:
                return known
            began = time.monotonic()
            loaded = self._load(found)
            took_ms, size = 1000 * (time.monotonic() - began), loaded.adapter.nbytes >> 10
            _LOG.info("%s is in memory: %d KiB, loaded in %d ms", found.experiment_id, size, took_ms)
            with self._lock:
                self.loads += 1
                self._live[found.key] = loaded
            self._make_room(found.key)
            give_back()
            return loaded

    def ask(
        self, live: Live, texts: Sequence[str], pairs: Sequence[str] | None = None, *, here: bool = False
    ) -> Asking:
        """Read texts and let them be computed.

        Args:
            here: See ``Lane.ask``.
        Raises: BadInput for pairs where there should be none, or the reverse; Busy when too much waits.
        """
        live.task.check_texts(texts, pairs)
        read = live.reader.read(texts, pairs, live.found.max_length)
        rows = [Row(one.ids, one.types, live.adapter) for one in read]
        self.hot.seen(live, read)
        return Asking(live, read, self.lane.ask(live.engine, rows, here=here and self.compute.device == "cpu"))

    def pin(self, keys: frozenset[tuple[str, str]]) -> None:
        """These are not let go."""
        with self._lock:
            self._pinned = keys
        self._make_room(None)

    def close(self) -> None:
        """Let nothing be computed any more, but for what waits."""
        self.hot.close()
        self.lane.close()

    def there(self) -> list[Live]:
        """Those in memory, the most recently used last."""
        with self._lock:
            return list(self._live.values())

    @property
    def nbytes(self) -> int:
        """Memory of the adapters, of a copy of the base for one of them, and of passes that are replayed."""
        graphs = sum(one.graph_bytes for one in self._engines)
        return sum(one.adapter.nbytes for one in self.there()) + self.hot.nbytes + graphs

    @property
    def merged_rows(self) -> int:
        """Rows that were computed on a merged copy."""
        return sum(one.merged_rows for one in self._engines)

    @property
    def _engines(self) -> list[SharedBase]:
        return [one.engine for some in list(self._bases.values()) for one in some]

    def known(self, found: Found) -> Live | None:
        """The adapter, if it is in memory; it counts as used."""
        with self._lock:
            live = self._live.get(found.key)
            if live is None:
                return None
            self._live.move_to_end(found.key)
        return live if live.found == found else replace(live, found=found)

    def _make_room(self, newest: tuple[str, str] | None) -> None:
        if self.nbytes > self.memory_bytes:
            self.hot.let_go()  # adapters are needed, the copy is a gain
        gone = []
        with self._lock:
            total = sum(one.adapter.nbytes for one in self._live.values())
            for key in list(self._live):
                if total <= self.memory_bytes:
                    break
                if key not in self._pinned and key != newest:
                    total -= self._live.pop(key).adapter.nbytes
                    self.evictions += 1
                    gone.append(key)
                    _LOG.info("%s was let go: SERVING_MEMORY_MB", key[0])
        for key in gone:
            self.hot.let_go(key)

    def _room(self) -> int:
        return self.memory_bytes - self.nbytes

    def _there(self, live: Live) -> Live | None:
        found = self._live.get(live.found.key)
        return found if found is not None and found.adapter is live.adapter else None

    def _load(self, found: Found) -> Live:
        try:
            return self._loaded(found)
        except Finetune30Error:
            raise
        except (MemoryError, OSError) as cause:
            raise StorageError(f"it cannot be loaded just now: {type(cause).__name__}") from cause
        except Exception as cause:
            if is_out_of_memory(cause):
                raise StorageError("there is no memory left for it just now") from cause
            # What the libraries below raise for files that were made to do harm is no fault of the service.
            _LOG.exception("an adapter could not be loaded")
            raise ModelError(f"it cannot be loaded: {type(cause).__name__}", where=found.experiment_id) from cause

    def _loaded(self, found: Found) -> Live:
        fault = found.fault()
        if fault is not None:
            raise ModelError(f"its files are not those that were registered: {fault}", where=found.experiment_id)
        base = self._base(found)
        try:
            shared = self._verified(base.engine, found)
            adapter: Adapter | AloneAdapter = self._tried(base, shared)
            engine: Engine = base.engine
        except NotShared:
            adapter = AloneAdapter.of(self._open(found), found.folder)
            engine = adapter
        return Live(found, adapter, engine, base.reader, base.base.source.public_name, base.languages)

    def _verified(self, engine: SharedBase, found: Found) -> Adapter:
        """One after the other, on one core: it is Python nearly all, and answers need Python as well."""
        with self._verifying, one_thread():
            return engine.load(found.folder)

    def _tried(self, base: _Base, adapter: Adapter) -> Adapter:
        """The adapter after some texts that were computed in every number format, in the lane.

        Raises: ModelError where a number is no number.
        """
        rows = [Row(one.ids, one.types, adapter) for one in base.reader.read(PROBES, _pairs(adapter), PROBES_TOKENS)]
        exact = self._computed(base.engine.exact, rows)
        if not all(np.isfinite(row).all() for row in exact):
            raise ModelError("its answers are no numbers", hint="the training diverged")
        if base.engine.precision == "float32":
            return adapter
        return adapter.measured(self._computed(base.engine.fast, rows), exact)

    def _computed(self, engine: Engine, rows: Sequence[Row]) -> Logits:
        """A few rows at a time: what was asked meanwhile has its turn in between."""
        found: Logits = []
        for at in range(0, len(rows), _PROBED_AT_ONCE):
            found += self.lane.ask(engine, rows[at : at + _PROBED_AT_ONCE], bounded=False).result()
        return found

    def _open(self, found: Found) -> OpenAdapter:
        return open_adapter(
            found.folder,
            found.base_model,
            found.base_revision,
            max_length=found.max_length,
            device=self.compute.device,
        )

    def _base(self, found: Found) -> _Base:
        """The base the adapter was trained on: a folder's weights may change, and then there are two.

        Raises: ModelError if it is no longer there.
        """
        key = (found.base_model, found.base_revision)
        with self._one_at_a_time(key):
            bases = self._bases.setdefault(key, [])
            for one in reversed(bases):
                if found.base_sha256 in (None, one.base.weights_sha256):
                    return one
            base = base_model.inspect(*key)
            if found.base_sha256 not in (None, base.weights_sha256):
                raise ModelError(
                    "the base model has other weights than when it was trained on", where=base.source.public_name
                )
            engine = SharedBase(base, self.compute.device, self.compute.precision)
            bases.append(_Base(base, engine, Reader(base), languages_of(base.source)))
            return bases[-1]

    @contextmanager
    def _one_at_a_time(self, key: object) -> Iterator[None]:
        with self._lock:
            lock = self._loading.setdefault(key, threading.Lock())
        with lock:
            yield


def _pairs(adapter: Adapter) -> Sequence[str] | None:
    return PROBES[::-1] if adapter.task.text_pair else None
