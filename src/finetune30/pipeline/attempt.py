"""One attempt at an experiment: train under a lease, publish, end the row.

Whatever happens in between, the row ends in SUCCESS, FAILURE with a reason and a hint,
REVOKED, or goes back to PENDING with a checkpoint to resume from. It is told so through a ``Hold``:
no database is known here.
Neighbours: ``run`` claims the row and opens the folder; ``result`` publishes.
"""

from __future__ import annotations

import errno
import os
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from finetune30.errors import Crashed, DiskFull, Finetune30Error, LeaseLost, RunFailed
from finetune30.experiments import ExperimentFolder, Hold
from finetune30.monitoring import GpuSample, PerformanceMonitor, RunLog, environment_report, nvidia_probe
from finetune30.pipeline.plan import Plan
from finetune30.pipeline.result import publish
from finetune30.standby import Standby
from finetune30.training import Event, Progress, TrainedAdapter, copy_checkpoints, fit

_MONITOR_INTERVAL_S = 0.5
_VERSIONS = ("finetune30", "torch", "transformers", "peft")


class Cancelled(Exception):
    """Somebody cancelled while the result was made ready; nothing of it is published."""


@dataclass(frozen=True)
class Attempt:
    """A claimed row and all that is needed to carry it out.

    Attributes:
        takes_over: Id of the ended run whose checkpoints this one goes on from.
        made_at: When the row was made, by which its folder is known; None where the folder is there already.
        token_cache: Folder for what was read once.
    """

    folder: ExperimentFolder
    plan: Plan
    hold: Hold
    takes_over: str | None
    made_at: float | None
    log: RunLog
    watch: Progress
    stop_requested: Callable[[], str | None]
    token_cache: Path
    checker: Standby | None

    def carry_out(self) -> str | None:
        """Train and publish.

        Returns: None in SUCCESS; or why it stopped at a checkpoint, which the row then says as well.
        Raises: RunFailed after the row says FAILURE; LeaseLost (nothing more was written).
        """
        try:
            with PerformanceMonitor(_MONITOR_INTERVAL_S, _gpu_of(self.plan.compute.device)) as monitor:
                self._open_folder()
                trained = fit(
                    self.plan.base,
                    self.plan.splits,
                    self.plan.config,
                    lambda event: self._hear(event, monitor),
                    artifacts=self.folder.artifacts,
                    compute=self.plan.compute,
                    stop_requested=self._why_stop,
                    cache=self.token_cache,
                )
                if trained.folder is None:
                    return self._stop(trained.stopped or "interrupted")
                if reason := self._why_stop():
                    return self._stop(reason)
                self._finish(trained, trained.folder, monitor)
                return None
        except (KeyboardInterrupt, SystemExit):
            return self._stop("interrupted")
        except Cancelled:
            return self._stop("cancelled")
        except LeaseLost as loss:
            loss.experiment_id = self.hold.experiment_id
            raise  # not a line more: the log is another's by now
        except Exception as fault:  # the boundary: the row must end, whatever was raised
            raise fail(self.hold, self.log, fault) from fault
        finally:
            self.log.close()

    def _finish(self, trained: TrainedAdapter, adapter: Path, monitor: PerformanceMonitor) -> None:
        self._note("evaluating the saved adapter and reloading it in a fresh process")
        versions = {k: v for k, v in environment_report()["versions"].items() if k in _VERSIONS and v}
        published = publish(self.plan, adapter, self.folder, versions, self._before_publishing, self.checker)
        self._note(f"reloaded: probabilities differ by at most {published.worst_difference:.1e}")
        metrics = {
            "train": trained.figures,
            **{name: scores.to_dict() for name, scores in published.scores.items()},
            "system": {
                **monitor.summary(),
                "device": self.plan.compute.device,
                "precision": self.plan.compute.precision,
            },
            "data": {
                **self.plan.splits.counts,
                "truncated": trained.truncated,
                "sha256": self.plan.splits.fingerprint,
                "quality": self.plan.quality.summary(),
            },
        }
        self.folder.write_json(self.folder.metrics_json, metrics)
        scores = published.scores["eval"]
        self._note(
            f"done: accuracy {scores.accuracy:.4f}, f1_macro {scores.f1_macro:.4f} on {scores.rows} validation rows"
        )
        # Nothing may fail after this line: the row would say SUCCESS and the user would be told otherwise.
        self.hold.succeeded(metrics)

    def _open_folder(self) -> None:
        """Make the folder, or go on in the one there is; note what this attempt runs with."""
        if self.made_at is not None:
            ExperimentFolder.claim(self.folder.results_dir, self.folder.id, self.made_at, self.hold.attempt)
        self.folder.write_text(self.folder.config_yaml, self.plan.config.to_yaml())
        self.log.open(self.folder.logs_txt)
        self._write_environment()
        self._keep_data()
        if self.takes_over is not None:
            source = ExperimentFolder(self.folder.results_dir, self.takes_over).artifacts
            copied = copy_checkpoints(source, self.folder.artifacts) if source.is_dir() else []
            if copied:
                self._note(f"checkpoints taken over from {self.takes_over}: {', '.join(copied)}")
            elif self.hold.attempt == 1:
                told = f"{self.takes_over} has left no checkpoints to go on from: training begins at step 0"
                self._note(told)
                self.hold.event("warning", told)

    def _keep_data(self) -> None:
        """Store the exact rows as a version of the data, and what was wrong with them."""
        plan = self.plan
        # The row first: from then on the version counts as used, so nobody sweeps it away.
        config = plan.config
        self.hold.planned(config.model_dump(mode="json"), config.fingerprint, plan.splits.fingerprint)
        version = plan.versions.freeze(plan.splits, plan.config.data.model_dump(mode="json"), plan.quality.summary())
        with self.folder.writing(self.folder.quality_json) as file:
            plan.quality.write_json(file)
        self._note(f"data: version {version.short}, {version.rows} rows")

    def _write_environment(self) -> None:
        source = self.plan.base.source
        compute = self.plan.compute
        self.folder.write_json(
            self.folder.environment_json,
            {
                **environment_report(),
                "device": compute.device,
                "precision": compute.precision,
                "device_reason": compute.reason,
                "seed": self.plan.config.seed,
                "base_model": {
                    "name": source.name,
                    "public_name": source.public_name,
                    "revision": source.revision,
                },
                # Weights that nothing pins may change under the same name; who resumes compares.
                "base_model_sha256": None if source.revision else self.plan.base.weights_sha256,
                "dataset_sha256": self.plan.splits.fingerprint,
            },
        )

    def _hear(self, event: Event, monitor: PerformanceMonitor | None = None) -> None:
        """Progress goes to the journal, the log, the row (by the hold) and the screen."""
        if event.kind == "saving":
            self._hold_on()
            return
        if event.kind in ("step", "evaluation"):
            values = {k: v for k, v in asdict(event).items() if k != "message" and v not in (None, {})}
            values["at"] = round(time.time(), 3)
            if event.kind == "step" and monitor is not None and (seen := monitor.latest()):
                values["system"] = seen
            self.folder.append_json(self.folder.progress_jsonl, values)
        if event.kind == "step":
            self.hold.update({"step": event.step, "total": event.total, "loss": event.loss, "eta_s": event.eta_s})
            self.log.line(
                f"step {event.step}/{event.total} loss {event.loss:.4f} learning_rate {event.learning_rate or 0:.3g} "
                f"tokens/s {event.tokens_per_s or 0:.0f}"
            )
        else:
            self.log.line(event.message)
        if event.kind in ("evaluation", "checkpoint"):
            self.hold.event(event.kind, event.message, event.step)
        with suppress(OSError, SystemExit):  # a screen nobody reads any more (a closed pipe) must not stop a run
            self.watch(event)

    def _note(self, text: str) -> None:
        self._hear(Event("note", text))

    def _hold_on(self) -> None:
        """Nothing is written by who lost the row. Raises: LeaseLost."""
        if self.hold.loss is not None:
            raise self.hold.loss

    def _why_stop(self) -> str | None:
        self._hold_on()
        return self.hold.stop_reason or self.stop_requested()

    def _before_publishing(self) -> None:
        """Ask once more whose row it is, and whether somebody cancelled. Raises: LeaseLost; Cancelled."""
        self.hold.check()
        if self.hold.stop_reason == "cancelled":
            raise Cancelled

    def _stop(self, reason: str) -> str:
        hold = self.hold
        self._hold_on()
        if reason == "interrupted":
            self.log.line(f"paused (interrupted); resume with: finetune30 train --resume {hold.experiment_id}")
        elif reason == "paused":
            self.log.line(f"paused; resume with: finetune30 jobs resume {hold.experiment_id}")
        else:
            self.log.line(reason)
        hold.stopped(reason)
        return reason


