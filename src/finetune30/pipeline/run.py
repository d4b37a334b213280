"""The doors of the pipeline: run a configuration, resume a run, open one for answers.

Neighbours: ``plan`` checks, ``attempt`` trains. The command line calls these; a worker will
call ``attempt`` for rows it has claimed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from finetune30.config import ExperimentConfig, from_mapping
from finetune30.data.versions import VersionStore
from finetune30.errors import StateError
from finetune30.experiments import (
    Experiment,
    ExperimentFolder,
    ExperimentStore,
    Lease,
    Status,
    check_results_dir,
    open_store,
    owner_is_dead,
    this_worker,
)
from finetune30.experiments.refusals import not_claimable
from finetune30.modeling import OpenAdapter, choose, open_adapter
from finetune30.monitoring import RunLog
from finetune30.pipeline.attempt import Attempt
from finetune30.pipeline.plan import Plan, prepare
from finetune30.settings import Settings
from finetune30.standby import Standby
from finetune30.training import Event, Progress


@dataclass(frozen=True)
class Door:
    """Who watches a run, and who may stop it.

    Attributes:
        watch: Hears every event.
        stop_requested: Asked after each step: None, or ``interrupted``.
        checker: A process of ``modeling.parity`` that stands by; None starts one when it is needed.
    """

    settings: Settings
    owner: str
    watch: Progress
    stop_requested: Callable[[], str | None]
    checker: Standby | None = None


def run(config: ExperimentConfig, door: Door) -> Experiment:
    """Execute a new experiment on this machine.

    Returns: The experiment in SUCCESS.
    Raises: BadInput before anything was made; RunFailed after the row says why; Stopped.
    """
    log = RunLog(door.settings.tz)
    plan = prepare(config, VersionStore(door.settings.data_dir), _tell(log, door))
    return _begin(plan, door, log, resumed_from=None)


def resume(experiment_id: str, door: Door) -> Experiment:
    """Go on with a run that was paused, killed, or (as a new run) one that failed or was cancelled.

    Returns: The experiment in SUCCESS; a new one if the old had ended.
    Raises: NotFound; StateError if it succeeded; AlreadyClaimed while another process runs it;
        otherwise as ``run``.
    """
    settings = door.settings
    store = open_store(settings, create=False)
    experiment = store.match(experiment_id)
    if experiment.status is Status.SUCCESS:
        raise StateError(
            f"{experiment.id} has succeeded; there is nothing to resume",
            hint=f"see it with: finetune30 runs show {experiment.id}; train again with finetune30 train",
        )
    log = RunLog(settings.tz)
    tell = _tell(log, door)
    config = from_mapping(experiment.config, where=f"the configuration of {experiment.id}")
    if experiment.status.is_terminal:
        _not_continued_yet(store, experiment)
        plan = prepare(config, VersionStore(settings.data_dir), tell)
        _same_inputs(experiment, plan, settings)
        tell(f"{experiment.id} ended as {experiment.status}: going on from its checkpoints as a new run")
        return _begin(plan, door, log, resumed_from=experiment)
    if experiment.lease_live and not owner_is_dead(experiment.lease_owner):
        raise not_claimable(experiment)  # before models are read
    plan = prepare(config, VersionStore(settings.data_dir), tell)
    _same_inputs(experiment, plan, settings)
    check_results_dir(settings.results_dir, plan.disk_bytes)
    return _attempt(store, experiment, plan, door, log)


def open_run(experiment_id: str | None, settings: Settings, device: str = "auto") -> tuple[Experiment, OpenAdapter]:
    """A finished run, ready to classify texts; the newest successful one if none is named.

    Raises: NotFound, StateError, ModelError.
    """
    store = open_store(settings, create=False)
    experiment = store.match(experiment_id) if experiment_id else store.newest(Status.SUCCESS)
    if experiment.status is not Status.SUCCESS:
        raise StateError(
            f"{experiment.id} is {experiment.status}; only a successful run has a model",
            hint="finetune30 runs list --status SUCCESS shows those that have",
        )
    config = from_mapping(experiment.config, where=f"the configuration of {experiment.id}")
    folder = ExperimentFolder(settings.results_dir, experiment.id)
    if not folder.final_model.is_dir():
        raise StateError(
            f"the files of {experiment.id} are gone",
            where=str(folder.final_model),
            hint=f"name another run with --exp, or forget this one: finetune30 runs delete {experiment.id}",
        )
    adapter = open_adapter(
        folder.final_model,
        config.model.name,
        config.model.revision,
        max_length=config.data.max_length,
        device=choose(device).device,
    )
    return experiment, adapter


def _begin(plan: Plan, door: Door, log: RunLog, resumed_from: Experiment | None) -> Experiment:
    """Make row and folder, in this order: a folder without a row would be nobody's."""
    settings = door.settings
    check_results_dir(settings.results_dir, plan.disk_bytes)
    store = open_store(settings, create=True)
    experiment = store.create(
        plan.config, owner=door.owner, tz=settings.tz, resumed_from=resumed_from.id if resumed_from else None
    )
    door.watch(Event("experiment", experiment.id))
    return _attempt(store, experiment, plan, door, log)


