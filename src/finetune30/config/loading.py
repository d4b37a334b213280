"""From files, overrides and mappings to one checked configuration, with every fault told at once.

Neighbours: layers settles which key has which value, schema checks them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from finetune30.config.faults import Fault, refuse, shown
from finetune30.config.keys import Key, keys
from finetune30.config.layers import Layer, Setting, Settled, file_layers, override_layers, settle
from finetune30.config.rules import BrokenRule
from finetune30.config.scalars import AmbiguousWord
from finetune30.config.schema import ExperimentConfig
from finetune30.config.tools import recognised
from finetune30.errors import ConfigError

DEFAULT_FILE = Path("config/default.yaml")


def load(path: Path | None = None, overrides: Sequence[str] = ()) -> ExperimentConfig:
    """The configuration of a YAML file, with ``KEY=VALUE`` overrides over it, later ones winning.

    Args:
        path: None takes config/default.yaml of the working directory, or the built-in defaults.
    Raises: ConfigError naming every fault with its file, line and key.
    """
    if path is None and os.path.lexists(DEFAULT_FILE):
        path = DEFAULT_FILE
    files = file_layers(path) if path is not None else []
    where = files[-1].source if files else "--set"
    tool = recognised(files[-1].values) if files else None
    if tool is not None:
        raise ConfigError(
            f"is a file of {tool.name}, whose keys are not ours",
            where=where,
            hint=f"finetune30 config import {where} --out config/mine.yaml",
        )
    return checked(settle([*files, *override_layers(overrides)]), where)


def from_mapping(values: Mapping[str, object], where: str = "configuration") -> ExperimentConfig:
    """The configuration of a mapping of JSON types; what it leaves out has its default.

    Raises: ConfigError naming every fault with its key.
    """
    return checked(settle([Layer(where, values)]), where)


def checked(settled: Settled, where: str) -> ExperimentConfig:
    """The configuration that settled values make.

    Raises: ConfigError naming every fault, those of settling included.
    """
    config, found = validated(settled)
    faults = [*settled.faults, *found.values()]
    if config is None or faults:
        refuse(faults, where)
    return config.with_notes(tuple(settled.notes))


def wrong_values(settled: Settled) -> dict[str, str]:
    """What is wrong with settled values, by key: nothing, if they make a configuration."""
    _, found = validated(settled)
    return {key: fault.text for key, fault in found.items()}


def validated(settled: Settled) -> tuple[ExperimentConfig | None, dict[str, Fault]]:
    """The configuration, or the faults of values by key; what settling has told is not told again."""
    told = {fault.key for fault in settled.faults}
    known = {key: setting for key, setting in settled.settings.items() if setting.written not in told}
    try:
        return ExperimentConfig.model_validate(_nested(known)), {}
    except ValidationError as refusal:
        wrong = _value_faults(refusal, known)
    unsure = {*wrong, *(settled.settings.keys() - known.keys())}
    return None, {**wrong, **_rule_faults(known, unsure)}


def _nested(settings: Mapping[str, Setting]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for path, setting in settings.items():
        *outer, name = path.split(".")
        level = nested
        for part in outer:
            level = level.setdefault(part, {})
        level[name] = str(setting.value) if isinstance(setting.value, AmbiguousWord) else setting.value
    return nested


def _value_faults(refusal: ValidationError, settings: Mapping[str, Setting]) -> dict[str, Fault]:
    """The first fault of each key whose value its type refuses."""
    found: dict[str, Fault] = {}
    for error in refusal.errors(include_url=False, include_context=True):
        key = _key_of(error["loc"])
        if key is not None and key.path not in found:
            setting = settings[key.path]
            # A validator of ours speaks for itself, unless it is one branch of several.
            own_words = error["type"] == "value_error" and len(error["loc"]) == key.path.count(".") + 1
            text = str(error["ctx"]["error"]) if own_words else _refused(key, setting.value, error["loc"])
            found[key.path] = Fault(setting.written, text, setting.place)
    return found


def _key_of(location: tuple[int | str, ...]) -> Key | None:
    """The key at the beginning of pydantic's location, which goes on into types and items."""
    for length in (1, 2, 3):
        if key := keys().get(".".join(map(str, location[:length]))):
            return key
    return None


def _refused(key: Key, value: object, location: tuple[int | str, ...]) -> str:
    item = _item(value, location[key.path.count(".") + 1 :])
    what = f"is {shown(value)}" if item is None else f"has {item} in it"
    quotes = "; put it in quotes" if key.is_text and isinstance(value, int | float) else ""
    return f"{what}, expected {key.expects}{quotes}"


def _item(value: object, location: tuple[int | str, ...]) -> str | None:
    for step in location:
        if isinstance(value, list) and isinstance(step, int) and step < len(value):
            return shown(value[step])
        if isinstance(value, dict) and step in value:
            return f"{shown(step)}: {shown(value[step])}"
    return None


def _rule_faults(settings: Mapping[str, Setting], unsure: set[str]) -> dict[str, Fault]:
    """Rules between keys that are broken by values that are right each for itself.

    Args:
        unsure: Keys without a good value; a rule that reads one of them cannot be judged.
    """
    try:
        ExperimentConfig.model_validate(_nested({k: v for k, v in settings.items() if k not in unsure}))
    except ValidationError as refusal:
        broken = [rule for error in refusal.errors() for rule in error.get("ctx", {}).get("broken", ())]
        return {rule.key: _told_at(rule, settings) for rule in broken if unsure.isdisjoint(rule.keys)}
    return {}


def _told_at(rule: BrokenRule, settings: Mapping[str, Setting]) -> Fault:
    written = [settings[key] for key in rule.keys if key in settings]
    own = settings.get(rule.key)
    return Fault(own.written if own else rule.key, rule.text, (own or written[0]).place)
