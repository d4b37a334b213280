"""Whether this worker could carry out a job at all, asked before each is taken.

Promise: a worker whose folders cannot be used, or that can start no process, takes nothing while that
lasts, so that it is no black hole for the queue; it says so once, and once that it is over.
Neighbours: ``shop`` asks and tells; ``supervisor`` finds out that no process can be started.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from finetune30.errors import Finetune30Error
from finetune30.experiments import check_results_dir
from finetune30.settings import Settings

_FIRST_S, _LONGEST_S = 1.0, 60.0


class Health:
    """Asked by one thread at a time."""

    def __init__(self, settings: Settings, say: Callable[[str], None]) -> None:
        self._places = (("RESULTS_DIR", settings.results_dir), ("DATA_DIR", settings.data_dir))
        self._say = say
        self._rest_s = _FIRST_S
        self._until = 0.0
        self.ill = False

    def good(self) -> bool:
        """A job may be taken now."""
        trouble = self._trouble()
        if (trouble is not None) is not self.ill:
            self.ill = trouble is not None
            self._say(f"no job is taken: {trouble}; going on when that is over" if trouble else "jobs are taken again")
        return not self.ill and time.monotonic() >= self._until

    def failed(self) -> None:
        """An attempt could not be started here: wait before the next, each time longer."""
        if time.monotonic() < self._until:
            return  # one of several that failed together
        self._until = time.monotonic() + self._rest_s
        self._rest_s = min(self._rest_s * 2, _LONGEST_S)

    def worked(self) -> None:
        """One could."""
        self._rest_s = _FIRST_S

    @property
    def resting(self) -> bool:
        """Nothing is taken for the time being."""
        return self.ill or time.monotonic() < self._until

    def _trouble(self) -> str | None:
        for name, path in self._places:
            try:
                check_results_dir(path, needed_bytes=0)
            except Finetune30Error as fault:
                return f"{name} ({path}): {fault.where or path} {fault.message}"
        return None
