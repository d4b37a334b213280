"""What the verbs of models share: the registry they work on, addresses as they are typed, the audit log.

Neighbours: ``models`` has the verbs, ``operator`` writes what the machine's operator did.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from finetune30.cli.user import local_user

if TYPE_CHECKING:
    from finetune30.experiments import ExperimentStore
    from finetune30.registry import Actor, Models, Visibility
    from finetune30.settings import Settings

T = TypeVar("T")


def opened() -> tuple[Settings, Models, ExperimentStore]:
    """Settings, registry and runs; what is not there reads as empty."""
    from finetune30.experiments import open_store
    from finetune30.registry import Models
    from finetune30.settings import get_settings

    settings = get_settings()
    store = open_store(settings, create=False)
    return settings, Models(store.engine, settings.results_dir), store


def changed(
    settings: Settings,
    store: ExperimentStore,
    action: str,
    change: Callable[[Actor], T],
    told: Callable[[T], tuple[str, Mapping[str, Any]]],
) -> T:
    """Do it as the operator of this machine, who may change everything; tell the audit log where there is one."""
    from finetune30.registry import Actor

    by = Actor(local_user(), everything=True)
    try:
        from finetune30.access import Access
    except ModuleNotFoundError:  # without the parts of the API there is neither an API nor its log
        return change(by)
    from finetune30.cli.operator import audited

    return audited(Access(settings, store.engine), action, lambda: change(by), told)


def alias_of(address: str) -> tuple[str, str]:
    """Name and alias of ``name@alias``.

    Raises: UsageError.
    """
    from finetune30.errors import UsageError
    from finetune30.registry.addresses import parse

    said = parse(address) if "@" in address or "/" in address else None
    if said is None or said.model is None or said.alias is None:
        raise UsageError("expected NAME@ALIAS", where=address, hint="such as spam@champion")
    return said.model, said.alias


def number_of(models: Models, name: str, version: str) -> int:
    """The number that a number, an alias or ``latest`` means just now."""
    from finetune30.registry.addresses import parse

    said = parse(f"{name}/{version}" if version.isascii() and version.isdigit() else f"{name}@{version}")
    if said.version is not None:
        return said.version
    latest = models.show(name).latest
    if said.alias == "latest" and latest is not None:
        return latest
    return models.alias(name, said.alias or "").number


def visibility_of(text: str | None) -> Visibility | None:
    """What was typed behind ``--visibility``.

    Raises: UsageError.
    """
    from finetune30.errors import UsageError
    from finetune30.registry import Visibility

    if text is not None and text not in tuple(Visibility):
        raise UsageError(f"visibility is {text!r}, expected private or team", where="--visibility")
    return None if text is None else Visibility(text)


def tell(told: str, value: Mapping[str, Any], as_json: bool) -> None:
    """One line for people, or one object for scripts."""
    if as_json:
        print_json(value)
    else:
        typer.echo(told)


def print_json(value: object) -> None:
    """The last line that ``--json`` promises."""
    typer.echo(json.dumps(value, ensure_ascii=False, allow_nan=False))