def fail(hold: Hold, log: RunLog, fault: Exception) -> RunFailed:
    """Say in log and row that the attempt failed, and why; the error to raise.

    Where the row is another's by now nothing is said: what failed was perhaps only that.
    """
    failure = hold.loss or as_run_failure(fault)
    if isinstance(failure, LeaseLost):
        failure.experiment_id = hold.experiment_id
        return failure
    failure.experiment_id = hold.experiment_id
    if isinstance(failure, DiskFull):
        failure.hint = (
            "every checkpoint written before is whole; free some space (finetune30 runs gc --dry-run), then: "
            f"finetune30 train --resume {hold.experiment_id}, or finetune30 jobs retry {hold.experiment_id}"
        )
    details = "".join(traceback.format_exception(fault)) if isinstance(failure, Crashed) else ""
    with suppress(OSError):  # a log that cannot be written must not keep the row from ending
        for line in [*details.splitlines(), f"failed [{failure.code}] {failure}"]:
            log.line(line)
    # Where the database refuses too (a full disk), the first error is still the one to tell.
    with suppress(Finetune30Error):
        hold.failed(failure.to_dict())
    return failure


def as_run_failure(fault: Exception) -> RunFailed:
    """Any exception as an error with a code, a message and a hint."""
    if isinstance(fault, RunFailed):
        return fault
    text = f"{type(fault).__name__}: {fault}"
    # safetensors reports the system's error inside its own exception.
    full = isinstance(fault, OSError) and fault.errno in (errno.ENOSPC, errno.EDQUOT)
    if full or f"os error {errno.ENOSPC}" in text or os.strerror(errno.ENOSPC) in text:
        return DiskFull(
            "the disk is full",
        )
    if isinstance(fault, Finetune30Error):
        # Bad input that only shows once training has begun ends a run like any other failure.
        failed = RunFailed(fault.message, where=fault.where, hint=fault.hint)
        failed.code = fault.code
        return failed
    return Crashed(text, hint="the traceback is in logs.txt; finetune30 env prints what a bug report needs")


def _gpu_of(device: str) -> Callable[[], GpuSample | None] | None:
    """Samples the GPU the run trains on; nothing to sample on a CPU or on MPS."""
    if not device.startswith("cuda"):
        return None
    return nvidia_probe(int(device.partition(":")[2] or 0))
