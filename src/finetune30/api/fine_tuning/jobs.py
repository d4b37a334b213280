"""A job's body as a configuration, and an experiment as a job.

Neighbours: ``wanted`` decides what may be trained, as for ``POST /train``; its faults are told in the words of
the body that was sent.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from finetune30.access import User
from finetune30.api.fine_tuning import names
from finetune30.api.fine_tuning.answers import FineTuningJob, Hyperparameters, JobError, JobStatus, Method, Supervised
from finetune30.api.fine_tuning.bodies import NewJob
from finetune30.api.services import Services
from finetune30.api.wanted import wanted
from finetune30.config import ExperimentConfig, defaults
from finetune30.errors import ConfigError
from finetune30.experiments import Experiment, Status
from finetune30.experiments.metadata import metadata_of
from finetune30.web.problems import Fault, Problem

# What learning_rate_multiplier multiplies: fixed, so that a job says tomorrow what it says today.
UNIT_LEARNING_RATE = 5e-4
# What the operator's defaults say of their own dataset must not be asked of somebody's file.
_OF_A_DATASET = (
    *("dataset_config", "revision", "text_column", "text_pair_column", "label_column", "label_separator"),
    *("label_columns", "encoding", "train_split", "validation_split", "test_split"),
)
_PARAMETERS = {
    "body.model": "body.model",
    "body.data": "body.training_file",
    "body.experiment_name": "body.suffix",
    "body.seed": "body.seed",
    "body.training.learning_rate": "body.hyperparameters.learning_rate_multiplier",
    "body.training.num_train_epochs": "body.hyperparameters.n_epochs",
    "body.training.per_device_train_batch_size": "body.hyperparameters.batch_size",
}
_ENDED: Mapping[Status, JobStatus] = {
    Status.SUCCESS: "succeeded",
    Status.FAILURE: "failed",
    Status.REVOKED: "cancelled",
}
_FAULTS_OF_DATA = ("data_invalid", "data_quality")


def config_of(job: NewJob, user: User, services: Services) -> ExperimentConfig:
    """The configuration that a body means, checked as that of ``POST /train`` is.

    Raises: Problem 422, in the words of the body.
    """
    if job.validation_file is not None and names.upload_of(job.training_file) is None:
        raise _wrong("validation_file", "expected none: the dataset of training_file brings its own validation rows")
    if job.validation_file is not None and names.upload_of(job.validation_file) is None:
        raise _wrong("validation_file", "expected the id of an uploaded file; POST /v1/files makes one")
    asked = job.asked
    training: dict[str, Any] = {}
    if asked.n_epochs != "auto":
        training |= {"num_train_epochs": float(asked.n_epochs), "max_steps": -1}
    if asked.batch_size != "auto":
        training["per_device_train_batch_size"] = asked.batch_size
    if asked.learning_rate_multiplier != "auto":
        training["learning_rate"] = UNIT_LEARNING_RATE * asked.learning_rate_multiplier
    values: dict[str, Any] = {
        "model": {"name": job.model, "num_labels": None, **_revision(job.model)},
        "data": {
            **dict.fromkeys(_OF_A_DATASET),
            "dataset_name": names.dataset_of(job.training_file, job.validation_file),
        },
        "training": training,
    }
    values |= {} if job.suffix is None else {"experiment_name": job.suffix}
    values |= {} if job.seed is None else {"seed": job.seed}
    try:
        # A client that sends a file asks for its job at once: who runs it checks the file again anyway.
        return wanted(values, user, services, states=("ready", "checking"))
    except Problem as problem:
        raise _reworded(problem) from None


def jobs_of(experiments: Iterable[Experiment], services: Services) -> list[FineTuningJob]:
    """Experiments as jobs, in their order."""
    found = list(experiments)
    written = metadata_of(services.engine, [one.id for one in found]) if found else {}
    return [_job(one, written.get(one.id)) for one in found]


def status_of(one: Experiment) -> JobStatus:
    """Its state in OpenAI's words. A run reads and checks its data first; until that is done it validates."""
    if one.status.is_terminal:
        return _ENDED[one.status]
    if one.status is Status.PENDING:
        return "paused" if one.paused else "queued"
    return "validating_files" if one.dataset_hash is None else "running"


