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
from dataclasses import dataclass

from finetune30.errors import ModelError
from finetune30.modeling import base as base_model
from finetune30.modeling.base import BaseModel
from finetune30.modeling.device import Compute
from finetune30.modeling.language import languages_of
from finetune30.modeling.opened import OpenAdapter, open_adapter
from finetune30.modeling.shared import Adapter, NotShared, Row, SharedBase
from finetune30.modeling.shared.alone import AloneAdapter
from finetune30.modeling.shared.reading import Read, Reader
from finetune30.modeling.task import Task
from finetune30.serving.catalog import Found
from finetune30.serving.lane import Engine, Lane, Logits

_LOG = logging.getLogger("finetune30.serving")


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
    """

    def __init__(self, compute: Compute, lane: Lane, memory_bytes: int) -> None:
        self.compute = compute
        self.lane = lane
        self.memory_bytes = memory_bytes
        self.loads = 0
        self.evictions = 0
        self._bases: dict[tuple[str, str | None], _Base] = {}
        self._live: OrderedDict[str, Live] = OrderedDict()
        self._pinned: frozenset[str] = frozenset()
        self._lock = threading.Lock()
        self._loading: dict[object, threading.Lock] = {}

    def live(self, found: Found) -> Live:
        """The adapter of a run, loaded and verified if it is not there yet.

        Raises: ModelError with the reason why it is not fit to answer.
        """
        known = self._known(found)
        if known is not None:
            return known
        with self._one_at_a_time(found.experiment_id):
            known = self._known(found)
            if known is not None:
                return known
            began = time.monotonic()
            loaded = self._load(found)
            took_ms, size = 1000 * (time.monotonic() - began), loaded.adapter.nbytes >> 10
            _LOG.info("%s is in memory: %d KiB, loaded in %d ms", found.experiment_id, size, took_ms)
            with self._lock:
                self.loads += 1
                self._live[found.experiment_id] = loaded
                self._make_room(found.experiment_id)
            return loaded

    def ask(self, live: Live, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Asking:
        """Read texts and let them be computed.

        Raises: BadInput for pairs where there should be none, or the reverse; Busy when too much waits.
        """
        live.task.check_texts(texts, pairs)
        read = live.reader.read(texts, pairs, live.found.max_length)
        rows = [Row(one.ids, one.types, live.adapter) for one in read]
        return Asking(live, read, self.lane.ask(live.engine, rows))

    def pin(self, experiment_ids: frozenset[str]) -> None:
        """These are not let go."""
        with self._lock:
            self._pinned = experiment_ids
            self._make_room(None)

    def there(self) -> list[Live]:
        """Those in memory, the most recently used last."""
        with self._lock:
            return list(self._live.values())

    @property
    def nbytes(self) -> int:
        """Memory of the adapters."""
        return sum(one.adapter.nbytes for one in self.there())

    def _known(self, found: Found) -> Live | None:
        with self._lock:
            live = self._live.get(found.experiment_id)
            if live is None:
                return None
            self._live.move_to_end(found.experiment_id)
        return live if live.found == found else Live(**{**live.__dict__, "found": found})

    def _make_room(self, newest: str | None) -> None:
        total = sum(one.adapter.nbytes for one in self._live.values())
        for name in list(self._live):
            if total <= self.memory_bytes:
                return
            if name not in self._pinned and name != newest:
                total -= self._live.pop(name).adapter.nbytes
                self.evictions += 1
                _LOG.info("%s was let go: SERVING_MEMORY_MB", name)

    def _load(self, found: Found) -> Live:
        fault = found.fault()
        if fault is not None:
            raise ModelError(f"its files are not those that were registered: {fault}", where=found.experiment_id)
        base = self._base(found)
        try:
            adapter: Adapter | AloneAdapter = base.engine.load(found.folder)
            engine: Engine = base.engine
        except NotShared:
            adapter = AloneAdapter.of(self._open(found), found.folder)
            engine = adapter
        return Live(found, adapter, engine, base.reader, base.base.source.public_name, base.languages)

    def _open(self, found: Found) -> OpenAdapter:
        return open_adapter(
            found.folder,
            found.base_model,
            found.base_revision,
            max_length=found.max_length,
            device=self.compute.device,
        )

    def _base(self, found: Found) -> _Base:
        key = (found.base_model, found.base_revision)
        with self._one_at_a_time(key):
            if key not in self._bases:
                base = base_model.inspect(*key)
                engine = SharedBase(base, self.compute.device, self.compute.precision)
                self._bases[key] = _Base(base, engine, Reader(base), languages_of(base.source))
        return self._bases[key]

    @contextmanager
    def _one_at_a_time(self, key: object) -> Iterator[None]:
        with self._lock:
            lock = self._loading.setdefault(key, threading.Lock())
        with lock:
            yield


__all__ = ["AdapterHost", "Asking", "Live", "ModelError"]
