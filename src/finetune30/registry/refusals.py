"""Why the registry refuses, in words for the terminal and in words for strangers.

``str()`` names models and versions, for whoever sits at the machine. ``told`` repeats nothing that was asked for: the
API sends it as it is. Neighbours: ``models`` and ``moving`` raise what is made here.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from finetune30.errors import Forbidden, NotFound, StateError


class ModelMissing(NotFound):
    """No model, version or alias is called so."""

    def __init__(self, message: str, told: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.told = told


class RegistryConflict(StateError):
    """It cannot be done as things are."""

    def __init__(self, message: str, told: str, hint: str | None = None, where: str | None = None) -> None:
        super().__init__(message, hint=hint, where=where)
        self.told = told


def no_model(name: str, known: Sequence[str]) -> ModelMissing:
    """No model has this name."""
    near = difflib.get_close_matches(name, known, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else "see: finetune30 models list"
    return ModelMissing(f"there is no model {name!r}", "there is no such model", hint)


def no_version(name: str, number: int, known: Sequence[int]) -> ModelMissing:
    """The model has no version of this number."""
    has = f"{name} has {_listed(known)}" if known else f"{name} has no versions"
    return ModelMissing(f"there is no version {number} of {name}", "there is no such version", has)


def no_alias(name: str, alias: str, known: Sequence[str]) -> ModelMissing:
    """The model has no such alias."""
    near = difflib.get_close_matches(alias, known, n=3)
    hint = f"did you mean {' or '.join(f'{name}@{one}' for one in near)}?" if near else None
    if hint is None:
        hint = f"{name} has {', '.join(known)}" if known else f"set it with: finetune30 models alias {name}@{alias} 1"
    return ModelMissing(f"{name} has no alias {alias!r}", "the model has no such alias", hint)


def not_yours(name: str) -> Forbidden:
    """Another user's."""
    return Forbidden(f"{name} is another user's", hint="its owner and admins may do this")


def moved(name: str, alias: str, now: int | None, expected: int) -> RegistryConflict:
    """Somebody moved the alias before."""
    is_at = "is not set" if now is None else f"points at version {now}"
    was = "that it is not set" if expected == 0 else f"version {expected}"
    return RegistryConflict(
        f"{name}@{alias} {is_at}, expected {was}",
        f"the alias {is_at}, which is not what was expected",
        "somebody moved it meanwhile: look at its history, then decide again",
    )


def nowhere_back(name: str, alias: str, now: int | None) -> RegistryConflict:
    """A rollback has no place to go back to."""
    at = "is not set" if now is None else f"points at version {now}"
    return RegistryConflict(
        f"{name}@{alias} {at} and has been at no other version that still exists",
        "the alias has been at no other version that still exists",
        f"move it with: finetune30 models alias {name}@{alias} VERSION",
    )


def still_aliased(address: str, aliases: Iterable[str]) -> RegistryConflict:
    """An alias points at what should go."""
    named = ", ".join(sorted(aliases))
    return RegistryConflict(
        f"{address} is what {named} points at",
        f"these aliases point at it: {named}",
        "move or drop them first",
    )


def registered_already(experiment_id: str, address: str) -> RegistryConflict:
    """The same experiment would be two versions of one model."""
    return RegistryConflict(
        f"{experiment_id} is {address} already",
        f"this experiment is version {address.rpartition('/')[2]} of the model already",
        f"point an alias at it: finetune30 models alias {address.rpartition('/')[0]}@champion {address}",
    )


def not_successful(experiment_id: str, status: str) -> RegistryConflict:
    """Only what has succeeded has a model."""
    return RegistryConflict(
        f"{experiment_id} is {status}, only a successful run has a model",
        f"the experiment is {status}, only a successful one has a model",
        "finetune30 runs list --status SUCCESS shows those that have",
    )


def not_whole(experiment_id: str, fault: str, folder: str) -> RegistryConflict:
    """The files are not, or no longer, what the run made."""
    return RegistryConflict(
        f"the files of {experiment_id} are not whole: {fault}",
        f"the experiment's files are not whole: {fault}",
        "restore them from a backup, or train again",
        where=folder,
    )


def registered(experiment_id: str, addresses: Sequence[str]) -> RegistryConflict:
    """A registered experiment is not forgotten."""
    named = " and ".join(addresses)
    first = addresses[0] if addresses else "NAME/NUMBER"
    return RegistryConflict(
        f"{experiment_id} is registered as {named}",
        f"it is registered as {named}",
        f"unregister it first: finetune30 models unregister {first}",
    )


def _listed(numbers: Sequence[int]) -> str:
    some = ", ".join(map(str, numbers[:10])) + (", …" if len(numbers) > 10 else "")
    return f"version{'' if len(numbers) == 1 else 's'} {some}"