def _revision(model: str) -> dict[str, None]:
    """The operator's default pins a commit of the default model, not of any other."""
    try:
        return {} if model == defaults().model.name else {"revision": None}
    except ConfigError:
        return {}  # ``wanted`` will say so


def _job(one: Experiment, metadata: dict[str, str] | None) -> FineTuningJob:
    training_file, validation_file = names.files_of(one.dataset)
    figures = _hyperparameters(one.config.get("training", {}))
    succeeded = one.status is Status.SUCCESS
    return FineTuningJob(
        id=names.job_of(one.id),
        created_at=int(one.created_at),
        finished_at=None if one.finished_at is None else int(one.finished_at),
        estimated_finish=_estimated(one),
        status=status_of(one),
        error=_error(one),
        model=one.base_model,
        fine_tuned_model=names.fine_tuned(one) if succeeded else None,
        organization_id=one.owner,
        training_file=training_file,
        validation_file=validation_file,
        result_files=[names.results_of(one.id)] if succeeded else [],
        trained_tokens=_tokens(one),
        hyperparameters=figures,
        method=Method(supervised=Supervised(hyperparameters=figures)),
        seed=int(one.config.get("seed", 0)),
        metadata=metadata,
    )


def _hyperparameters(training: Mapping[str, Any]) -> Hyperparameters:
    epochs, rate = training.get("num_train_epochs"), training.get("learning_rate")
    by_epochs = isinstance(epochs, int | float) and float(epochs).is_integer() and training.get("max_steps", -1) == -1
    return Hyperparameters(
        n_epochs=int(epochs) if by_epochs and epochs is not None else None,
        batch_size=training.get("per_device_train_batch_size"),
        learning_rate_multiplier=None if rate is None else round(float(rate) / UNIT_LEARNING_RATE, 9),
    )


def _estimated(one: Experiment) -> int | None:
    left = (one.progress or {}).get("eta_s")
    return int(time.time() + left) if one.status is Status.STARTED and isinstance(left, int | float) else None


def _tokens(one: Experiment) -> int | None:
    trained = (one.metrics or {}).get("train") or {}
    rate, took_s = trained.get("tokens_per_s"), trained.get("runtime_s")
    if not isinstance(rate, int | float) or not isinstance(took_s, int | float):
        return None
    return round(rate * took_s)


def _error(one: Experiment) -> JobError | None:
    if one.status is not Status.FAILURE:
        return None
    told = one.error or {}
    code = str(told.get("code") or "run_failed")
    message = ". ".join(str(told[name]) for name in ("message", "hint") if told.get(name))
    return JobError(
        code=code,
        message=message or "the run ended without a result",
        param="training_file" if code in _FAULTS_OF_DATA else None,
    )


def _wrong(parameter: str, told: str) -> Problem:
    return Problem(422, "request_invalid", told, where=f"body.{parameter}", faults=[Fault(f"body.{parameter}", told)])


def _reworded(problem: Problem) -> Problem:
    faults = [Fault(_parameter(one.where), one.detail) for one in problem.faults]
    return Problem(
        problem.status,
        problem.code,
        f"{faults[0].where}: {faults[0].detail}" if faults else problem.detail,
        where=faults[0].where if faults else problem.where,
        hint="GET /v1/models lists the models" if any(one.where == "body.model" for one in faults) else None,
        faults=faults,
        headers=problem.headers,
    )


def _parameter(where: str) -> str:
    """The parameter of the body that a key of the configuration came from."""
    fits = [key for key in _PARAMETERS if where == key or where.startswith(f"{key}.")]
    return _PARAMETERS[max(fits, key=len)] if fits else where
