"""The places of one worker and the attempts in them.

Promises: a place is taken under one lock with the row that needs it, and given back whatever becomes
of the attempt; a database that is away is said once and asked again.
Neighbours: ``polling`` and ``celery_worker`` say that there may be work, ``queue.claim_next`` decides
which, ``supervisor`` does it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from finetune30.errors import Finetune30Error
from finetune30.experiments.record import Claimed
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
        self._queues = tuple(queues)
        self._claiming = threading.Lock()
        self._changed = threading.Condition()
        self._freed = False
        self._troubled = False

    @property
    def full(self) -> bool:
        """No place is free."""
        return self._slots.free == 0

    def take_one(self) -> bool:
        """Begin the job whose turn it is; False where there is none for this worker now."""
        with self._claiming:
            if self.full or self._office.orders.drain:
                return False
            claimed = self._claim()
            if claimed is None:
                return False
            with self._changed:
                seat = self._slots.take(claimed.experiment.devices)
                self.busy += 1
        name = f"supervisor of {claimed.experiment.id}"
        threading.Thread(target=self._carry_out, args=(claimed, seat), name=name, daemon=True).start()
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
        try:
            Supervisor(self._office, claimed, seat).carry_out()
        except Exception as fault:  # noqa: BLE001 - the place must not be lost; the reaper finds the row
            self._office.say(f"{row.id}: attempt {claimed.attempt} failed here: {type(fault).__name__}: {fault}")
        finally:
            with self._changed:
                self._slots.give_back(seat)
                self.busy -= 1
                self._freed = True
                self._changed.notify_all()
            self.on_freed()
