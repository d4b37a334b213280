"""A configuration that a program sent, over the defaults of this installation.

Its faults are told by key and by what the key expects, never with the value: what somebody sent by
mistake must not come back in an answer, or stand in a log.
Neighbours: ``loading`` tells people everything; the API turns these faults into its answer.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from finetune30.config.keys import keys, sections
from finetune30.config.layers import Layer, file_layers, settle
from finetune30.config.loading import DEFAULT_FILE, checked, validated
from finetune30.config.rules import RULES
from finetune30.config.schema import ExperimentConfig

MOST_FAULTS = 30
_SOURCE = "the request"


@dataclass(frozen=True)
class Wrong:
    """A key that was sent with something it does not take."""

    key: str
    text: str


def defaults() -> ExperimentConfig:
    """What a request without any key means: ``config/default.yaml`` here, or the built-in defaults.

    Raises: ConfigError if that file is wrong.
    """
    return checked(settle(_default_layers()), str(DEFAULT_FILE))


def asked(values: Mapping[str, object]) -> tuple[ExperimentConfig | None, list[Wrong]]:
    """The configuration that was asked for, what it leaves out taken from ``defaults``; and what is wrong.

    Where something is wrong the configuration is that of the keys that are right, so that a caller who has more to
    ask of their values can tell all faults at once; None where they make none.

    Raises: ConfigError if the file of defaults cannot be read.
    """
    usual = _default_layers()
    settled = settle([*usual, Layer(_SOURCE, values)])
    config, found = validated(settled)
    faults = [*settled.faults, *found.values()]
    if config is not None and not faults:
        return config.with_notes(tuple(settled.notes)), []
    told = {fault.key: Wrong(fault.key, _without_value(fault.key, fault.text)) for fault in faults}
    right = settle(usual)
    # Of keys that do not go together none is known to be right.
    unsure = {*found, *(key for rule in RULES if rule.keys[0] in found for key in rule.keys)}
    good = {path: one for path, one in settled.settings.items() if path not in unsure and one.written not in told}
    right.settings.update(good)
    return validated(right)[0], list(told.values())[:MOST_FAULTS]


def _default_layers() -> list[Layer]:
    return file_layers(DEFAULT_FILE) if os.path.lexists(DEFAULT_FILE) else []


def _without_value(key: str, text: str) -> str:
    if text.startswith("unknown key"):
        return text
    if key in sections():
        return "expected keys below it"
    known = keys().get(key)
    if known is None:
        return "expected a key and a value as GET /config/schema says"
    others = {other for rule in RULES if rule.keys[0] == key for other in rule.keys[1:]}
    if known.expects in text or not others:
        return f"expected {known.expects}"
    return f"does not go together with {', '.join(sorted(others))}; see GET /config/schema"
