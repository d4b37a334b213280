"""Names that move: which adapter ``name@champion``, or the newest run, is at this moment.

All names are looked at when the catalog says that something moved, now and then besides (a run may have been
deleted), or at once when somebody asks for that. Looking one up takes a millisecond of Python that answers wait for,
so only those are looked up whose mark in the catalog is another than before. The new adapter is loaded and verified
while the old one answers; only when it is whole does the name mean the new one. If it is not, the old one goes on and
the reason is kept. Who may ask follows the catalog at once, whatever becomes of the adapter; what the catalog no
longer has is forgotten.
Neighbours: ``catalog`` looks up, ``host`` loads and keeps.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from finetune30.errors import Finetune30Error, Forbidden, ModelError, NotFound, StateError, StorageError
from finetune30.serving.catalog import Catalog, Found
from finetune30.serving.host import AdapterHost, Live

_LOG = logging.getLogger("finetune30.serving")
# Names in use that are kept up to date; those used longest ago are forgotten, and looked up when asked again.
_MOST_NAMES = 10_000
# So often all names are looked up, though nothing the catalog counts has moved.
_AGAIN_S = 10.0
_TRIES = 5


@dataclass(frozen=True)
class Name:
    """What a request asks: an address, or without one the newest successful run.

    Attributes:
        owner: Of the newest run; None for the newest of all.
    """

    address: str | None = None
    owner: str | None = None

    def __str__(self) -> str:
        return self.address or (f"newest of {self.owner}" if self.owner else "newest")


@dataclass(frozen=True)
class Refused:
    """Why a name does not mean what it should: the adapter it was moved to is not fit.

    Attributes:
        experiment_id: That adapter; None where not even that was found.
        owner: Whose it is.
    """

    address: str
    experiment_id: str | None
    code: str
    message: str
    owner: str | None = None


class Following:
    """Keeps names up to date.

    Args:
        default: The address of requests that name none; None follows the newest successful run.
        poll_s: Seconds between two looks at the catalog.
    """

    def __init__(self, catalog: Catalog, host: AdapterHost, default: str | None, poll_s: float) -> None:
        self.catalog = catalog
        self.host = host
        self.default = default
        self.swaps = 0
        self._poll_s = poll_s
        self._names: dict[Name, Found] = {}
        self._marks: dict[Name, object] = {}  # of names that mean what the catalog said at this mark
        self._refused: dict[Name, Refused] = {}
        self._seen: object = None
        self._looked_at = time.monotonic()
        self._writing = threading.Lock()  # held for moments
        self._renewing = threading.Lock()  # held by one who looks everything up, loads included
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="following", daemon=True)

    def start(self) -> None:
        """Look again and again, from a thread."""
        self._thread.start()

    def close(self) -> None:
        """Stop looking."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join()

    def known(self, address: str | None, owner: str | None = None) -> Live | None:
        """What a name means, if it is in use and in memory: no disk, no database.

        Args:
            owner: Whose newest run is meant where neither the request nor the service names an adapter.
        """
        found = self._names.get(self.name(address, owner))
        return None if found is None else self.host.known(found)

    def live(
        self, address: str | None, check: Callable[[Found], None] = lambda _: None, owner: str | None = None
    ) -> Live:
        """What a name means; looked up and loaded where it is not in use yet.

        Args:
            check: Raises if whoever asks may not ask it; then nothing is loaded.
            owner: As in ``known``.
        Raises: NotFound, StateError, StorageError, ModelError.
        """
        name = self.name(address, owner)
        known = self._names.get(name)
        if known is not None:
            check(known)
            live = self.host.known(known)
            if live is not None:
                return live
        found = self.catalog.find(name.address, name.owner)
        for _ in range(_TRIES):
            check(found)
            live = self._loaded(name, found)
            self._mean(name, found)
            mark = self._marks_now([(name, found)]).get(name)
            # Moved while it was loaded? Nobody else would have noticed: the name was not in use yet.
            again = self.catalog.find(name.address, name.owner)
            if again == found:
                self._note(name, found, mark)
                return live
            found = again
        return self._loaded(name, found)

    def refresh(self) -> list[str]:
        """Look at every name in use, load what is new and switch.

        Returns: The names that mean another adapter now.
        Raises: StorageError where something could not be read just now; what could has been switched.
        """
        switched: list[str] = []
        away: StorageError | None = None
        with self._renewing:
            names = dict(self._names)
            marks = self._marks_now(list(names.items()))
            for name in names:
                mark = marks.get(name)
                if mark is not None and self._marks.get(name) == mark:
                    continue
                try:
                    switched += [str(name)] if self._renew(name, mark) else []
                except StorageError as fault:  # of a moment: the others are looked up nevertheless
                    away = fault
        if away is not None:
            raise away
        return switched

    @property
    def refused(self) -> list[Refused]:
        """Names that could not be switched, or be loaded at all, and why."""
        return list(self._refused.values())

    def aliases_of(self, live: Live) -> list[str]:
        """Names in use that mean this adapter now."""
        mine = live.found.experiment_id
        names = [name.address for name, found in list(self._names.items()) if found.experiment_id == mine]
        return sorted(name for name in names if name)

    def name(self, address: str | None, owner: str | None = None) -> Name:
        """What a request asks that names this, or nothing."""
        address = address or self.default
        return Name(address) if address is not None else Name(None, owner)

    def _loaded(self, name: Name, found: Found) -> Live:
        try:
            live = self.host.live(found)
        except Finetune30Error as fault:
            self._refuse(name, found, fault)
            raise
        self._refused.pop(name, None)
        return live

    def _mean(self, name: Name, found: Found, mark: object = None) -> None:
        with self._writing:
            self._drop(name)
            self._names[name] = found
            if mark is not None:
                self._marks[name] = mark
            while len(self._names) > _MOST_NAMES:
                self._drop(next(iter(self._names)))
            self._pin()

    def _note(self, name: Name, found: Found, mark: object) -> None:
        """At this mark the catalog said what the name means: a name that was moved meanwhile is not noted."""
        with self._writing:
            if mark is not None and self._names.get(name) == found:
                self._marks[name] = mark

    def _drop(self, name: Name) -> None:
        self._names.pop(name, None)
        self._marks.pop(name, None)

    def _marks_now(self, names: Sequence[tuple[Name, Found]]) -> dict[Name, object]:
        """Of those with an address: which run is the newest must be asked each time."""
        asked = [(name, name.address, found.folder) for name, found in names if name.address is not None]
        marks = self.catalog.marks([(address, folder) for _, address, folder in asked])
        return {name: mark for (name, _, _), mark in zip(asked, marks, strict=True)}

    def _forget(self, name: Name, fault: Finetune30Error) -> None:
        with self._writing:
            self._drop(name)
            self._refused.pop(name, None)
            self._pin()
        _LOG.info("%s is no longer there: %s", name, fault.code)

    def _refuse(self, name: Name, found: Found, fault: Finetune30Error) -> None:
        refused = Refused(str(name), found.experiment_id, fault.code, fault.message, found.owner)
        if self._refused.get(name) != refused:
            self._refused[name] = refused
            while len(self._refused) > _MOST_NAMES:
                self._refused.pop(next(iter(self._refused)))
            _LOG.error("%s does not answer as %s: %s", found.experiment_id, name, fault.message)

    def _renew(self, name: Name, mark: object) -> bool:
        before = self._names.get(name)
        if before is None:
            return False
        try:
            found = self.catalog.find(name.address, name.owner)
        except (NotFound, Forbidden, StateError) as fault:
            self._forget(name, fault)
            return False
        if found == before:
            self._refused.pop(name, None)
            self._note(name, found, mark)
            return False
        try:
            self._loaded(name, found)
        except ModelError:
            # The adapter goes on; who may ask it is what the catalog says now.
            self._mean(name, replace(before, owner=found.owner, everybodys=found.everybodys))
            return False
        self._mean(name, found, mark)
        if found.key != before.key:
            self.host.hot.let_go(before.key)
        if found.experiment_id == before.experiment_id:
            return False
        self.swaps += 1
        _LOG.info("%s is %s now, it was %s", name, found.experiment_id, before.experiment_id)
        return True

    def _begin(self) -> None:
        """The first run that succeeds after the start answers from then on, before anybody asks."""
        if self.name(None, None) in self._names:
            return
        try:
            live = self.live(None)
        except (NotFound, ModelError):
            return
        _LOG.info("%s answers", live.found.experiment_id)

    def _pin(self) -> None:
        default = self.name(None, None)
        pinned = [found for name, found in self._names.items() if name == default or "@" in (name.address or "")]
        self.host.pin(frozenset(found.key for found in pinned))

    def _run(self) -> None:
        while not self._ending.wait(self._poll_s):
            try:
                moved = self.catalog.moved()
                if moved == self._seen and time.monotonic() - self._looked_at < _AGAIN_S:
                    continue
                self.refresh()
                self._begin()
                # Only when all of it went well: what failed for a moment is tried again at the next look.
                self._seen, self._looked_at = moved, time.monotonic()
            except Finetune30Error as fault:  # the database is away: what answers goes on answering
                _LOG.warning("cannot look for changes: %s", fault.message)
            except Exception:  # noqa: BLE001 - it must go on looking
                _LOG.exception("looking for changes failed")
