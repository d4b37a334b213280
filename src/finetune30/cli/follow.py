"""Following a run's log while it grows: ``runs logs -f``.

Promise: every line of the log is shown once, from the moment there is a file until the run has
ended. Neighbours: ``runs`` calls it, the run itself writes.
"""

from __future__ import annotations

import codecs
import time
from collections.abc import Callable
from pathlib import Path

from finetune30.errors import NotFound
from finetune30.experiments import Experiment, ExperimentStore, Status

_PERIOD_S = 0.4


def follow(
    store: ExperimentStore,
    experiment_id: str,
    log: Path,
    show: Callable[[str], None],
    note: Callable[[str], None],
) -> None:
    """Show ``log`` as it grows until the experiment is terminal or deleted.

    Args:
        show: Takes text as it comes, parts of lines too.
        note: Takes what is not in the log: why nothing comes just now.
    """
    reader = _Reader(log)
    said = None
    while True:
        experiment = _look(store, experiment_id)
        show(reader.more())  # after the look: what was written before the end is shown
        if experiment is None or experiment.status.is_terminal:
            return
        why = _why_silent(experiment)
        if why != said and why is not None:
            note(f"{why}; waiting, Ctrl+C to leave")
        said = why
        time.sleep(_PERIOD_S)


class _Reader:
    """What was added to a file since the last look; the file may not be there yet."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def more(self) -> str:
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                found = file.read()
                self._offset = file.tell()
        except FileNotFoundError:
            return ""
        return self._decoder.decode(found)


def _look(store: ExperimentStore, experiment_id: str) -> Experiment | None:
    try:
        return store.get(experiment_id)
    except NotFound:
        return None


def _why_silent(experiment: Experiment) -> str | None:
    if experiment.paused:
        return (
            f"paused; go on with: finetune30 train --resume {experiment.id} (here), "
            f"or finetune30 jobs resume {experiment.id} (a worker)"
        )
    if experiment.status is Status.PENDING:
        return "not started yet" if experiment.attempt == 0 else "waits for a worker to go on with it"
    if not experiment.lease_live and (experiment.lease_owner or "").startswith("local:"):
        return f"its process is gone; go on with: finetune30 train --resume {experiment.id}"
    if not experiment.lease_live:
        return "its worker fell silent; another one goes on with it"
    return None
