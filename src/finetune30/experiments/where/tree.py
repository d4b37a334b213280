"""What a filter says, as a tree: comparisons joined by and, or, not.

Neighbours: ``grammar`` makes it, ``clauses`` makes it a condition.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from sqlalchemy import ColumnElement


class Kind(StrEnum):
    """How the values of a field are read and compared."""

    TEXT = "text"
    NAME = "name"
    STATUS = "status"
    NUMBER = "number"
    WHOLE = "whole number"
    MOMENT = "moment"
    FLAG = "flag"
    KEY = "key of a JSON object"


@dataclass(frozen=True)
class Field:
    """Something a filter may ask for.

    Attributes:
        column: Where it is kept.
        path: Within the JSON object that ``column`` holds; dots between names.
        takes: Of a KEY: JSON types that stand there, such as ``number``.
    """

    name: str
    kind: Kind
    column: ColumnElement[object]
    path: str = ""
    takes: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Day:
    """A whole day: from ``start`` on, before ``end``. Unix seconds."""

    start: float
    end: float


Value: TypeAlias = str | float | bool | Day


@dataclass(frozen=True)
class Comparison:
    """A field against one of ``values``: ``=``, ``<``, ``<=``, ``>``, ``>=``, ``~``; ``IN`` has several."""

    field: Field
    operator: str
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Missing:
    """The row does not have it."""

    field: Field


@dataclass(frozen=True)
class Not:
    """Everything else."""

    part: Where


@dataclass(frozen=True)
class All:
    """Each of them."""

    parts: tuple[Where, ...]


@dataclass(frozen=True)
class Any:
    """At least one of them."""

    parts: tuple[Where, ...]


Where: TypeAlias = Comparison | Missing | Not | All | Any


def leaves(where: Where) -> Iterator[Comparison | Missing]:
    """What is compared, from left to right."""
    match where:
        case Comparison() | Missing():
            yield where
        case Not(part=part):
            yield from leaves(part)
        case All(parts=parts) | Any(parts=parts):
            for part in parts:
                yield from leaves(part)


def depth(where: Where) -> int:
    """How many stand within one another."""
    match where:
        case Comparison() | Missing():
            return 1
        case Not(part=part):
            return 1 + depth(part)
        case All(parts=parts) | Any(parts=parts):
            return 1 + max(map(depth, parts))
