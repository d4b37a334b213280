"""How a model is named: ``name@alias``, ``name/3``, ``models:/name@alias``, ``models:/name/3``, an experiment's id.

``@latest`` is the version with the highest number. ``name/production`` means ``name@production``: other registries
write a stage so. Neighbours: ``models.resolve`` finds what is meant.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from finetune30.errors import BadInput
from finetune30.experiments.record import ID_PATTERN
from finetune30.registry.record import LATEST, NAME_PATTERN, STAGES, checked_alias

SCHEME = "models:/"
FORMS = "name@alias, name/3 or an experiment's id"
_MODEL = re.compile(rf"({NAME_PATTERN})(?:@({NAME_PATTERN}|{'|'.join(STAGES)})|/([0-9A-Za-z._-]{{1,64}}))")
_STAGES = frozenset({*STAGES, *(stage.lower() for stage in STAGES), LATEST})
_LARGEST = 2**31


@dataclass(frozen=True)
class Address:
    """What an address says; either ``experiment_id`` or ``model`` with one of ``alias`` and ``version``."""

    model: str | None = None
    alias: str | None = None
    version: int | None = None
    experiment_id: str | None = None


def is_of_model(address: str) -> bool:
    """Whether it names a model, and no experiment: ids hold neither ``@`` nor ``/``."""
    return "@" in address or "/" in address


def parse(address: str) -> Address:
    """What it says.

    Raises: BadInput.
    """
    plain = address.removeprefix(SCHEME)
    found = _MODEL.fullmatch(plain)
    if found is None:
        if plain == address and ID_PATTERN.fullmatch(plain):
            return Address(experiment_id=plain)
        raise _wrong()
    name, alias, tail = found.groups()
    if tail is None:
        return Address(name, alias=_alias(alias))
    if re.fullmatch(r"[1-9][0-9]{0,9}", tail) and int(tail) < _LARGEST:
        return Address(name, version=int(tail))
    if tail in _STAGES:
        return Address(name, alias=_alias(tail))
    raise _wrong()


def _alias(alias: str) -> str:
    return LATEST if alias == LATEST else checked_alias(alias)


def _wrong() -> BadInput:
    return BadInput(f"this is no address of a model, expected {FORMS}", where="address", hint="such as spam@champion")
