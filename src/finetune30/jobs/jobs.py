"""Jobs as their owners see them: submit, look where they stand, pause, cancel, run again.

Promises: a submission is durable before anybody is told of it, and is told of even when the broker is
down; one idempotency key makes one job; an ended job is never changed, running it again makes a new row.
Neighbours: ``experiments.queue`` keeps the rows, ``names`` makes what they say last, ``bell`` wakes workers,
``place`` estimates. No torch, no pipeline here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from typing import Any

from finetune30.config import ExperimentConfig, from_mapping
from finetune30.errors import BadInput, DiskFull, IdempotencyConflict, StateError, StorageError
from finetune30.experiments import (
    Experiment,
    ExperimentStore,
    Overview,
    Queue,
    Standing,
    Status,
    Wish,
    open_both,
    with_checkpoints,
)
from finetune30.jobs.bell import Bell, open_bell
from finetune30.jobs.names import lasting
from finetune30.jobs.place import Place, starts_in
from finetune30.settings import Settings

# Recent runs by which the length of the next ones is judged.
_RECENT = 20
# Places are found one by one, of more jobs all in a line.
_FEW = 4
_PRIORITIES = range(-100, 101)
_KEY_LENGTH = 200
# Below it an attempt would be ended while it still reads its model.
_LEAST_RUNTIME_S = 10.0


class Jobs:
    """The queue behind one counter. The database is opened by the first thing that needs it.

    Args:
        create: Make results folder and database where they are missing; without it, what is not there
            reads as an empty queue.
        bell: None rings the one that the settings ask for.
    """

    def __init__(self, settings: Settings, *, create: bool = True, bell: Bell | None = None) -> None:
        self.settings = settings
        self._create = create
        self._bell = bell

    @property
    def store(self) -> ExperimentStore:
        """The rows, of all runs and jobs."""
        return self._both[0]

    @property
    def queue(self) -> Queue:
        """What waits."""
        return self._both[1]

    @cached_property
    def _both(self) -> tuple[ExperimentStore, Queue]:
        return open_both(self.settings, create=self._create)

    def close(self) -> None:
        """Give all connections back."""
        if "_both" in vars(self):
            self.store.close()

    def submit(self, config: ExperimentConfig, owner: str, wish: Wish | None = None) -> Experiment:
        """A job that will run, committed; the same one again for the same idempotency key.

        Args:
            wish: Its ``devices`` are told by the configuration; None goes to the first of ``QUEUES``.
        Raises: BadInput for what can be seen to be wrong now (DataError, ModelError, a queue nobody knows);
            QuotaExceeded, IdempotencyConflict. Nothing was made then.
        """
        wish = self._granted(config, wish or Wish(queue=self.settings.queues[0]))
        return self._submit(lasting(config, self.settings), owner, wish)

    def retry(
        self,
        experiment_id: str,
        owner: str,
        *,
        fresh: bool = False,
        queue: str | None = None,
        priority: int | None = None,
        max_runtime_s: float | None = None,
    ) -> Experiment:
        """Run an ended job again, as a new one: a failed or cancelled one from its checkpoints on.

        Where it has none, from those it was to go on from itself; where there are none either, the new
        one begins at step 0 and does not say that it ``continues``.

        Args:
            fresh: From the beginning all the same. One that succeeded always begins anew.
            queue, priority, max_runtime_s: What it asks for now; None asks for what it asked before.
        Raises: StateError if it has not ended, or another job already goes on from it; else as ``submit``.
        """
        before = self.store.get(experiment_id)
        if not before.status.is_terminal:
            raise _not_ended(before)
        config = from_mapping(before.config, where=f"the configuration of {before.id}")
        wants_on = before.status is not Status.SUCCESS and not fresh
        source = with_checkpoints(self.store, before, self.settings.results_dir) if wants_on else None
        followers = self._followers(before, source)
        newest = followers[0].id if followers else "none"
        if wants_on:
            _refuse_a_second(before, followers)
        known = self.settings.queues
        wish = Wish(
            queue=queue if queue is not None else before.queue if before.queue in known else known[0],
            priority=before.priority if priority is None else priority,
            max_runtime_s=before.max_runtime_s if max_runtime_s is None else max_runtime_s,
            # Two who ask at the same moment saw the same newest follower, and get the same job.
            idempotency_key=f"retry {before.id} {'on' if wants_on else 'anew'} after {newest}",
            resumed_from=(source or before).id,
            continues=source is not None,
            dataset_hash=source.dataset_hash if source else None,
        )
        wish = self._granted(config, wish)
        try:
            return self._submit(lasting(config, self.settings), owner, wish)
        except IdempotencyConflict:  # somebody asked for something else at this moment
            _refuse_a_second(before, self._followers(before, source))
            raise

    def cancel(self, experiment_id: str) -> Experiment:
        """Stop a job: at once if nobody runs it, else at its next heartbeat.

        Raises: StateError if it has ended; NotFound.
        """
        return self.store.cancel(experiment_id)

    def pause(self, experiment_id: str) -> Experiment:
        """Let a job wait until it is resumed; a running one stops at a checkpoint first.

        Raises: StateError if it has ended; NotFound.
        """
        return self.queue.pause(experiment_id)

    def resume(self, experiment_id: str) -> Experiment:
        """Let a paused job wait for a worker again.

        Raises: StateError if it has ended; NotFound.
        """
        found = self.queue.resume(experiment_id)
        if found.status is Status.PENDING:
            self._ring(found)
        return found

    def waiting(self) -> list[Standing]:
        """The jobs that wait for a worker, in the order they would start now: those that may not yet come last."""
        return self.queue.line()

    def place(self, experiment_id: str) -> Place | None:
        """Where a job stands in its queue; None where it does not wait.

        Raises: NotFound.
        """
        found = self.queue.standing(experiment_id)
        if found is None:
            self.store.get(experiment_id)
            return None
        return self._estimated([found])[found.id]

    def places(self, ids: Sequence[str] | None = None) -> dict[str, Place]:
        """The place of every job that waits, or of those of ``ids`` that do, by id."""
        if ids is not None and len(ids) <= _FEW:
            return self._estimated([one for one in map(self.queue.standing, ids) if one is not None])
        wanted = None if ids is None else set(ids)
        return self._estimated([one for one in self.queue.line() if wanted is None or one.id in wanted])

    def _estimated(self, jobs: Sequence[Standing]) -> dict[str, Place]:
        if not jobs:
            return {}
        usual_s, running, workers = self._usual_s(), self.queue.running(), self.queue.workers()
        found: dict[str, Place] = {}
        for name in {one.queue for one in jobs}:
            offers = [one.slots for one in workers if one.alive and name in one.queues]
            left = [_left_s(progress) for queue, progress in running if queue == name]
            for one in jobs:
                if one.queue != name:
                    continue
                too_large = bool(offers) and one.devices > max(offers)
                starts = None if too_large else starts_in(one.ahead, sum(offers), left, usual_s)
                starts = None if starts is None else max(starts, one.delay_s)
                found[one.id] = Place(one.ahead + 1, starts, sum(offers), one.delay_s, too_large)
        return found

    def slots(self, queue: str) -> int:
        """Attempts that the living workers of a queue can run at once."""
        return sum(one.slots for one in self.queue.workers() if one.alive and queue in one.queues)

    def _followers(self, *ended: Experiment | None) -> list[Overview]:
        """Who was made to continue one of these or to run it again, the newest first."""
        ids = dict.fromkeys(one.id for one in ended if one is not None)
        found = [row for one in ids for row in self.store.overview(resumed_from=one)]
        return sorted(found, key=lambda row: (row.created_at, row.id), reverse=True)

    def _submit(self, config: ExperimentConfig, owner: str, wish: Wish) -> Experiment:
        bell = self._opened_bell()  # before anything is made: it may be misconfigured
        made, is_new = self.queue.submit(
            config,
            owner,
            tz=self.settings.tz,
            wish=wish,
            quota=self.settings.max_jobs_per_user or None,
            ring_in_s=self.settings.ring_again_s,
        )
        if is_new:
            self._ring(made, bell)
        return made

    def _ring(self, job: Experiment, bell: Bell | None = None) -> None:
        if not (bell or self._opened_bell()).ring(job.id, job.queue):
            with suppress(StorageError, DiskFull):  # it is due in a while anyway
                self.queue.unrung(job.id)

    def _opened_bell(self) -> Bell:
        if self._bell is None:
            self._bell = open_bell(self.settings)
        return self._bell

    def _granted(self, config: ExperimentConfig, wish: Wish) -> Wish:
        """The wish with what configuration and settings say of it.

        Raises: BadInput.
        """
        known, longest_s = self.settings.queues, self.settings.max_runtime_s
        if wish.queue not in known:
            raise BadInput(
                f"there is no queue {wish.queue!r}; there is {', '.join(known)}", where="queue", hint="see QUEUES"
            )
        if wish.priority not in _PRIORITIES:
            raise BadInput(
                f"the priority is {wish.priority}, expected {_PRIORITIES[0]} to {_PRIORITIES[-1]}", where="priority"
            )
        least_s = min(_LEAST_RUNTIME_S, longest_s or _LEAST_RUNTIME_S)
        if wish.max_runtime_s is not None and not wish.max_runtime_s >= least_s:
            raise BadInput(
                f"the longest runtime is {wish.max_runtime_s:g} s, expected at least {least_s:g}", where="max_runtime"
            )
        if longest_s and wish.max_runtime_s is not None and wish.max_runtime_s > longest_s:
            raise BadInput(
                f"the longest runtime is {wish.max_runtime_s:g} s, expected at most {longest_s:g} (MAX_RUNTIME_S)",
                where="max_runtime",
            )
        key = wish.idempotency_key
        if key is not None and not (0 < len(key) <= _KEY_LENGTH and key.isprintable()):
            raise BadInput(
                f"the idempotency key has {len(key)} characters, expected 1 to {_KEY_LENGTH} printable ones",
                where="Idempotency-Key",
            )
        devices = int(getattr(config.training, "num_processes", 1))
        return replace(wish, devices=devices, max_runtime_s=wish.max_runtime_s or longest_s or None)

    def _usual_s(self) -> float | None:
        took = [_took_s(one) for one in self.store.overview(status=Status.SUCCESS, limit=_RECENT)]
        return sum(took) / len(took) if took else None


def _took_s(ended: Overview) -> float:
    """How long a job held its place; of one with several attempts, who knows how long it waited between them?"""
    whole = (ended.finished_at or 0.0) - (ended.started_at or 0.0) if ended.attempt == 1 else 0.0
    return max(whole, ended.train_runtime or 0.0)


def _left_s(progress: Mapping[str, Any] | None) -> float | None:
    left = (progress or {}).get("eta_s")
    return float(left) if isinstance(left, int | float) else None


def _not_ended(job: Experiment) -> StateError:
    state = "paused" if job.paused else "waiting" if job.status is Status.PENDING else "running"
    verb = "resume" if job.paused else "cancel"
    return StateError(f"{job.id} is {state}, expected a job that has ended", hint=f"finetune30 jobs {verb} {job.id}")


def _refuse_a_second(ended: Experiment, followers: list[Overview]) -> None:
    """Two runs must not go on from the same checkpoints at once.

    Raises: StateError naming the job that already does.
    """
    for other in followers:
        if not other.status.is_terminal:
            done = "continued" if other.continues else "run again"
            raise StateError(
                f"{ended.id} is already {done} by {other.id} ({other.status})",
                hint=f"finetune30 jobs show {other.id}; to begin anew: finetune30 jobs retry {ended.id} --fresh",
            )
