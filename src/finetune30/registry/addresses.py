"""How a model is named: ``name@alias``, ``name/3``, ``models:/name@alias``, ``models:/name/3``, an experiment's id.

``@latest`` is the version with the highest number. ``name/production`` means ``name@production``: other registries
write a stage so. Neighbours: ``models.resolve`` finds what is meant.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from finetune30.errors import BadInput
from finetune30.registry.record import ALIAS_PATTERN, LATEST, NAME_PATTERN, STAGES, checked_alias

SCHEME = "models:/"
FORMS = "name@alias, name/3 or an experiment's id"
_STAGE = "|".join((LATEST, *STAGES, *(stage.lower() for stage in STAGES)))
_OF_MODEL = rf"({SCHEME})?{NAME_PATTERN}(@({ALIAS_PATTERN}|{_STAGE})|/([1-9][0-9]{{0,8}}|{_STAGE}))"
# What an experiment's id may hold: neither @ nor /, so the two are never mistaken for each other.
PATTERN = rf"({_OF_MODEL}|[a-z0-9_-]{{1,80}})"


@dataclass(frozen=True)
class Address:
    """What an address says; either ``experiment_id`` or ``model`` with one of ``alias`` and ``version``."""

    model: str | None = None
    alias: str | None = None
    version: int | None = None
    experiment_id: str | None = None


def is_of_model(address: str) -> bool:
    """Whether it names a model, and no experiment."""
    return "@" in address or "/" in address


def parse(address: str) -> Address:
    """What it says.

    Raises: BadInput.
    """
    if not re.fullmatch(PATTERN, address):
        raise BadInput(
            f"this is no address of a model, expected {FORMS}", where="address", hint="such as spam@champion"
        )
    plain = address.removeprefix(SCHEME)
    name, at, alias = plain.partition("@")
    if at:
        return Address(name, alias=_alias(alias))
    name, slash, tail = plain.partition("/")
    if not slash:
        return Address(experiment_id=plain)
    return Address(name, version=int(tail)) if tail.isdigit() else Address(name, alias=_alias(tail))


def _alias(alias: str) -> str:
    return LATEST if alias == LATEST else checked_alias(alias)
