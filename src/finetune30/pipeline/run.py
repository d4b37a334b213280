"""The doors of the pipeline: run a configuration, resume a run, carry out an order, open a run for answers.

Neighbours: ``plan`` checks, ``attempt`` trains. The command line calls ``run`` and ``resume``, which
hold their row themselves; the process that a worker starts calls ``execute`` for a row it has claimed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from finetune30.config import ExperimentConfig, from_mapping
from finetune30.data.versions import VersionStore
from finetune30.errors import DiskFull, LeaseLost, StateError, StorageError
from finetune30.experiments import (
    Experiment,
    ExperimentFolder,
    ExperimentStore,
    Hold,
    Lease,
    Status,
    check_results_dir,
    open_store,
    owner_is_dead,
    this_worker,
)
from finetune30.experiments.lineage import way_on, with_checkpoints
from finetune30.experiments.refusals import not_claimable
from finetune30.monitoring import RunLog
from finetune30.pipeline.attempt import Attempt, fail
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


class Stopped(Exception):
    """A run ended early at a checkpoint; no error, it can go on.

    Attributes:
        experiment: PENDING and paused, or REVOKED.
    """

    def __init__(self, experiment: Experiment) -> None:
        super().__init__(experiment.id)
        self.experiment = experiment


@dataclass(frozen=True)
class Order:
    """One attempt at a claimed experiment, for a process that knows no database.

    Attributes:
        takes_over: Id of the ended run whose checkpoints it goes on from.
        dataset_hash: Of the rows an earlier attempt trained on; None for the first.
    """

    experiment_id: str
    attempt: int
    config: ExperimentConfig
    results_dir: Path
    data_dir: Path
    tz: str
    takes_over: str | None = None
    dataset_hash: str | None = None


def execute(order: Order, hold: Hold, checker: Standby | None = None) -> str | None:
    """Carry out one attempt; whoever gave the order has claimed the row and made its folder.

    Returns: None in SUCCESS, or why it stopped at a checkpoint.
    Raises: BadInput, RunFailed after ``hold`` was told; LeaseLost.
    """
    folder = ExperimentFolder(order.results_dir, order.experiment_id)
    log = RunLog(order.tz)
    with hold:
        try:
            log.open(folder.logs_txt)
            plan = prepare(order.config, VersionStore(order.data_dir), log.line)
            for before in filter(None, (order.experiment_id, order.takes_over)):
                _same_inputs(before, order.dataset_hash, plan, order.results_dir)
            _check_space(order.results_dir, plan)
        except LeaseLost:
            raise
        except Exception as fault:  # as in ``Attempt``: the row must end
            raise fail(hold, log, fault) from fault
        return Attempt(
            folder=folder,
            plan=plan,
            hold=hold,
            takes_over=order.takes_over,
            made_at=None,
            log=log,
            watch=lambda _: None,
            stop_requested=lambda: None,
            checker=checker,
            token_cache=order.data_dir / "tokens",
        ).carry_out()


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
        source = with_checkpoints(store, experiment, settings.results_dir)
        origin = source or experiment
        _not_continued_yet(store, experiment, origin)
        plan = prepare(config, VersionStore(settings.data_dir), tell)
        _same_inputs(origin.id, origin.dataset_hash, plan, settings.results_dir)
        tell(f"{experiment.id} ended as {experiment.status}: {way_on(experiment, source)}")
        return _begin(plan, door, log, resumed_from=origin, continues=source is not None)
    if experiment.lease_live and not owner_is_dead(experiment.lease_owner):
        raise not_claimable(experiment)  # before models are read
    plan = prepare(config, VersionStore(settings.data_dir), tell)
    _same_inputs(experiment.id, experiment.dataset_hash, plan, settings.results_dir)
    check_results_dir(settings.results_dir, plan.disk_bytes)
    return _attempt(store, experiment, _claim(store, experiment, settings.heartbeat_s), plan, door, log)


def finished(experiment_id: str | None, settings: Settings) -> tuple[Experiment, ExperimentConfig, Path]:
    """A run that can classify texts, how it was trained, and where its adapter lies; the newest if none is named.

    Raises: NotFound, StateError.
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
    return experiment, config, folder.final_model


