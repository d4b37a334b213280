"""The places of one worker and the attempts in them.

Promises: a place is taken under one lock with the row that needs it, and given back whatever becomes
of the attempt, as is the row; a database that is away, or folders that cannot be used, are said once
and asked again.
Neighbours: ``polling`` and ``celery_worker`` say that there may be work, ``queue.claim_next`` decides
which, ``supervisor`` does it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from finetune30.errors import Crashed, Finetune30Error
from finetune30.experiments.record import Claimed
from finetune30.worker.health import Health
from finetune30.worker.office import Office
from finetune30.worker.slots import Seat, Slots
from finetune30.worker.supervisor import Supervisor


class Shop:
    """Takes rows for its places, and carries them out in threads.

    Attributes:
        busy: Attempts that run.
        on_freed: Called when a place became free.
    """

    def __init__(self, office: Office, slots: Slots, queues: Sequence[str]) -> None:
        self.busy = 0
        self.on_freed: Callable[[], None] = lambda: None
        self._office = office
        self._slots = slots
        self._health = Health(office.settings, office.say)
        self._queues = tuple(queues)
        self._claiming = threading.Lock()
        self._changed = threading.Condition()
        self._freed = False
        self._troubled = False

    @property
    def full(self) -> bool:
        """No place is free."""
        return self._slots.free == 0

    @property
    def resting(self) -> bool:
        """This worker could carry out nothing just now."""
        return self._health.resting

    @property
    def closed(self) -> bool:
        """Nothing is taken just now: what says that there is work is for others."""
        return self.full or self.resting

    def look_over(self) -> bool:
        """Whether this machine can carry out jobs; it is said where that has changed."""
        with self._claiming:
            rested = self.resting
            good = self._health.good()
        if good and rested:
            self.on_freed()
        return good

    def take_one(self) -> bool:
        """Begin the job whose turn it is; False where there is none for this worker now."""
        if not self.look_over():
            return False
        with self._claiming:
            if self.closed or self._office.orders.drain:
                return False
            claimed = self._claim()
            if claimed is None:
                return False
            with self._changed:
                seat = self._slots.take(claimed.experiment.devices)
                self.busy += 1
        name = f"supervisor of {claimed.experiment.id}"
        try:
            threading.Thread(target=self._carry_out, args=(claimed, seat), name=name, daemon=True).start()
        except RuntimeError as fault:  # the system gives no more threads
            self._failed_here(claimed, None, fault)
            self._free(seat)
            return False
        return True

    def wait(self, timeout_s: float) -> bool:
        """Until a place became free, since the last time; True if one did."""
        with self._changed:
            self._changed.wait_for(lambda: self._freed, timeout_s)
            freed, self._freed = self._freed, False
            return freed

    def _claim(self) -> Claimed | None:
        office = self._office
        free, total = self._slots.offer
        try:
            claimed = office.queue.claim_next(
                office.name,
                queues=self._queues,
                free=free,
                total=total,
                max_running=office.settings.max_running_per_user or None,
            )
        except Finetune30Error as fault:
            if not self._troubled:
                office.say(f"no work can be looked for: {fault.message}; going on when that is over")
            self._troubled = True
            return None
        if self._troubled:
            office.say("work can be looked for again")
        self._troubled = False
        return claimed

    def _carry_out(self, claimed: Claimed, seat: Seat) -> None:
        row = claimed.experiment
        where = f" on GPU {', '.join(seat.gpus)}" if seat.gpus else ""
        self._office.say(f"{row.id}: attempt {claimed.attempt} begins{where} (queue {row.queue}, owner {row.owner})")
        supervisor = None
        try:
            supervisor = Supervisor(self._office, claimed, seat)
            supervisor.carry_out()
            if supervisor.unfit:
                self._health.failed()
            else:
                self._health.worked()
        except Exception as fault:  # noqa: BLE001 - neither place nor row must be lost
            self._failed_here(claimed, supervisor, fault)
        finally:
            self._free(seat)

    def _failed_here(self, claimed: Claimed, supervisor: Supervisor | None, fault: Exception) -> None:
        """Give a row back whose supervisor failed; a bug must not have it tried for ever, so that counts."""
        office, row = self._office, claimed.experiment
        told = f"{type(fault).__name__}: {fault}"
        office.say(f"{row.id}: attempt {claimed.attempt} failed here: {told}")
        if supervisor is not None and supervisor.running:
            return  # something of it may still run: the reaper gives the row to nobody before the lease is over
        key = (row.id, claimed.attempt, claimed.worker)
        try:
            if supervisor is None:  # this machine has no room for it
                self._health.failed()
                office.queue.drain(*key)
            else:
                error = Crashed(f"its worker failed: {told}").to_dict()
                office.queue.release(*key, error=error, delay_s=office.settings.retry_delay_s)
        except Exception as cause:  # noqa: BLE001 - it had moved on, or the reaper finds it
            office.say(f"{row.id}: its row was left alone: {cause}")

    def _free(self, seat: Seat) -> None:
        with self._changed:
            self._slots.give_back(seat)
            self.busy -= 1
            self._freed = True
            self._changed.notify_all()
        self.on_freed()
