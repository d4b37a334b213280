"""Why the store refused: an UPDATE that found no row, told in words and with the next step.

Neighbours: ``store`` raises what is made here, after looking at the row.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from finetune30.errors import AlreadyClaimed, LeaseLost, NotFound, StateError
from finetune30.experiments.moves import LOCAL
from finetune30.experiments.record import Experiment, Status


def missing(experiment_id: str, known: Sequence[str]) -> NotFound:
    """No row has this id; the hint names those that look alike."""
    near = difflib.get_close_matches(experiment_id, known, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else "see: finetune30 runs list"
    return NotFound(f"there is no experiment {experiment_id!r}", hint=hint)


def none_yet(status: Status | None) -> NotFound:
    """No row at all, or none in this state."""
    return NotFound(f"there is no experiment{f' in {status}' if status else ''} yet", hint="finetune30 train makes one")


def ambiguous(prefix: str, ids: Sequence[str]) -> NotFound:
    """Several ids begin so."""
    some = ", ".join(ids[:5]) + (", …" if len(ids) > 5 else "")
    return NotFound(f"{len(ids)} experiments begin with {prefix!r}, expected one", hint=f"say which: {some}")


def not_claimable(found: Experiment) -> StateError:
    """A claim found the row taken, paused, being cancelled or terminal."""
    if found.status.is_terminal:
        return StateError(
            f"{found.id} is {found.status}, a finished experiment is never run again",
            hint="train its config.yaml as a new experiment",
        )
    if found.cancel_requested:
        return StateError(
            f"{found.id} is being cancelled", hint=f"see it through with: finetune30 runs cancel {found.id}"
        )
    if found.paused:
        return StateError(f"{found.id} is paused", hint=f"go on with: finetune30 train --resume {found.id}")
    way = "should that process be gone, its lease soon ends and the run can be resumed"
    if not (found.lease_owner or "").startswith(LOCAL):
        way = f"a worker runs it; to go on with it here, first: finetune30 jobs pause {found.id}"
    return AlreadyClaimed(
        f"{found.id} is running on {found.lease_owner}",
        hint=f"follow it with: finetune30 runs logs {found.id} -f; {way}",
    )


def not_cancellable(found: Experiment) -> StateError:
    """A cancel found the row terminal."""
    return StateError(f"{found.id} is {found.status}, only PENDING and STARTED can be cancelled")


def not_waiting(found: Experiment, wish: str) -> StateError:
    """A pause or a resume found the row terminal, or about to be cancelled."""
    if found.cancel_requested and not found.status.is_terminal:
        return StateError(f"{found.id} is being cancelled, it cannot be {wish}")
    return StateError(
        f"{found.id} is {found.status}, only PENDING and STARTED can be {wish}",
        hint=f"run it again as a new job: finetune30 jobs retry {found.id}",
    )


def not_deletable(found: Experiment) -> StateError:
    """A delete found somebody running it."""
    return StateError(
        f"{found.id} is running on {found.lease_owner}, expected a run that nobody runs",
        hint=f"stop it first: finetune30 runs cancel {found.id}",
    )


def in_use(experiment_id: str) -> StateError:
    """A delete found that something else stands on it."""
    return StateError(
        f"{experiment_id} is registered as a model, expected a run that nothing refers to",
        hint="unregister it first; see: finetune30 models list",
    )


def lost(experiment_id: str, attempt: int, worker: str, found: Experiment | None) -> LeaseLost:
    """A fenced write found that its attempt no longer holds the row, or that the row is gone."""
    if found is None:
        now = "it was deleted"
    elif found.lease_owner is None:
        now = f"it is {found.status}"
    else:
        now = f"it is {found.status}, attempt {found.attempt} on {found.lease_owner} has it"
    return LeaseLost(
        f"attempt {attempt} on {worker} no longer runs {experiment_id}: {now}",
        hint="nothing was changed; see: finetune30 runs list",
    )
