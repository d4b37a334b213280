"""From an address to files: what is meant just now, whether its files are there, where it came from.

Neighbours: ``addresses`` reads the words, ``experiments`` knows runs and their folders, ``models`` is the door.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from finetune30.experiments import Experiment, ExperimentFolder, Status
from finetune30.experiments.rows import existing as existing_run
from finetune30.registry import addresses, manifest, reading, refusals
from finetune30.registry.record import LATEST, Actor, Candidate, Model, Resolved, Version, Visibility

_LONGEST_CARD = 1 << 20


def resolve(connection: Connection, results_dir: Path, address: str, by: Actor | None) -> Resolved:
    """What the address means.

    Raises: BadInput, NotFound, Forbidden, StateError.
    """
    said = addresses.parse(address)
    if said.experiment_id is not None:
        run = successful(connection, said.experiment_id, by)
        return _resolved(address, results_dir, run, candidate_files(results_dir, run.id, whole=False))
    model = reading.readable(connection, said.model or "", by)
    version = reading.version(connection, model, _number(model, said))
    run = existing_run(connection, version.experiment_id)
    files = reading.files(connection, model, version.number)
    return _resolved(address, results_dir, run, files, model, version, said.alias)


def successful(connection: Connection, experiment_id: str, by: Actor | None) -> Experiment:
    """The experiment, which has succeeded and is ``by``'s own.

    Raises: NotFound, Forbidden, StateError.
    """
    found = existing_run(connection, experiment_id)
    if by is not None and not by.everything and found.owner != by.name:
        raise refusals.not_yours(experiment_id)
    if found.status is not Status.SUCCESS:
        raise refusals.not_successful(experiment_id, str(found.status))
    return found


def candidate(results_dir: Path, experiment_id: str) -> Candidate:
    """The experiment's files, each looked at.

    Raises: StateError if they are not whole.
    """
    return Candidate(experiment_id, candidate_files(results_dir, experiment_id, whole=True))


def candidate_files(results_dir: Path, experiment_id: str, *, whole: bool) -> manifest.Files:
    """What was sealed when the run ended; what is there, if the run is older than that.

    Args:
        whole: Compare with every byte.
    Raises: StateError.
    """
    folder = ExperimentFolder(results_dir, experiment_id).final_model
    if not folder.is_dir():
        raise refusals.not_whole(experiment_id, "final_model is missing", str(folder))
    try:
        files = manifest.sealed(folder)
        found = manifest.files_in(folder) if files is None else files
        fault = manifest.fault(folder, found) if whole or files is None else None
    except (ValueError, OSError) as cause:
        told = f"{Path(cause.filename).name} cannot be read" if isinstance(cause, OSError) else str(cause)
        raise refusals.not_whole(experiment_id, told, str(folder)) from cause
    if fault is not None:
        raise refusals.not_whole(experiment_id, fault, str(folder))
    return found


def card(results_dir: Path, version: Version) -> str:
    """The model card that lies beside the adapter.

    Raises: StateError.
    """
    path = ExperimentFolder(results_dir, version.experiment_id).final_model / "README.md"
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(_LONGEST_CARD)
    except OSError as cause:
        raise refusals.not_whole(version.experiment_id, "README.md is missing", str(path)) from cause


def lineage(connection: Connection, model: Model, version: Version, by: Actor | None) -> dict[str, Any]:
    """Run ↔ data ↔ model, as JSON tells it."""
    run = existing_run(connection, version.experiment_id)
    same = reading.of_data(connection, run.dataset_hash, by) if run.dataset_hash else []
    return {
        "model": {
            "name": model.name,
            "version": version.number,
            "owner": model.owner,
            "aliases": list(version.aliases),
            "sha256": version.sha256,
            "registered_at": version.registered_at,
            "registered_by": version.registered_by,
        },
        "experiment": {
            "id": run.id,
            "name": run.name,
            "owner": run.owner,
            "created_at": run.created_at,
            "finished_at": run.finished_at,
            "resumed_from": run.resumed_from,
            "fingerprint": run.fingerprint,
            "eval_accuracy": run.eval_accuracy,
        },
        "data": {
            "name": run.dataset,
            "version": run.dataset_hash,
            "also_trained": [one for one in same if one != version.address],
        },
        "base": {"name": run.base_model, "revision": version.base_revision},
    }


def _number(model: Model, said: addresses.Address) -> int:
    if said.version is not None:
        return said.version
    found = model.latest if said.alias == LATEST else model.aliases.get(said.alias or "")
    if found is None:
        raise refusals.no_alias(model.name, said.alias or "", list(model.aliases))
    return found


def _resolved(
    address: str,
    results_dir: Path,
    run: Experiment,
    files: manifest.Files,
    model: Model | None = None,
    version: Version | None = None,
    alias: str | None = None,
) -> Resolved:
    folder = ExperimentFolder(results_dir, run.id).final_model
    return Resolved(
        address=address,
        model=model.name if model else None,
        version=version.number if version else None,
        alias=alias,
        experiment_id=run.id,
        folder=folder,
        files=files,
        sha256=version.sha256 if version else manifest.digest(files),
        owner=model.owner if model else run.owner,
        visibility=model.visibility if model else Visibility.PRIVATE,
        base_model=run.base_model,
        base_revision=run.config.get("model", {}).get("revision"),
        label_names=_label_names(folder, run.id),
        dataset=run.dataset,
        dataset_hash=run.dataset_hash,
        eval_accuracy=run.eval_accuracy,
        config=run.config,
    )


def _label_names(folder: Path, experiment_id: str) -> tuple[str, ...]:
    try:
        names = json.loads((folder / "config.json").read_text(encoding="utf-8"))["id2label"]
        return tuple(str(names[key]) for key in sorted(names, key=int))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as cause:
        raise refusals.not_whole(experiment_id, "config.json cannot be read", str(folder)) from cause
