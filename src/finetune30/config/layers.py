"""Files and overrides, one over the other, settled key by key.

A layer is a mapping as somebody wrote it. Settling gives each value to the key it belongs to,
under whatever name it was written, and tells what cannot be placed. Later layers win.
Neighbours: reading and overrides make layers, checking turns settled values into a configuration.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from finetune30.config.aliases import ALIASES, ChangesNothingError, NotConvertibleError
from finetune30.config.faults import MOST_SHOWN, Fault, Place, path_shown, printable, shown
from finetune30.config.keys import EXTENDS, Key, keys, nearest, sections
from finetune30.config.overrides import SOURCE, read_override
from finetune30.config.scalars import AmbiguousWord
from finetune30.errors import ConfigError

LONGEST_CHAIN = 8
# Beside no such file this name means the built-in defaults, so that an example works in any folder.
DEFAULT_NAME = "default.yaml"
_OTHER_NAMES = {name: alias.key for name, alias in ALIASES.items() if alias.key}


@dataclass(frozen=True)
class Layer:
    """Keys as somebody wrote them, and the lines they were written on."""

    source: str
    values: Mapping[str, object]
    lines: Mapping[tuple[str, ...], int] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()

    def place(self, path: tuple[str, ...]) -> Place:
        return Place(self.source, self.lines.get(path))


@dataclass(frozen=True)
class Setting:
    """The value of a key, and where and under which name it was written."""

    value: object
    place: Place
    written: str


@dataclass
class Settled:
    """Values by key; what was read under another name; what is wrong."""

    settings: dict[str, Setting] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def put_over(self, upper: Settled) -> None:
        """Let another's values win over these."""
        self.settings.update(upper.settings)
        self.notes += [note for note in upper.notes if note not in self.notes]
        self.faults += upper.faults