def _begin(plan: Plan, door: Door, log: RunLog, resumed_from: Experiment | None, continues: bool = False) -> Experiment:
    """Make row and folder, in this order: a folder without a row would be nobody's."""
    settings = door.settings
    check_results_dir(settings.results_dir, plan.disk_bytes)
    store = open_store(settings, create=True)
    worker = this_worker()
    experiment = store.create(
        plan.config,
        owner=door.owner,
        tz=settings.tz,
        resumed_from=resumed_from.id if resumed_from else None,
        continues=continues,
        claimed_by=worker,  # from the first instant: no worker may see it waiting
    )
    door.watch(Event("experiment", experiment.id))
    lease = Lease(store, experiment.id, experiment.attempt, worker, settings.heartbeat_s)
    return _attempt(store, experiment, lease, plan, door, log)


def _attempt(
    store: ExperimentStore, experiment: Experiment, lease: Lease, plan: Plan, door: Door, log: RunLog
) -> Experiment:
    """Carry out a claimed row; from here on the row tells how it ended."""
    folder = ExperimentFolder(door.settings.results_dir, experiment.id)
    attempt = Attempt(
        folder=folder,
        plan=plan,
        hold=lease,
        takes_over=experiment.resumed_from if experiment.continues else None,
        made_at=experiment.created_at,
        log=log,
        watch=door.watch,
        stop_requested=door.stop_requested,
        checker=door.checker,
        token_cache=door.settings.data_dir / "tokens",
    )
    with lease:
        stopped = attempt.carry_out()
    ended = store.get(experiment.id)
    if stopped is not None or ended.status is not Status.SUCCESS:  # cancelled while it ended
        raise Stopped(ended)
    return ended


def _not_continued_yet(store: ExperimentStore, ended: Experiment, origin: Experiment) -> None:
    """Refuse to continue an ended run, or the one whose checkpoints it would go on from, twice at once.

    Raises: StateError naming the run that already does.
    """
    for status in (Status.PENDING, Status.STARTED):
        for other in store.find(status=status):
            if other.resumed_from in (ended.id, origin.id):
                raise StateError(
                    f"{ended.id} is already continued by {other.id} ({other.status})",
                    hint=f"finetune30 runs logs {other.id} -f, or finetune30 train --resume {other.id}",
                )


def _same_inputs(experiment_id: str, dataset_hash: str | None, plan: Plan, results_dir: Path) -> None:
    """Refuse to go on with other rows or another base than the checkpoints were trained with.

    Raises: StateError.
    """
    again = "put the old one back, or train again with finetune30 train"
    if dataset_hash not in (None, plan.splits.fingerprint):
        name = plan.config.data.dataset_name
        raise StateError(f"the dataset {name} has changed since {experiment_id} began", where="data", hint=again)
    described = ExperimentFolder(results_dir, experiment_id).environment_json
    if described.is_file():
        known = json.loads(described.read_text(encoding="utf-8")).get("base_model_sha256")
        if known not in (None, plan.base.weights_sha256):
            raise StateError(
                f"the base model {plan.config.model.name} has changed since {experiment_id} began",
                where="model.name",
                hint=again,
            )


def _check_space(results_dir: Path, plan: Plan) -> None:
    """Refuse a disk on which the run would only fail later.

    Raises: DiskFull; StorageError for a folder that cannot be used.
    """
    check_results_dir(results_dir, needed_bytes=0)
    try:
        check_results_dir(results_dir, plan.disk_bytes)
    except StorageError as short:
        raise DiskFull(short.message, where=short.where, hint=short.hint) from short


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
