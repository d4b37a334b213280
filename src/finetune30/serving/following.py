"""Names that move: which adapter ``name@champion``, or the newest run, is at this moment.

A name is looked up again when the catalog says that something moved, at most so often a second, or at once
when somebody asks for it. The new adapter is loaded and verified while the old one answers; only when it is
whole does the name mean the new one. If it is not, the old one goes on and the reason is kept.
Neighbours: ``catalog`` looks up, ``host`` loads.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from finetune30.errors import Finetune30Error, ModelError, NotFound
from finetune30.serving.catalog import Catalog, Found
from finetune30.serving.host import AdapterHost, Live

_LOG = logging.getLogger("finetune30.serving")
# Names in use that are kept up to date; more are looked up at each request.
_MOST_NAMES = 10_000


@dataclass(frozen=True)
class Refused:
    """Why a name does not mean what it should: the adapter it was moved to is not fit.

    Attributes:
        experiment_id: That adapter; None where not even that was found.
    """

    address: str
    experiment_id: str | None
    code: str
    message: str


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
        self._names: dict[str | None, Live] = {}
        self._refused: dict[str | None, Refused] = {}
        self._seen: object = None
        self._changing = threading.Lock()
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

    def known(self, address: str | None) -> Live | None:
        """What a name means, if it is in use already: no disk, no database."""
        return self._names.get(address or self.default)

    def live(self, address: str | None, check: Callable[[Found], None] = lambda _: None) -> Live:
        """What a name means; looked up and loaded where it is not in use yet.

        Args:
            check: Raises if whoever asks may not ask it; then nothing is loaded.
        Raises: NotFound, StateError, StorageError, ModelError.
        """
        name = address or self.default
        known = self._names.get(name)
        if known is not None:
            check(known.found)
            return known
        found = self.catalog.find(name)
        check(found)
        live = self.host.live(found)
        with self._changing:
            if len(self._names) < _MOST_NAMES:
                self._names[name] = live
                self._pin()
        return live

    def refresh(self) -> list[str]:
        """Look up every name in use, load what is new and switch.

        Returns: The names that mean another adapter now.
        """
        with self._changing:
            return [str(name or "newest") for name in list(self._names) if self._renew(name)]

    @property
    def refused(self) -> list[Refused]:
        """Names that could not be switched, and why."""
        return list(self._refused.values())

    def _renew(self, name: str | None) -> bool:
        before = self._names[name]
        experiment_id: str | None = None
        try:
            found = self.catalog.find(name)
            experiment_id = found.experiment_id
            if found == before.found:
                self._refused.pop(name, None)
                return False
            live = self.host.live(found)
        except Finetune30Error as fault:
            refused = Refused(str(name or "newest"), experiment_id, fault.code, fault.message)
            if self._refused.get(name) != refused:
                self._refused[name] = refused
                _LOG.error("%s stays %s: %s", refused.address, before.found.experiment_id, fault.message)
            return False
        self._refused.pop(name, None)
        self._names[name] = live
        self._pin()
        if live.found.experiment_id == before.found.experiment_id:
            return False
        self.swaps += 1
        _LOG.info("%s is %s now, it was %s", name or "newest", found.experiment_id, before.found.experiment_id)
        return True

    def _begin(self) -> None:
        """The first run that succeeds after the start answers from then on, before anybody asks."""
        if self.default in self._names:
            return
        try:
            live = self.live(None)
        except NotFound:
            return
        except ModelError as fault:
            _LOG.error("the newest run cannot answer: %s", fault.message)
            return
        _LOG.info("%s answers", live.found.experiment_id)

    def _pin(self) -> None:
        pinned = {self.default, *(name for name in self._names if name and "@" in name)}
        self.host.pin(frozenset(live.found.experiment_id for name, live in self._names.items() if name in pinned))

    def _run(self) -> None:
        while not self._ending.wait(self._poll_s):
            try:
                moved = self.catalog.moved()
                if moved != self._seen:
                    self.refresh()
                    self._begin()
                    self._seen = moved
            except Finetune30Error as fault:  # the database is away: what answers goes on answering
                _LOG.warning("cannot look for changes: %s", fault.message)
            except Exception:  # noqa: BLE001 - it must go on looking
                _LOG.exception("looking for changes failed")
