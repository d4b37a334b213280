"""A job as an object for programs: what ``jobs show --json`` prints and ``GET /task/{id}`` answers.

The shapes are fixed; scripts read them. Neighbours: the command line and the API tell it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from finetune30.experiments import Attempt, Experiment, JobEvent, Overview
from finetune30.jobs.place import Place

_PROGRESS = ("step", "total", "loss", "eta_s")
_ERROR = ("code", "message", "where", "hint")
_SAME = (
    *("owner", "name", "attempt", "failures", "paused", "pause_requested", "cancel_requested", "queue", "priority"),
    *("devices", "max_runtime_s", "resumed_from", "continues", "created_at", "started_at", "finished_at"),
)


def summary(job: Overview, place: Place | None) -> dict[str, Any]:
    """A job as lists tell it."""
    return {
        "task_id": job.id,
        "status": job.status.value,
        **{name: getattr(job, name) for name in _SAME},
        "worker": job.lease_owner,
        "position": place.position if place else None,
        "starts_in_s": place.starts_in_s if place else None,
        "progress": _part(job.progress, _PROGRESS),
        "error": _part(job.error, _ERROR),
        "accuracy": job.eval_accuracy,
    }


def everything(
    job: Experiment, place: Place | None, attempts: Sequence[Attempt], events: Sequence[JobEvent]
) -> dict[str, Any]:
    """A job with its history, configuration and figures."""
    history = {"attempts": [asdict(one) for one in attempts], "events": [asdict(one) for one in events]}
    return {**summary(job, place), **history, "config": job.config, "metrics": job.metrics}


def _part(found: Mapping[str, Any] | None, names: Sequence[str]) -> dict[str, Any] | None:
    return None if found is None else {name: found.get(name) for name in names}