def file_layers(path: Path) -> list[Layer]:
    """A file and those it extends, the file itself last.

    Raises: ConfigError if one cannot be read, or if they extend one another in a circle.
    """
    layers: list[Layer] = []
    seen: list[str] = []
    while True:
        # Not resolved: a circle of links would raise there; the length of the chain ends it here.
        seen.append(os.path.abspath(path))  # noqa: PTH100
        if seen[-1] in seen[:-1]:
            raise _bad_chain(layers, f"extends itself: {' -> '.join(map(path_shown, seen))}")
        if len(layers) == LONGEST_CHAIN:
            raise _bad_chain(layers, f"is the end of a chain of more than {LONGEST_CHAIN} files")
        from finetune30.config.reading import read_file  # YAML is for those who have a file

        document = read_file(path)
        base = document.values.pop(EXTENDS, None)
        layers.insert(0, Layer(document.source, document.values, document.lines, document.faults))
        if base is None:
            return layers
        if not isinstance(base, str):
            raise _bad_chain(layers, f"is {shown(base)}, expected the path of a YAML file")
        folder, path = path.parent, path.parent / base if "://" not in base else Path(base)
        if "://" not in base and not os.path.lexists(path):
            if base == DEFAULT_NAME:
                return layers  # what a file leaves out has the built-in default anyway
            near = get_close_matches(Path(base).name, [p.name for p in folder.glob("*.y*ml")] + [DEFAULT_NAME], n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise _bad_chain(layers, f"names {path_shown(base)}, which is not in {path_shown(str(folder))}{hint}")


def _bad_chain(layers: Sequence[Layer], text: str) -> ConfigError:
    return ConfigError(text, where=f"{layers[0].source}: {EXTENDS}")


def override_layers(overrides: Sequence[str]) -> list[Layer]:
    """One layer for each override, in their order.

    Raises: ConfigError if one is not KEY=VALUE.
    """
    layers = []
    for override in overrides:
        path, value = read_override(override)
        *outer, name = path
        values: dict[str, object] = {name: value}
        for part in reversed(outer):
            values = {part: values}
        layers.append(Layer(SOURCE, values))
    return layers


def settle(layers: Sequence[Layer]) -> Settled:
    """All layers, later ones winning."""
    settled = Settled(faults=[fault for layer in layers for fault in layer.faults])
    for layer in layers:
        upper = Settled()
        _settle_mapping(layer, layer.values, (), upper)
        settled.put_over(upper)
    return settled


def _settle_mapping(layer: Layer, values: Mapping[str, object], prefix: tuple[str, ...], into: Settled) -> None:
    for name, value in values.items():
        path = (*prefix, name if isinstance(name, str) else str(name))
        dotted = ".".join(path)
        if "." in path[-1]:
            into.faults.append(_unknown(layer, path, into))
        elif dotted in sections():
            _settle_section(layer, value, path, into)
        elif dotted in keys():
            _put(into, keys()[dotted], Setting(value, layer.place(path), dotted))
        elif dotted in ALIASES:
            _settle_alias(layer, value, path, into)
        else:
            into.faults.append(_unknown(layer, path, into))


def _settle_section(layer: Layer, value: object, path: tuple[str, ...], into: Settled) -> None:
    dotted = ".".join(path)
    if isinstance(value, Mapping):
        _settle_mapping(layer, value, path, into)
    elif value is not None or layer.source == SOURCE:
        example = next(key for key in keys() if key.startswith(f"{dotted}."))
        text = f"is {shown(value)}, expected keys below it, such as {example}"
        into.faults.append(Fault(dotted, text, layer.place(path)))


def _settle_alias(layer: Layer, value: object, path: tuple[str, ...], into: Settled) -> None:
    dotted = ".".join(path)
    alias, place = ALIASES[dotted], layer.place(path)
    try:
        converted = alias.convert(value)
    except NotConvertibleError as fault:
        into.faults.append(Fault(dotted, str(fault), place))
    except ChangesNothingError as why:
        into.notes.append(f"{dotted} passed over: {why}")
    else:
        into.notes.append(_read_as(dotted, value, alias.key, converted))
        _put(into, keys()[alias.key], Setting(converted, place, dotted))


def _read_as(written: str, value: object, key: str, converted: object) -> str:
    if type(value) is type(converted) and value == converted:
        return f"{written} read as {key}"
    return f"{written}: {_short(value)} read as {key}: {_short(converted)}"


def _short(value: object) -> str:
    return printable(value) if isinstance(value, str) else shown(value)


def _put(into: Settled, key: Key, setting: Setting) -> None:
    """Give a key its value, unless the same layer gave it another one under another name."""
    earlier = into.settings.get(key.path)
    if earlier is not None and (type(earlier.value) is not type(setting.value) or earlier.value != setting.value):
        line = f" (line {earlier.place.line})" if earlier.place.line else ""
        text = (
            f"is {shown(setting.value)}, but {earlier.written}{line} says {shown(earlier.value)}; "
            "both name the same key, expected one of them"
        )
        into.faults.append(Fault(setting.written, text, setting.place))
        return
    word = _ambiguous(setting.value)
    if word is not None and not key.takes_word(word):
        into.faults.append(Fault(setting.written, _ambiguity(key, word), setting.place))
    into.settings[key.path] = setting


def _ambiguous(value: object) -> AmbiguousWord | None:
    if isinstance(value, list):
        return next((item for item in value if isinstance(item, AmbiguousWord)), None)
    return value if isinstance(value, AmbiguousWord) else None


def _ambiguity(key: Key, word: str) -> str:
    wanted = f'"{word}" in quotes' if key.is_text else key.expects
    return f"is {word} without quotes, which some YAML readers take for true or false; expected {wanted}"


def _unknown(layer: Layer, path: tuple[str, ...], into: Settled) -> Fault:
    dotted = ".".join(map(printable, path))
    if dotted == EXTENDS:
        return Fault(dotted, "works in a configuration file only", layer.place(path))
    if "." in path[-1]:
        return Fault(dotted, "has a dot in a key; write the section, and the key indented below it", layer.place(path))
    # Looking for the nearest key costs time; nobody reads the hundredth suggestion.
    advice = nearest(dotted, _OTHER_NAMES) if len(into.faults) < MOST_SHOWN else ""
    return Fault(dotted, f"unknown key{f'; {advice}' if advice else ''}", layer.place(path))
