"""The adapter that nearly everybody asks: merged into a copy of the base's layers, and computed without thin products.

Who that is shows in the rows that are asked for. The copy is built and tried beside the lane, one at a time; rows are
computed on it only if every answer it gave in the trial is the one the shared base gives: the same labels, no
probability moved by more than a hundredth. Else all goes on as before, and ``why`` says what was found. The copy is of
one adapter in memory: when its name comes to mean another, or it is let go, nothing is computed on the copy any more.
Neighbours: ``host`` tells what is asked and how much memory there is; ``trial`` is what a copy is tried on;
``modeling.shared.merging`` builds it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, WeakSet, finalize

from finetune30.modeling.process import give_back, one_thread
from finetune30.modeling.shared import Adapter, NotShared, SharedBase
from finetune30.modeling.shared.merging import Merged
from finetune30.modeling.shared.reading import Read
from finetune30.serving.lane import Lane
from finetune30.serving.trial import Differs, Trial

if TYPE_CHECKING:
    from finetune30.serving.host import Live

_LOG = logging.getLogger("finetune30.serving")
# So many rows of one adapter are asked for before it is worth a copy; each of another one counts as so many.
_WORTH, _OTHERS = 128, 9
# What a copy has to its credit at most, and how much is asked for before the next when one was of little use.
_CREDIT, _MOST_WORTH = 1_024, 16_384
_KEPT = 64
# After the last batch on a copy its memory is given back, when it is surely free.
_FREE_S = 1.0


class _Ended(Exception):
    """The service ends, or the adapter was let go, or is no longer the one that is asked most."""


class _NoRoom(Exception):
    """For the copy, just now."""


@dataclass(frozen=True)
class _Copy:
    live: Live
    merged: Merged


class Hot:
    """Watches what is asked for, and keeps at most one copy.

    Args:
        on: Else none is ever made.
        room: Bytes that a copy may take just now.
        there: An adapter as it is in memory, whatever a request changed of it; None if it no longer is.
    """

    def __init__(self, lane: Lane, room: Callable[[], int], there: Callable[[Live], Live | None], *, on: bool) -> None:
        self._lane = lane
        self._room = room
        self._there = there
        self.on = on
        self._lock = threading.Lock()  # held for moments; nobody else's is taken inside
        self._wanted: Adapter | None = None
        self._key: tuple[str, str] | None = None
        self._credit = 0
        self._worth = _WORTH
        self._turn = 0  # a build of an earlier one is overtaken
        self._read: deque[Read] = deque(maxlen=_KEPT)
        self._copy: _Copy | None = None
        self._building: threading.Thread | None = None
        self._ended = False
        self._whys: WeakKeyDictionary[Adapter, str] = WeakKeyDictionary()
        self._refused: WeakSet[Adapter] = WeakSet()

    def seen(self, live: Live, read: Sequence[Read]) -> None:
        """Rows that are asked for."""
        adapter = live.adapter
        if not self.on or not isinstance(adapter, Adapter) or not isinstance(live.engine, SharedBase):
            return
        with self._lock:
            if adapter is self._wanted:
                self._credit = min(self._credit + len(read), max(_CREDIT, self._worth))
            elif self._credit > _OTHERS * len(read):
                self._credit -= _OTHERS * len(read)
                return
            else:
                # Where adapters take turns at being hot, building costs more than it gives.
                if self._let_go() or (self._wanted is not None and self._busy):
                    self._worth = min(2 * self._worth, _MOST_WORTH)
                self._wanted, self._key, self._credit = adapter, live.found.key, len(read)
                self._turn += 1
                self._read.clear()
            self._read.extend(read[-_KEPT:])
            if self._credit < self._worth or self._busy or self._is_merged(adapter) or adapter in self._refused:
                return
            recent = list(self._read)
            given = live, recent, self._turn
            self._building = threading.Thread(target=self._build, args=given, name="merging", daemon=True)
            self._building.start()

    @property
    def nbytes(self) -> int:
        """Memory of the copy."""
        copy = self._copy
        return 0 if copy is None else copy.merged.nbytes

    @property
    def live(self) -> Live | None:
        """Whose copy there is."""
        copy = self._copy
        return None if copy is None else copy.live

    def why(self, live: Live) -> str | None:
        """Why there is no copy of an adapter that was worth one; None where there is one, or none was tried."""
        if not self.on:
            return "SERVING_MERGE is off"
        return self._whys.get(live.adapter) if isinstance(live.adapter, Adapter) else None

    def let_go(self, key: tuple[str, str] | None = None) -> None:
        """Compute nothing on the copy from now on, and finish none that is being built.

        Args:
            key: Only if it is of this adapter; see ``Found``.
        """
        with self._lock:
            if key in (None, self._key):
                self._let_go()
                self._wanted, self._credit = None, 0
                self._turn += 1

    def close(self) -> None:
        """Build nothing any more, and wait for what is being built."""
        with self._lock:
            self._ended = True
            building = self._building
            self._let_go()
        if building is not None:
            building.join()

    @property
    def _busy(self) -> bool:
        return self._ended or (self._building is not None and self._building.is_alive())

    def _is_merged(self, adapter: Adapter) -> bool:
        return self._copy is not None and self._copy.merged.adapter is adapter

    def _let_go(self) -> bool:
        copy, self._copy = self._copy, None
        if copy is None:
            return False
        _engine(copy.live).hot = None
        self._wanted, self._credit = None, 0
        _LOG.info("%s is no longer merged", copy.live.found.experiment_id)
        return True

    def _build(self, live: Live, recent: Sequence[Read], turn: int) -> None:
        try:
            self._built(live, recent, turn)
        finally:
            give_back()

    def _built(self, live: Live, recent: Sequence[Read], turn: int) -> None:
        began = time.monotonic()
        try:
            merged, trial = self._tried(self._there(live), recent, turn)
            self._check_room(merged)  # adapters may have come meanwhile
            finalize(merged, _give_back_soon).atexit = False
            with self._lock:
                if self._is_over(turn) or self._there(live) is None:
                    raise _Ended
                self._copy = _Copy(live, merged)
                self._credit = _CREDIT
                _engine(live).hot = merged
        except _Ended:
            return
        except (Differs, NotShared) as fault:
            self._whys[_adapter(live)] = str(fault)
            self._refused.add(_adapter(live))
            _LOG.warning("%s is not merged: %s", live.found.experiment_id, fault)
        except _NoRoom as fault:
            self._later(live, str(fault))
            _LOG.warning("%s is not merged: %s", live.found.experiment_id, fault)
        except Exception as fault:  # noqa: BLE001 - the shared base answers as before
            self._later(live, f"it could not be built: {type(fault).__name__}")
            _LOG.exception("%s is not merged", live.found.experiment_id)
        else:
            self._whys.pop(_adapter(live), None)
            took_ms = 1000 * (time.monotonic() - began)
            told = live.found.experiment_id, merged.nbytes >> 20, trial.told, took_ms
            _LOG.info("%s is merged: %d MiB, the same answers to %s, in %d ms", *told)

    def _later(self, live: Live, why: str) -> None:
        """It may be tried again, after more rows than this time."""
        self._whys[_adapter(live)] = why
        with self._lock:
            self._credit, self._worth = 0, min(2 * self._worth, _MOST_WORTH)

    def _tried(self, live: Live | None, recent: Sequence[Read], turn: int) -> tuple[Merged, Trial]:
        if live is None:
            raise _Ended
        adapter, engine = _adapter(live), _engine(live)
        with one_thread():
            merged = engine.merge(adapter)
        self._check_room(merged)
        trial = Trial.of(live, recent, self._lane, lambda: self._check(turn))
        return trial.passed(merged), trial

    def _check_room(self, merged: Merged) -> None:
        if merged.nbytes > self._room():
            raise _NoRoom("there is no room for a copy of the layers: SERVING_MEMORY_MB")

    def _check(self, turn: int) -> None:
        if self._is_over(turn):
            raise _Ended

    def _is_over(self, turn: int) -> bool:
        return self._ended or self._turn != turn


def _give_back_soon() -> None:
    """Not now: the copy is about to be freed, by whoever held it last."""
    soon = threading.Timer(_FREE_S, give_back)
    soon.daemon = True
    with suppress(RuntimeError):  # the process ends
        soon.start()


def _adapter(live: Live) -> Adapter:
    assert isinstance(live.adapter, Adapter)  # noqa: S101 - ``seen`` has looked
    return live.adapter


def _engine(live: Live) -> SharedBase:
    assert isinstance(live.engine, SharedBase)  # noqa: S101 - ``seen`` has looked
    return live.engine
