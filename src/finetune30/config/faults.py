"""What is wrong with a configuration, collected first and told together.

A reader who has to run a program five times to hear of five misspelt keys stops reading. So
every check adds a Fault, and ``refuse`` raises one ConfigError that lists them all, each with
its key, the place it was written, what is and what was expected.
Neighbours: reading, layers and checking find the faults.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NoReturn

from finetune30.errors import ConfigError

MOST_SHOWN = 30


@dataclass(frozen=True)
class Place:
    """Where a value was written: a file and its line, or ``--set``."""

    source: str
    line: int | None = None

    def told(self, main: str) -> str:
        """The place in words, shorter when it lies in the file that the message names anyway."""
        line = f"line {self.line}" if self.line else ""
        source = "" if self.source == main else self.source
        return " ".join(part for part in (source, line) if part)


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong: ``text`` says what is and what was expected."""

    key: str
    text: str
    place: Place


def refuse(faults: Iterable[Fault], where: str) -> NoReturn:
    """Raise the ConfigError that tells all faults of a configuration, in the order of its file."""
    told = sorted(faults, key=lambda fault: (fault.place.source != where, fault.place.source, fault.place.line or 0))
    if len(told) == 1:
        place = told[0].place.told(where)
        at = f"{where}: {told[0].key}" + (f" ({place})" if place else "")
        raise ConfigError(told[0].text, where=at)
    lines = [f"{where} has {len(told)} faults:"]
    for fault in told[:MOST_SHOWN]:
        place = fault.place.told(where)
        lines.append(f"  {fault.key}{f' ({place})' if place else ''}: {fault.text}")
    if len(told) > MOST_SHOWN:
        lines.append(f"  and {len(told) - MOST_SHOWN} more")
    raise ConfigError("\n".join(lines))


def shown(value: object) -> str:
    """A value as a person would write it in YAML: short, and without anything that could move a cursor."""
    match value:
        case None | bool():
            return {None: "null", True: "true", False: "false"}[value]
        case int():
            # Python refuses to print integers of more than 4300 digits.
            return str(value) if value.bit_length() < 200 else "a number of more than 60 digits"
        case float():
            return repr(value) if math.isfinite(value) else f".{str(value).lower()}".replace(".-", "-.")
        case str():
            return f'"{printable(value)}"'
        case dict():
            return "a mapping" if value else "an empty mapping"
        case list() | tuple():
            return f"a list of {len(value)}" if value else "an empty list"
        case _:
            return f"a {type(value).__name__}"


def printable(text: str, longest: int = 60) -> str:
    """Text cut to a length fit for a message; characters that do not print are escaped."""
    cut = text if len(text) <= longest else text[: longest - 3] + "..."
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in cut)


def path_shown(path: object) -> str:
    """A path for a message: whole, for people copy it."""
    return printable(str(path), 4096)
