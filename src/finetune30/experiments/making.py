"""New rows: an id of their own, a quota of their owner, one for each idempotency key.

Neighbours: ``store`` makes rows for people's own processes, ``queue`` those that wait for a worker;
both within a transaction of theirs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, and_, func, insert, select
from sqlalchemy.exc import IntegrityError

from finetune30 import database
from finetune30.errors import IdempotencyConflict, QuotaExceeded, StorageError
from finetune30.experiments.record import Status, Wish, first_id, plain_text, portable, search_key
from finetune30.experiments.tables import experiments, row

if TYPE_CHECKING:
    from finetune30.config import ExperimentConfig

_UNFINISHED = (Status.PENDING, Status.STARTED)


def make(connection: Connection, config: ExperimentConfig, owner: str, tz: str, values: Mapping[str, Any]) -> str:
    """Insert a row; its id, however many are made in the same second.

    Args:
        tz: Zone of date and time in the id.
        values: Of columns beyond those the configuration tells.
    """
    created_at: float = connection.execute(select(database.now())).scalar_one()
    told = {
        "name": plain_text(config.experiment_name),
        "name_key": search_key(config.experiment_name),
        "owner": plain_text(owner),
        "status": Status.PENDING,
        "config": portable(config.model_dump(mode="json")),
        "fingerprint": config.fingerprint,
        "base_model": plain_text(config.model.name),
        "dataset": plain_text(config.data.dataset_name),
        "created_at": created_at,
    }
    return _insert_with_free_id(connection, first_id(config.experiment_name, created_at, tz), {**told, **values})


def made_before(connection: Connection, owner: str, wish: Wish, submission: str) -> str | None:
    """The id that this owner's idempotency key already made; None for a new key, or none at all.

    From here to the end of the transaction no other submission of this owner comes in between.

    Raises: IdempotencyConflict where the key was used for something else.
    """
    database.one_at_a_time(connection, f"submit:{plain_text(owner)}")
    if wish.idempotency_key is None:
        return None
    mine = select(row.id, row.submission).where(row.owner == plain_text(owner))
    found = connection.execute(mine.where(row.idempotency_key == plain_text(wish.idempotency_key))).first()
    if found is None:
        return None
    if found.submission != submission:
        raise IdempotencyConflict(
            f"this idempotency key has made {found.id} from another submission",
            where="Idempotency-Key",
            hint="use a new key for a new job, or send exactly what was sent before",
        )
    made: str = found.id
    return made


def check_quota(connection: Connection, owner: str, quota: int | None) -> None:
    """Refuse one more unfinished job of an owner who has ``quota`` of them.

    Raises: QuotaExceeded.
    """
    if quota is None:
        return
    unfinished = select(func.count()).where(row.owner == plain_text(owner), row.status.in_(_UNFINISHED))
    count = connection.execute(unfinished).scalar_one()
    if count >= quota:
        raise QuotaExceeded(
            f"{owner} has {count} unfinished jobs, expected fewer than {quota}",
            where="MAX_JOBS_PER_USER",
            hint="wait until some have ended, or cancel some: finetune30 jobs list",
        )


def hash_of(config: ExperimentConfig, wish: Wish) -> str:
    """What a submission says, its key left out: equal for equal submissions."""
    said: dict[str, Any] = {
        "config": portable(config.model_dump(mode="json")),
        "wish": [wish.queue, wish.priority, wish.max_runtime_s, wish.resumed_from, wish.continues],
    }
    if wish.metadata:  # only then: what was submitted before there were any keeps its hash
        said["metadata"] = portable(wish.metadata)
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _insert_with_free_id(connection: Connection, wanted: str, values: Mapping[str, Any]) -> str:
    """Insert as the first free one of ``wanted``, ``wanted_2``, …: the primary key decides."""
    first = _likely_free(connection, wanted, values["created_at"])
    for number in range(first, first + 1000):
        experiment_id = wanted if number == 1 else f"{wanted}_{number}"
        try:
            with connection.begin_nested():
                connection.execute(insert(experiments).values(id=experiment_id, **values))
        except IntegrityError:
            if connection.scalar(select(row.id).where(row.id == experiment_id)) is None:  # not the id was at fault
                raise
            continue
        return experiment_id
    raise StorageError(f"no free id is left beside {wanted}", hint="try again in a second")


def _likely_free(connection: Connection, wanted: str, now: float) -> int:
    """The suffix after the largest in use: somebody may submit hundreds within the second that an id names."""
    lately = and_(row.created_at > now - 2, row.id.startswith(wanted, autoescape=True))
    taken = connection.scalars(select(row.id).where(lately)).all()
    suffixes = [one.removeprefix(f"{wanted}_") for one in taken]
    return 1 + max([int(one) for one in suffixes if one.isdecimal()], default=int(wanted in taken))
