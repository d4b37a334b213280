"""What a client may ask to be trained: names on the operator's lists, and nothing of this machine's disk.

A path on the server would let a user read what the server can read; a name that is on no list would fetch
anything from anywhere. What ``config/default.yaml`` here says is the operator's own choice, and taken.
Neighbours: ``config.asked`` checks keys and values, ``jobs.submit`` makes the row.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from finetune30.access import User
from finetune30.api.services import Services
from finetune30.config import ExperimentConfig, Wrong, asked, defaults, json_schema
from finetune30.errors import ConfigError, Finetune30Error
from finetune30.modeling.source import BUILTIN as MODELS
from finetune30.settings import Settings
from finetune30.web.faults import NOT_KNOWN, shown
from finetune30.web.problems import Fault, Problem

if TYPE_CHECKING:
    from finetune30.data.uploads import Upload

_LONGEST_NAME = 300
# What libraries put into paths of their caches, and into addresses.
_REVISION = r"^(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._-]{0,99}(/[A-Za-z0-9][A-Za-z0-9._-]{0,99}){0,4}$"
_NAME = r"^(?!.*\.\.)[A-Za-z0-9_][A-Za-z0-9_ .,+()\[\]:%-]{0,199}$"
_EXPECTED = {
    _REVISION: "expected a branch, tag or commit, such as main or v1.0",
    _NAME: "expected letters, digits and . _ + -, a letter or digit first",
}
_PATTERNS = {
    ("model", "revision"): _REVISION,
    ("data", "revision"): _REVISION,
    ("data", "dataset_config"): _NAME,
    ("data", "train_split"): _NAME,
    ("data", "validation_split"): _NAME,
    ("data", "test_split"): _NAME,
}
_SECTIONS = (("model",), ("lora",), ("data",), ("training",), ("data", "validation_rules"))


def schema() -> dict[str, Any]:
    """What a body may be, as JSON schema: that of a configuration file, as far as a client may say it."""
    found = {**json_schema(), "additionalProperties": False}
    found.pop("$schema", None)
    found["properties"] = {name: part for name, part in found["properties"].items() if name != "extends"}
    for (section, key), pattern in _PATTERNS.items():
        for one in found["$defs"][section.capitalize()]["properties"][key]["anyOf"]:
            if one["type"] == "string":
                one["pattern"] = pattern
    return found


def wanted(
    values: Mapping[str, Any], user: User, services: Services, states: Collection[str] = ("ready",)
) -> ExperimentConfig:
    """The configuration that was asked for.

    Args:
        states: In which an upload may be trained on.
    Raises: Problem 422 naming every fault by its key.
    """
    try:
        config, wrong = asked(values)
        default = defaults()
    except ConfigError:
        raise _no_defaults() from None
    faults = [_told(one) for one in wrong]
    if config is not None:
        told = {one.where for one in faults}
        further = [*_nothings(values), *_model(config, default, services.settings)]
        further += _data(config, default, user, services, states)
        further += [*_names(config, default), *_machines(config)]
        faults += [one for one in further if one.where not in told]
    if config is None or faults:
        raise _refused(faults)
    return config


def _told(wrong: Wrong) -> Fault:
    """The fault; of a key that is not ours no more is repeated than looks like one."""
    parts = wrong.key.split(".")
    ours = list(takewhile(shown, parts))
    if len(ours) == len(parts):
        return Fault(f"body.{wrong.key}", wrong.text)
    advice = wrong.text.removeprefix("unknown key") if wrong.text.startswith("unknown key") else ""
    return Fault(".".join(("body", *ours)), f"{NOT_KNOWN}{advice}")


def _refused(faults: list[Fault]) -> Problem:
    first = faults[0]
    return Problem(
        422,
        "config_invalid",
        f"{first.where}: {first.detail}",
        where=first.where,
        hint="GET /config/schema tells every key",
        faults=faults,
    )


def base_models(settings: Settings) -> list[str]:
    """Names of the models that may be trained from: built in, the default here, allowed by the operator.

    Raises: Problem 503.
    """
    return list(dict.fromkeys((*MODELS, _usual().model.name, *settings.model_allowlist)))


def datasets(settings: Settings) -> list[str]:
    """Names of the data that everybody may train on: built in, the default here, allowed by the operator.

    Raises: Problem 503.
    """
    return list(dict.fromkeys((*_builtin_data(), _usual().data.dataset_name, *settings.dataset_allowlist)))


def _usual() -> ExperimentConfig:
    try:
        return defaults()
    except ConfigError:
        raise _no_defaults() from None


def _no_defaults() -> Problem:
    return Problem(503, "settings_invalid", "config/default.yaml of the server is not valid")


def _model(config: ExperimentConfig, default: ExperimentConfig, settings: Settings) -> list[Fault]:
    name = config.model.name
    if name == default.model.name or name in MODELS or name in settings.model_allowlist:
        return []
    there = (*MODELS, *settings.model_allowlist)
    return [Fault("body.model.name", f"expected one of {', '.join(there)}{_nearest(name, there)}")]


def _data(
    config: ExperimentConfig, default: ExperimentConfig, user: User, services: Services, states: Collection[str]
) -> list[Fault]:
    from finetune30.data.naming import UPLOAD_PREFIX, VERSION_PREFIX  # numpy comes with it: not at the start

    name, allowed, builtin = config.data.dataset_name, services.settings.dataset_allowlist, _builtin_data()
    if name == default.data.dataset_name or name in builtin or name in allowed:
        return []
    if name.startswith(VERSION_PREFIX) and _may_use(name.removeprefix(VERSION_PREFIX), user, services):
        return []
    if name.startswith(UPLOAD_PREFIX):
        sent = [_own(one, user, services) for one in name.removeprefix(UPLOAD_PREFIX).split("+")]
        uploads = [one for one in sent if one is not None]
        if len(uploads) == len(sent) <= 2:
            # The second only validates: it need not be fit for training by itself.
            if uploads[0].state in states:
                return []
            return [Fault("body.data.dataset_name", f"expected data that is ready; this is {uploads[0].state}")]
    own = (f"{VERSION_PREFIX}ID of data you have used", f"{UPLOAD_PREFIX}ID of data you have sent")
    there = ", ".join((*builtin, *allowed, *own))
    nearest = _nearest(name, (*builtin, *allowed))
    return [Fault("body.data.dataset_name", f"expected one of {there}{nearest}")]


def _nearest(name: str, there: Iterable[str]) -> str:
    """The name that was meant, probably; of what was sent nothing is repeated."""
    folded = {one.casefold(): one for one in there}
    near = difflib.get_close_matches(name.casefold()[:_LONGEST_NAME], folded, n=1)
    return f"; did you mean {folded[near[0]]}?" if near else ""


def _builtin_data() -> list[str]:
    from finetune30.data.naming import BUILTIN, BUILTIN_PREFIX

    return [f"{BUILTIN_PREFIX}{one}" for one in BUILTIN]


def _own(upload_id: str, user: User, services: Services) -> Upload | None:
    """The upload if it is the user's or they are an admin; of another's they hear what they hear of none."""
    found = services.checks.uploads.find(upload_id)
    return found if found and (user.is_admin or found.owner == user.name) else None


def _may_use(version: str, user: User, services: Services) -> bool:
    """Whether it exists, and the user has trained on it before, sent its rows, or is an admin."""
    from finetune30.data.versions import VersionStore

    if len(version) > _LONGEST_NAME:
        return False
    try:
        found = VersionStore(services.settings.data_dir).find(version).id
    except Finetune30Error:
        return False
    if user.is_admin or services.jobs.store.overview(dataset_hash=found, owner=user.name, limit=1):
        return True
    return any(upload.version == found for upload in services.checks.uploads.list(user.name))


def _names(config: ExperimentConfig, default: ExperimentConfig) -> list[Fault]:
    found = []
    for (section, key), pattern in _PATTERNS.items():
        value = getattr(getattr(config, section), key)
        usual = getattr(getattr(default, section), key)
        if value not in (None, usual) and not re.fullmatch(pattern, value):
            found.append(Fault(f"body.{section}.{key}", _EXPECTED[pattern]))
    return found


def _nothings(values: Mapping[str, Any]) -> list[Fault]:
    """A file may leave a section empty, which is null there; who writes JSON means something else by it."""
    found = []
    for path in _SECTIONS:
        inner: Any = values
        for name in path[:-1]:
            inner = inner.get(name) or {}
        if isinstance(inner, Mapping) and path[-1] in inner and inner[path[-1]] is None:
            found.append(Fault(f"body.{'.'.join(path)}", "expected keys below it"))
    return found


def _machines(config: ExperimentConfig) -> list[Fault]:
    if config.training.num_nodes == 1 and config.training.rdzv_endpoint is None:
        return []
    return [Fault("body.training.num_nodes", "expected 1: several machines are set up on their command lines")]
