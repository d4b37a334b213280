"""The last word about an attempt whose process is gone, where it did not say or write it itself.

Promise: exactly one move of the row, tried until the lease is surely over; then the reaper finds it.
Nothing is written for who had lost the row.
Neighbours: ``supervisor`` calls when nothing of the attempt runs any more, ``verdict`` judges exits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from finetune30.errors import ConfigError, Crashed, Finetune30Error, Killed, LeaseLost, StateError, TimedOut
from finetune30.experiments import Experiment, Status
from finetune30.experiments.record import Claimed
from finetune30.worker.clerk import Clerk
from finetune30.worker.office import Office
from finetune30.worker.verdict import judge

_LONGEST_DELAY_S = 900.0


@dataclass(frozen=True)
class Ended:
    """How an attempt's process came to its end.

    Attributes:
        code: Of its exit; negative for a signal.
        said: The last line of its output.
        word: Its last message, if it said a last word.
        settled: The row, if that word is in it.
        stop_reason: Why it was asked to stop.
        fault: What it sent that was no message.
        late: The lease may have run out before it ended.
    """

    code: int
    said: str
    out_of_memory: bool
    word: dict[str, Any] | None
    settled: Experiment | None
    stop_reason: str | None
    fault: str | None
    late: bool


class Settlement:
    """Moves the row of one attempt on."""

    def __init__(self, office: Office, claimed: Claimed, clerk: Clerk) -> None:
        self._office = office
        self._claimed = claimed
        self._clerk = clerk
        self._key = (claimed.experiment.id, claimed.attempt, claimed.worker)
        self._began = time.monotonic()

    def settle(self, ended: Ended) -> None:
        """Write what is still to be written, and tell the operator."""
        word = ended.word["kind"] if ended.word else None
        if ended.settled:
            self._tell(ended.settled.status, _reason(ended))  # not its own word: somebody may have cancelled it
        elif self._clerk.loss is not None:
            self._lost(self._clerk.loss)
        elif ended.fault:
            self._again(Crashed(f"the training process sent no message this version knows: {ended.fault}"))
        elif ended.word and word == "succeeded":
            self._finish(Status.SUCCESS, metrics=ended.word["metrics"])
        elif ended.word and not gives_back(ended.word):
            self._finish(Status.FAILURE, error=ended.word["error"])
        elif ended.stop_reason == "cancelled":
            self._finish(Status.REVOKED)
        elif ended.stop_reason == "timed out":
            self._finish(Status.FAILURE, error=self._timed_out().to_dict())
        elif ended.stop_reason or word == "stopped" or ended.late:
            # No fault of its own: drained, paused, or this machine could not reach the database.
            stopped = "stopped" if word == "stopped" else "the database could not be reached in time"
            self._give_back(ended.stop_reason or stopped)
        elif ended.word:
            self._again(_as_killed(ended.word["error"]))
        else:
            self._judge(ended)

    def not_begun(self) -> None:
        """The worker ends: the row was taken for nothing."""
        self._give_back("drained")

    def not_started(self, fault: Finetune30Error | OSError) -> None:
        """This machine could not start the process; another one may, and so may this one later."""
        if isinstance(fault, StateError):  # it would be in the way of every other one, too
            self._finish(Status.FAILURE, error=fault.to_dict())
            return
        if isinstance(fault, OSError):
            where, what = fault.filename or self._office.trainer[0], fault.strerror or str(fault)
        else:
            where, what = fault.where, fault.message
        # Not counted: one sick machine must not cost all jobs their attempts. The shop waits before the next.
        why = f"the training process could not be started here: {f'{where}: ' if where else ''}{what}"
        queue, delay_s = self._office.queue, self._office.settings.retry_delay_s
        self._write(lambda: queue.drain(*self._key, why=why, delay_s=delay_s), Status.PENDING, why)

    def _judge(self, ended: Ended) -> None:
        verdict = judge(ended.code, out_of_memory=ended.out_of_memory, said=ended.said)
        if verdict.again:
            self._again(verdict.error)
        else:
            self._finish(Status.FAILURE, error=verdict.error.to_dict())

    def _timed_out(self) -> TimedOut:
        row, settings = self._claimed.experiment, self._office.settings
        limit = min(limit for limit in (row.max_runtime_s, settings.max_runtime_s) if limit)
        return TimedOut(
            f"it ran longer than the {limit:g} s an attempt may take",
            hint=f"with more time: finetune30 jobs retry {row.id} --max-runtime {max(60.0, 2 * limit):.0f}",
        )

    def _finish(self, status: Status, **values: Any) -> None:
        store = self._office.store
        self._write(lambda: store.finish(*self._key, status, **values), status)

    def _give_back(self, why: str) -> None:
        queue = self._office.queue
        self._write(lambda: queue.drain(*self._key), Status.PENDING, why)

    def _again(self, error: Finetune30Error) -> None:
        queue, failures = self._office.queue, self._claimed.experiment.failures
        delay_s = min(self._office.settings.retry_delay_s * 2**failures, _LONGEST_DELAY_S)
        told = error.to_dict()
        self._write(lambda: queue.release(*self._key, error=told, delay_s=delay_s), Status.PENDING, error.message)

    def _write(self, call: Callable[[], Experiment], done: Status, why: str = "") -> None:
        until = self._clerk.sent + self._office.settings.lease_s
        answer = self._clerk.finally_write("end", call, until, done)
        if isinstance(answer.error, LeaseLost):
            self._lost(answer.error)
            return
        if not isinstance(answer.value, Experiment):
            fault = answer.error.message if answer.error else "no answer"
            self._say(f"ended, but its row could not be written; it is found when its lease is over: {fault}")
            return
        row = answer.value
        self._tell(row.status, why or _told(row.error or {}))
        if row.status is Status.PENDING and not row.paused and row.not_before is None:
            self._office.ring(row.id, row.queue)

    def _tell(self, status: Status, why: str) -> None:
        word = "waits again" if status is Status.PENDING else str(status)
        spent = time.monotonic() - self._began
        self._say(f"{word} after {spent:.1f} s{': ' if why else ''}{why}")

    def _lost(self, loss: LeaseLost) -> None:
        self._say(f"lost, its process was ended: {loss.message}")

    def _say(self, text: str) -> None:
        self._office.say(f"{self._key[0]}: attempt {self._key[1]} {text}")


def gives_back(word: dict[str, Any]) -> bool:
    """Whether a last word leaves the row to others: it stopped, or a process it trains with was killed."""
    error = word.get("error")
    killed = isinstance(error, dict) and error.get("code") == Killed.code
    return word["kind"] == "stopped" or (word["kind"] == "failed" and killed)


def _as_killed(told: dict[str, Any]) -> Killed:
    return Killed(
        str(told.get("message", "a training process was killed")), where=told.get("where"), hint=told.get("hint")
    )


def _reason(ended: Ended) -> str:
    return _told((ended.word or {}).get("error") or {})


def _told(error: Mapping[str, Any]) -> str:
    """An error for the operator's log, which repeats no value of a configuration; its user reads that elsewhere."""
    if error.get("code") == ConfigError.code:
        return f"{ConfigError.code}: {error.get('where') or 'its configuration'}"
    return str(error.get("message", ""))
