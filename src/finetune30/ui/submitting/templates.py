"""Where a training may begin: files of the operator, a file of one's own, an earlier run.

A file of the operator's may extend its neighbours; one that somebody sends may not, for that would be this machine's
disk. Neighbours: ``draft`` takes what is read here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from finetune30.client import Client
from finetune30.client.configurations import read_configuration
from finetune30.client.tasks import values_of
from finetune30.errors import ConfigError, Refused
from finetune30.ui.submitting.draft import Form, faults_of
from finetune30.ui.submitting.keys import Values, flat, nested
from finetune30.ui.submitting.sendable import sendable

_USUAL = "default"
_LARGEST_BYTES = 256 * 1024
_MOST_TRIES = 5
_MOST_KEYS = 500


@dataclass(frozen=True)
class Template:
    """A file of the operator's: what it says, or what is wrong with it."""

    name: str
    config: Mapping[str, Any] = field(default_factory=dict)
    fault: str = ""


@dataclass(frozen=True)
class Read:
    """What came of a file: values for the form, wrong ones and unknown keys among them; what was read otherwise."""

    values: Values
    notes: tuple[str, ...] = ()


def templates(folder: Path | None) -> list[Template]:
    """Those in a folder, by name; ``default.yaml`` is what every form begins with."""
    found = sorted(folder.glob("*.y*ml")) if folder is not None else []
    return [_template(one, one.stat().st_mtime_ns) for one in found if one.stem != _USUAL and one.is_file()]


def read_file(content: bytes, client: Client, form: Form) -> Read:
    """A file somebody sent, over the server's defaults.

    Raises: ConfigError for what is no YAML of ours; RemoteError.
    """
    if len(content) > _LARGEST_BYTES:
        raise ConfigError(f"is larger than {_LARGEST_BYTES // 1024} KiB, expected a configuration")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as cause:
        raise ConfigError("is not UTF-8 text", hint="save it as UTF-8 in your editor") from cause
    values = read_configuration(text, "YAML")
    if values.get("extends") == f"{_USUAL}.yaml":
        del values["extends"]
    told: Values = {path: sendable(value) for path, value in flat(values, form.fields).items()}
    if len(told) > _MOST_KEYS:
        raise ConfigError(f"has {len(told)} keys, expected a configuration: {_MOST_KEYS} at most")
    wrong: Values = {}
    # What is wrong is laid aside until the rest is taken: under which names keys were written the server knows.
    for _ in range(_MOST_TRIES):
        try:
            checked = client.check(nested(told))
        except Refused as refusal:
            faults = [path for path in faults_of(refusal) if path in told]
            if not faults:
                raise
            wrong |= {path: told.pop(path) for path in faults}
        else:
            return Read({**flat(checked.config, form.fields), **wrong}, checked.notes)
    return Read({**form.defaults, **told, **wrong})


@lru_cache(maxsize=100)
def _template(path: Path, _changed_at: int) -> Template:
    try:
        return Template(path.stem, values_of(path))
    except ConfigError as fault:
        told = ": ".join(filter(None, (fault.where, fault.message)))
        return Template(path.stem, fault=told.replace(f"{path.parent}/", ""))
