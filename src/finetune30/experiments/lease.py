"""Proof that a run is alive: a heartbeat from a thread beside the training.

Promises: the run learns of a takeover or a wish to cancel without asking the database itself; where
the database cannot be reached it gives up before anybody may take over. Whether an owner died can
be told on the same machine only.
Neighbours: ``store`` keeps the lease, ``pipeline`` holds one around the training.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from finetune30.errors import DiskFull, LeaseLost, StorageError
from finetune30.experiments.record import Beat, Note, Status
from finetune30.experiments.store import ExperimentStore

# Progress reaches the row at most so often.
_PROGRESS_S = 1.0
# Share of the lease after which a process that cannot reach the database stops by itself.
_GIVE_UP = 0.75
# A heartbeat that has not been answered for most of a lease is not waited for longer than this.
_HANGS_S = 0.5
# Events that wait for a database that is away; the oldest give way.
_MOST_UNSENT = 100


class Lease:
    """Holds a claimed experiment while the ``with`` block runs; a ``Hold``.

    Args:
        attempt: The token that ``store.claim`` returned.
        worker: As given to ``store.claim``.
        heartbeat_s: Seconds between two heartbeats; progress makes them more frequent.
    """

    def __init__(
        self, store: ExperimentStore, experiment_id: str, attempt: int, worker: str, heartbeat_s: float
    ) -> None:
        self.experiment_id = experiment_id
        self.attempt = attempt
        self.worker = worker
        self._store = store
        self._heartbeat_s = heartbeat_s
        self._answer = Beat(cancel_requested=False, pause_requested=False)
        self._loss: LeaseLost | None = None
        self._answered = _awake()  # when the last heartbeat that was answered was sent
        self._progress: dict[str, object] | None = None
        self._events: deque[Note] = deque(maxlen=_MOST_UNSENT)
        self._sending = threading.Lock()
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"lease of {experiment_id}", daemon=True)

    @property
    def stop_reason(self) -> str | None:
        """What somebody asked of the run: ``cancelled``, ``paused`` or nothing."""
        if self._answer.cancel_requested:
            return "cancelled"
        return "paused" if self._answer.pause_requested else None

    @property
    def loss(self) -> LeaseLost | None:
        """Why the experiment is no longer ours, None while it is.

        Asks the database where the last answer is old: a process that was stopped (Ctrl+Z) or slept may
        find all well, or its row taken over, and must know before it does anything more.
        """
        if self._loss is None and _awake() - self._answered > _GIVE_UP * self._store.lease_s:
            try:
                self._send(_HANGS_S)
            except LeaseLost as loss:
                self._loss = loss
            except (StorageError, DiskFull):
                self._loss = LeaseLost(
                    f"{self.experiment_id}: no heartbeat could be written, the run may be taken over",
                    hint=f"when the database is back: finetune30 train --resume {self.experiment_id}",
                )
        return self._loss

    def update(self, progress: Mapping[str, object]) -> None:
        """Let the next heartbeat, a second away at most, carry ``progress``. Never waits."""
        self._progress = dict(progress)
        self._wake.set()

    def event(self, kind: str, message: str, step: int | None = None) -> None:
        """Let the next heartbeat carry an event. Never waits."""
        self._events.append((kind, message, step))
        self._wake.set()

    def planned(self, config: Mapping[str, object], fingerprint: str, dataset_hash: str) -> None:
        """Note what exactly runs here. Raises: LeaseLost."""
        plan = {"config": config, "fingerprint": fingerprint, "dataset_hash": dataset_hash}
        self._store.record_plan(self.experiment_id, self.attempt, self.worker, **plan)  # type: ignore[arg-type]

    def check(self) -> None:
        """Ask the database itself, once. Raises: LeaseLost."""
        self._send()

    def succeeded(self, metrics: Mapping[str, object]) -> None:
        """SUCCESS. Raises: LeaseLost."""
        self._send()
        self._finish(Status.SUCCESS, metrics=metrics)

    def failed(self, error: Mapping[str, object]) -> None:
        """FAILURE, and why. Raises: LeaseLost."""
        self._finish(Status.FAILURE, error=error)

    def stopped(self, reason: str) -> None:
        """REVOKED where it was cancelled, else PENDING and paused: a person resumes. Raises: LeaseLost."""
        if reason == "cancelled":
            self._finish(Status.REVOKED)
        else:
            self._store.pause(self.experiment_id, self.attempt, self.worker)

    def __enter__(self) -> Lease:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._wake.set()
        self._thread.join(timeout=self._store.lease_s)  # a hung connection must not hang the run

    def _beat(self) -> None:
        while self.loss is None:
            self._wake.wait(self._heartbeat_s)
            if self._stop.wait(min(_PROGRESS_S, self._heartbeat_s) if self._wake.is_set() else 0):
                return
            self._wake.clear()
            try:
                self._send()
            except LeaseLost as loss:
                self._loss = loss
            except (StorageError, DiskFull):
                continue  # may pass; ``loss`` knows how long to be patient

    def _send(self, patience_s: float = -1) -> None:
        # One at a time: else two threads could tell an event twice.
        if not self._sending.acquire(timeout=patience_s):
            raise StorageError("the database does not answer")
        try:
            events, sent = tuple(self._events), _awake()
            self._answer = self._store.heartbeat(self.experiment_id, self.attempt, self.worker, self._progress, events)
            self._answered = sent
            for _ in events:
                self._events.popleft()
        finally:
            self._sending.release()

    def _finish(self, status: Status, **rest: Any) -> None:
        self._store.finish(self.experiment_id, self.attempt, self.worker, status, **rest)


def _awake() -> float:
    """Seconds that also pass while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def this_worker() -> str:
    """Identity of this process as lease owner: ``local:<host>:<pid>:<process creation>``."""
    return f"local:{socket.gethostname()}:{os.getpid()}:{_creation(os.getpid())}"


def owner_is_dead(lease_owner: str | None) -> bool | None:
    """True if the owner was a process of this machine that no longer exists, False while it does.

    None where this cannot be told: another machine, another container, another kind of owner. A
    process number may have gone to somebody else: the time of creation tells them apart.
    """
    match (lease_owner or "").split(":"):
        case ["local", host, pid, creation] if host == socket.gethostname() and pid.isdecimal():
            return not _runs(int(pid), creation) if _same_boot(creation) else None
        case _:
            return None


def _runs(pid: int, creation: str) -> bool:
    import psutil

    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and _creation(pid) == creation
    except (psutil.NoSuchProcess, FileNotFoundError):
        return False
    except (psutil.AccessDenied, PermissionError):
        return True


def _creation(pid: int) -> str:
    """When the process was created, in a form that no change of the clock alters.

    On Linux: clock ticks since boot, then which boot and which process namespace, because two
    containers may share a host name but not their process numbers.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            raise
        import psutil

        return f"{psutil.Process(pid).create_time():.2f}"
    return f"{fields.split()[19]}@{_boot()}"


def _boot() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")[:8]
    return f"{boot}-{Path('/proc/self/ns/pid').stat().st_ino}"


def _same_boot(creation: str) -> bool:
    """The process numbers of ``creation`` are those this process sees."""
    return creation.partition("@")[2] == _creation(os.getpid()).partition("@")[2]