def _attempt(store: ExperimentStore, experiment: Experiment, plan: Plan, door: Door, log: RunLog) -> Experiment:
    """Claim the row and carry it out; from here on the row tells how it ended."""
    lease = _claim(store, experiment, door.settings.heartbeat_s)
    return Attempt(
        store=store,
        experiment=experiment,
        folder=ExperimentFolder(door.settings.results_dir, experiment.id),
        plan=plan,
        lease=lease,
        log=log,
        watch=door.watch,
        stop_requested=door.stop_requested,
        checker=door.checker,
        token_cache=door.settings.data_dir / "tokens",
    ).carry_out()


def _not_continued_yet(store: ExperimentStore, ended: Experiment) -> None:
    """Refuse to continue an ended run twice at once.

    Raises: StateError naming the run that already does.
    """
    for status in (Status.PENDING, Status.STARTED):
        for other in store.find(status=status):
            if other.resumed_from == ended.id:
                raise StateError(
                    f"{ended.id} is already continued by {other.id} ({other.status})",
                    hint=f"finetune30 runs logs {other.id} -f, or finetune30 train --resume {other.id}",
                )


def _same_inputs(experiment: Experiment, plan: Plan, settings: Settings) -> None:
    """Refuse to go on with other rows or another base than the checkpoints were trained with.

    Raises: StateError.
    """
    again = "put the old one back, or train again with finetune30 train"
    if experiment.dataset_hash not in (None, plan.splits.fingerprint):
        raise StateError(
            f"the dataset {experiment.dataset} has changed since {experiment.id} began", where="data", hint=again
        )
    described = ExperimentFolder(settings.results_dir, experiment.id).environment_json
    if described.is_file():
        known = json.loads(described.read_text(encoding="utf-8")).get("base_model_sha256")
        if known not in (None, plan.base.weights_sha256):
            raise StateError(
                f"the base model {experiment.base_model} has changed since {experiment.id} began",
                where="model.name",
                hint=again,
            )


def _claim(store: ExperimentStore, experiment: Experiment, heartbeat_s: float) -> Lease:
    """The lease on a row; one left by a process of this machine that is gone is not waited for."""
    worker = this_worker()
    dead = experiment.lease_owner if owner_is_dead(experiment.lease_owner) else None
    attempt = store.claim(experiment.id, worker, dead_owner=dead)
    return Lease(store, experiment.id, attempt, worker, heartbeat_s)


def _tell(log: RunLog, door: Door) -> Callable[[str], None]:
    def tell(text: str) -> None:
        log.line(text)
        door.watch(Event("note", text))

    return tell
