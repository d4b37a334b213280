"""One attempt, from the claim to the last word in its row.

Promises: an attempt runs only while its lease surely does, by elapsed time, so no two ever run at
once; its row moves on only when the process and all it started are gone; nothing the process or the
database does can hang this. Never imports torch.
Neighbours: ``shop`` gives the claimed row and a seat, ``process`` is what is watched, ``clerk`` writes
the row, ``settling`` finds the last word for an attempt that found none.
"""

from __future__ import annotations

import secrets
import time
from typing import Any

from finetune30.errors import Finetune30Error, StateError
from finetune30.experiments import Experiment, ExperimentFolder, Status
from finetune30.experiments.record import Beat, Claimed
from finetune30.worker.clerk import Answer, Clerk
from finetune30.worker.desk import Desk
from finetune30.worker.line import GIVE_UP
from finetune30.worker.office import Office
from finetune30.worker.process import AttemptProcess
from finetune30.worker.settling import Ended, Settlement, gives_back
from finetune30.worker.slots import Seat
from finetune30.worker.stopping import Stopping
from finetune30.worker.verdict import memory_kills

_TICK_S = 0.1
_OFTEN_S = 1.0  # progress and events reach the row at most so often
_LEAVE_S = 10.0  # from the last word to the exit
_LAST_WORDS = ("succeeded", "failed", "stopped")


