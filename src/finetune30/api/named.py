"""How models, versions and aliases are written in paths, queries and bodies, and who asks for them.

The patterns are the registry's own: what passes here is a name there. Neighbours: ``routes.models``,
``routes.aliases``.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query
from pydantic import AfterValidator, BeforeValidator, Field

from finetune30.access import User
from finetune30.api.queries import digits
from finetune30.registry import Actor
from finetune30.registry.addresses import PATTERN
from finetune30.registry.record import ALIAS_PATTERN, LATEST, LONGEST_TEXT, NAME_PATTERN, RESERVED, STAGES

_NAME = rf"^{NAME_PATTERN}$"
_ALIAS = rf"^({ALIAS_PATTERN}|{'|'.join(STAGES)})$"


def _free(value: str) -> str:
    if value in RESERVED:
        raise ValueError("expected another name, this one is taken")
    return value


def _set(value: str) -> str:
    if value == LATEST:
        raise ValueError("expected another alias: latest is the newest version by itself")
    return value


def _whole(value: object) -> object:
    """JSON knows one kind of number: 3.0 is 3."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Name = Annotated[str, Path(pattern=_NAME, description="Of a model")]
NewName = Annotated[
    str, Field(pattern=_NAME, json_schema_extra={"not": {"enum": sorted(RESERVED)}}), AfterValidator(_free)
]
Number = Annotated[int, Field(ge=1, lt=2**31), BeforeValidator(digits), Path(description="Of a version")]
Alias = Annotated[
    str,
    Path(pattern=_ALIAS, description="Not a number", json_schema_extra={"not": {"enum": [LATEST]}}),
    AfterValidator(_set),
]
NewAlias = Annotated[str, Field(pattern=_ALIAS, json_schema_extra={"not": {"enum": [LATEST]}}), AfterValidator(_set)]
Address = Annotated[
    str, Query(pattern=f"^{PATTERN}$", max_length=160, description="name@alias, name/3 or an experiment's id")
]
After = Annotated[str, Query(pattern=_NAME, description="The last name of the page before")]
Before = Annotated[
    int, Field(ge=1, lt=2**31), BeforeValidator(digits), Query(description="The next of the page before")
]
Expected = Annotated[
    int,
    Field(ge=0, lt=2**31, description="The version it must point at before; 0: it is not set"),
    BeforeValidator(_whole),
]
VersionNumber = Annotated[int, Field(ge=1, lt=2**31), BeforeValidator(_whole)]
ExpectedQuery = Annotated[
    int, Field(ge=0, lt=2**31), BeforeValidator(digits), Query(description="The version it must point at before")
]
Text = Annotated[str, Field(max_length=LONGEST_TEXT)]


def actor_of(user: User) -> Actor:
    """The user as the registry knows them."""
    return Actor(user.name, everything=user.is_admin)