class Supervisor:
    """Carries out one claimed row.

    Attributes:
        running: Something of the attempt may run.
        unfit: This machine could not start it, through no fault of the job.
    """

    def __init__(self, office: Office, claimed: Claimed, seat: Seat) -> None:
        self.running = False
        self.unfit = False
        self._office = office
        self._claimed = claimed
        self._seat = seat
        self._key = (claimed.experiment.id, claimed.attempt, claimed.worker)
        self._desk = Desk()
        self._clerk = Clerk(office.store, claimed, self._desk.wake)
        self._stopping = Stopping()
        self._word: dict[str, Any] | None = None
        self._word_at = 0.0
        self._settled: Experiment | None = None
        self._beaten = _awake()
        self._began = time.monotonic()
        self._complained = False

    def carry_out(self) -> None:
        """Run the attempt; when this returns nothing of it runs and its row has moved on, or is another's."""
        settlement = Settlement(self._office, self._claimed, self._clerk)
        try:
            if self._office.orders.drain:
                settlement.not_begun()
                return
            kills = memory_kills()
            try:
                process = self._start()
            except (Finetune30Error, OSError) as fault:
                self.unfit = not isinstance(fault, StateError)
                settlement.not_started(fault)
                return
            try:
                self._watch(process)
            finally:
                # Before anything else, whatever happened: from here on nothing of it runs.
                code = self._end(process)
            settlement.settle(
                Ended(
                    code=code,
                    said=process.last_line,
                    out_of_memory=kills is not None and (memory_kills() or 0) > kills,
                    word=self._word,
                    settled=self._settled,
                    stop_reason=self._stopping.reason,
                    fault=self._desk.fault,
                    late=time.monotonic() > self._fence,
                )
            )
        finally:
            self._clerk.close()
            self._desk.close()

    def _start(self) -> AttemptProcess:
        """The process, its order sent. Raises: Finetune30Error, OSError where this machine cannot start one."""
        settings, row = self._office.settings, self._claimed.experiment
        # It is made here: it holds the output of a process that fails while it imports.
        folder = ExperimentFolder.claim(settings.results_dir, row.id, row.created_at, self._claimed.attempt)
        # Two databases may give the same id in the same second: a name alone would not be its own.
        mark = f"{row.id}/{self._claimed.attempt}/{secrets.token_hex(8)}"
        process = AttemptProcess(self._office.trainer, mark, self._seat, self._desk, folder.logs_txt)
        self.running = True
        try:
            self._send_order()
        except BaseException:  # whatever it was, no process may stay that nobody watches
            self._end(process)
            raise
        return process

    def _end(self, process: AttemptProcess) -> int:
        code = process.end()
        self.running = False
        return code

    def _send_order(self) -> None:
        settings, row = self._office.settings, self._claimed.experiment
        self._desk.send(
            "order",
            id=row.id,
            attempt=self._claimed.attempt,
            config=row.config,
            results_dir=str(settings.results_dir.absolute()),
            data_dir=str(settings.data_dir.absolute()),
            tz=settings.tz,
            lease_s=settings.lease_s,
            resumed_from=row.resumed_from if row.continues else None,
            dataset_hash=row.dataset_hash,
            sent=self._claimed.sent,
        )

    def _watch(self, process: AttemptProcess) -> None:
        """Return when the process has ended, or has to."""
        while True:
            for message in self._desk.receive(_TICK_S):
                self._hear(message)
            for answer in self._clerk.answers():
                self._learn(answer)
            if self._lost or self._desk.fault or self._overstays:
                return
            if process.exited():
                for message in self._desk.rest():
                    self._hear(message)
                return
            self._keep_alive()
            self._ask_to_stop()
            if not self._finishing and self._stopping.kill_due:
                return
            if self._word is None and self._stopping.signal_due:
                process.terminate()

    @property
    def _fence(self) -> float:
        """The moment at which the process must be dead unless a heartbeat is answered before."""
        return self._clerk.sent + GIVE_UP * self._office.settings.lease_s

    @property
    def _lost(self) -> bool:
        """The row is another's, or may be soon."""
        return self._clerk.loss is not None or (not self._settled and time.monotonic() > self._fence)

    @property
    def _finishing(self) -> bool:
        """The process has said how the row ends."""
        return self._word is not None and not gives_back(self._word)

    @property
    def _overstays(self) -> bool:
        """Its last word was answered long ago."""
        return self._word is not None and not self._clerk.busy and time.monotonic() > self._word_at + _LEAVE_S

    def _hear(self, message: dict[str, Any]) -> None:
        match message:
            case {"kind": "progress"}:
                self._clerk.news.progress({key: value for key, value in message.items() if key != "kind"})
            case {"kind": "event", "event": str(kind), "message": str(text)}:
                step = message.get("step")
                self._clerk.news.event((kind, text, step if isinstance(step, int) else None))
            case {"kind": str(kind)} if self._word is None:
                if kind in _LAST_WORDS:
                    self._word, self._word_at = message, time.monotonic()
                try:
                    self._answer(kind, message)
                except KeyError as lack:
                    self._desk.fault = f"{kind} without {lack}"

    def _answer(self, kind: str, message: dict[str, Any]) -> None:
        store = self._office.store
        match kind:
            case "failed" | "stopped" if gives_back(message):
                # Given back only when it is gone: who takes it next must not meet it.
                self._desk.send("ok")
            case "planned":
                plan = {name: message[name] for name in ("config", "fingerprint", "dataset_hash")}
                self._clerk.write(kind, lambda: store.record_plan(*self._key, **plan), self._fence)
            case "check":
                self._clerk.write(kind, lambda: store.heartbeat(*self._key), self._fence)
            case "succeeded":
                end = {"metrics": message["metrics"]}
                self._clerk.write(
                    kind, lambda: store.finish(*self._key, Status.SUCCESS, **end), self._fence, Status.SUCCESS
                )
            case "failed":
                end = {"error": message["error"]}
                self._clerk.write(
                    kind, lambda: store.finish(*self._key, Status.FAILURE, **end), self._fence, Status.FAILURE
                )

    def _learn(self, answer: Answer) -> None:
        if answer.wish == "beat":
            self._after_beat(answer)
        elif answer.error is None:
            if isinstance(answer.value, Beat):  # who asks before it publishes hears of a wish to stop first
                self._heed(answer.value)
            self._settled = answer.value if isinstance(answer.value, Experiment) else None
            self._desk.send("ok")
        else:
            self._desk.send("lost", message=answer.error.message)
        if self._finishing:
            self._word_at = time.monotonic()

    def _after_beat(self, answer: Answer) -> None:
        if isinstance(answer.value, Beat):
            self._desk.send("beat", sent=self._clerk.sent)
            self._complain(None)
            self._heed(answer.value)
        else:
            self._complain(self._clerk.silent)

    def _heed(self, beat: Beat) -> None:
        settings = self._office.settings
        if beat.cancel_requested:
            self._stop("cancelled", settings.stop_grace_s)
        if beat.pause_requested:
            self._stop("paused", settings.drain_s)

    def _complain(self, fault: Finetune30Error | None) -> None:
        """Say once that the database is away, and once that it is back."""
        if (fault is not None) is not self._complained:
            self._complained = fault is not None
            told = f"no heartbeat could be written: {fault.message}" if fault else "heartbeats are written again"
            self._office.say(f"{self._key[0]}: {told}")

    def _keep_alive(self) -> None:
        heartbeat_s = self._office.settings.heartbeat_s
        due_s = min(_OFTEN_S, heartbeat_s) if self._clerk.news or self._clerk.silent else heartbeat_s
        if not self._clerk.busy and not self._finishing and _awake() - self._beaten >= due_s:
            self._beaten = _awake()
            self._clerk.beat()

    def _ask_to_stop(self) -> None:
        settings, orders = self._office.settings, self._office.orders
        limits = [limit for limit in (self._claimed.experiment.max_runtime_s, settings.max_runtime_s) if limit]
        if limits and time.monotonic() - self._began > min(limits):
            self._stop("timed out", settings.stop_grace_s)
        if orders.drain:
            self._stop("drained", settings.drain_s)
        if orders.at_once:
            self._stopping.at_once("drained")

    def _stop(self, reason: str, grace_s: float) -> None:
        if self._stopping.ask(reason, grace_s):
            self._desk.send("stop", reason=reason)


def _awake() -> float:
    """Seconds that also count while the machine sleeps: who wakes up beats at once."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()
