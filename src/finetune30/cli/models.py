"""``finetune30 models``: successful runs under a name, numbered, with aliases that move and roll back.

Straight on the database, like ``runs``; a mere look makes nothing. Each change is told to the audit log in the same
transaction, where the parts of the API are installed.
Neighbours: ``registry`` opens what these work on, ``models_shown`` puts it on the screen.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from finetune30.cli.registry import alias_of, changed, number_of, opened, print_json, tell, visibility_of

app = typer.Typer(help="Register runs as models; move aliases and roll them back.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the model.")]
AliasOf = Annotated[str, typer.Argument(metavar="NAME@ALIAS", help="Such as spam@champion.")]
Note = Annotated[str, typer.Option(help="Why; it is kept in the history.")]
Expected = Annotated[
    int | None, typer.Option(help="The version it must point at before, 0 for none: else nothing is done.")
]
Description = Annotated[str | None, typer.Option(help="What the model is for.")]
Seen = Annotated[str | None, typer.Option(help="private (owner and admins) or team (everybody logged in).")]


@app.command("list")
def list_models(
    name: Annotated[str | None, typer.Option(help="Part of the name.")] = None,
    owner: Annotated[str | None, typer.Option(help="Only those of this owner.")] = None,
    as_json: AsJson = False,
) -> None:
    """List models by name, with their aliases."""
    settings, models, _ = opened()
    found = models.list(name=name, owner=owner)
    if as_json:
        print_json({"models": [asdict(one) for one in found]})
        return
    from finetune30.cli import models_shown, shown

    shown.console().print(models_shown.models_table(found, settings.zone))
    if not found:
        typer.echo("no models; make one with: finetune30 models register NAME RUN", err=True)


@app.command()
def show(
    address: Annotated[str, typer.Argument(metavar="NAME[@ALIAS|/NUMBER]", help="A model, or one version of it.")],
    as_json: AsJson = False,
) -> None:
    """Show a model and its versions, or one version: where it comes from and whether its files are whole."""
    from finetune30.cli import models_shown, shown
    from finetune30.registry import is_of_model

    settings, models, _ = opened()
    if not is_of_model(address):
        model, versions = models.show(address), models.versions(address)
        aliases = [models.alias(address, alias) for alias in model.aliases]
        if as_json:
            told = {"versions": list(map(asdict, versions)), "aliases": list(map(asdict, aliases))}
            print_json({**asdict(model), **told})
            return
        screen = shown.console()
        screen.print(models_shown.model_details(model, aliases, settings.zone))
        screen.print()
        screen.print(models_shown.versions_table(versions, settings.zone))
        return
    found = models.resolve(address)
    name, number = str(found.model), int(found.version or 0)
    version, lineage, fault = models.version(name, number), models.lineage(name, number), found.fault()
    if as_json:
        print_json({**asdict(version), "lineage": lineage, "folder": str(found.folder), "fault": fault})
        return
    shown.console().print(models_shown.version_details(version, lineage, str(found.folder), fault, settings.zone))


@app.command()
def register(
    name: Name,
    run: Annotated[str, typer.Argument(metavar="RUN", help="Id of a successful run, or how it begins.")],
    alias: Annotated[str | None, typer.Option(help="Let this alias point at it at once, such as champion.")] = None,
    note: Note = "",
    description: Description = None,
    visibility: Seen = None,
    as_json: AsJson = False,
) -> None:
    """Make a successful run the next version of a model; its files are compared with their manifest first."""
    seen = visibility_of(visibility)
    settings, models, store = opened()
    candidate = models.candidate(store.match(run).id)
    made = changed(
        settings,
        store,
        "model.register",
        lambda by: models.register(
            name, candidate, by, alias=alias, note=note, description=description, visibility=seen
        ),
        lambda one: (one.address, {"experiment_id": one.experiment_id, "sha256": one.sha256, "alias": alias}),
    )
    tell(f"{made.address}  is {made.experiment_id}" + _at(made.aliases), asdict(made), as_json)


@app.command()
def change(name: Name, description: Description = None, visibility: Seen = None, as_json: AsJson = False) -> None:
    """Change what a model says of itself, and who may see it."""
    seen = visibility_of(visibility)
    settings, models, store = opened()
    models.show(name)
    edited = changed(
        settings,
        store,
        "model.change",
        lambda by: models.edit(name, by, description=description, visibility=seen),
        lambda one: (name, {"visibility": str(one.visibility), "described": description is not None}),
    )
    tell(f"{name}  {edited.visibility}  {edited.description}", asdict(edited), as_json)


@app.command()
def alias(
    address: AliasOf,
    version: Annotated[
        str | None, typer.Argument(metavar="[VERSION]", help="A number, another alias, or latest.")
    ] = None,
    drop: Annotated[bool, typer.Option("--drop", help="Take the alias away.")] = False,
    expected: Expected = None,
    note: Note = "",
    as_json: AsJson = False,
) -> None:
    """Let an alias point at a version (promote), or take it away."""
    from finetune30.errors import UsageError

    if (version is None) is not drop:
        raise UsageError("expected a VERSION, or --drop", where="finetune30 models alias")
    name, alias = alias_of(address)
    settings, models, store = opened()
    target = f"{name}@{alias}"
    if version is None:
        models.alias(name, alias)
        changed(
            settings,
            store,
            "model.alias.drop",
            lambda by: models.drop(name, alias, by, expected=expected, note=note),
            lambda _: (target, {"note": note}),
        )
        tell(f"{target}  dropped", {"model": name, "alias": alias, "number": None}, as_json)
        return
    number = models.version(name, number_of(models, name, version)).number
    moved = changed(
        settings,
        store,
        "model.alias",
        lambda by: models.point(name, alias, number, by, expected=expected, note=note),
        lambda one: (target, {"version": one.number, "expected": expected, "note": note}),
    )
    tell(f"{target}  points at version {moved.number}{_back(moved.previous)}", asdict(moved), as_json)


@app.command()
def rollback(address: AliasOf, expected: Expected = None, note: Note = "", as_json: AsJson = False) -> None:
    """Move an alias to the version it was at before; again, and it goes further back."""
    name, alias = alias_of(address)
    settings, models, store = opened()
    models.show(name)
    moved = changed(
        settings,
        store,
        "model.alias.rollback",
        lambda by: models.rollback(name, alias, by, expected=expected, note=note),
        lambda one: (f"{name}@{alias}", {"version": one.number, "expected": expected, "note": note}),
    )
    tell(f"{name}@{alias}  is back at version {moved.number}{_back(moved.previous)}", asdict(moved), as_json)


@app.command()
def history(
    address: Annotated[str, typer.Argument(metavar="NAME[@ALIAS]", help="A model, or one of its aliases.")],
    as_json: AsJson = False,
) -> None:
    """Show every move of an alias, or of all of a model's: when, by whom, from where to where, why."""
    name, alias = alias_of(address) if "@" in address else (address, None)
    settings, models, _ = opened()
    found = models.history(name, alias)
    if as_json:
        print_json({"moves": [asdict(one) for one in found]})
        return
    from finetune30.cli import models_shown, shown

    shown.console().print(models_shown.history_table(found, settings.zone))


@app.command()
def unregister(
    address: Annotated[str, typer.Argument(metavar="NAME/NUMBER", help="Such as spam/3.")], as_json: AsJson = False
) -> None:
    """Take a version away; the run stays. Refused while an alias points at it."""
    from finetune30.errors import UsageError
    from finetune30.registry.addresses import parse

    said = parse(address)
    if said.model is None or said.version is None:
        raise UsageError("expected NAME/NUMBER", where="finetune30 models unregister", hint="such as spam/3")
    name, number = said.model, said.version
    settings, models, store = opened()
    gone = models.version(name, number)
    changed(
        settings,
        store,
        "model.unregister",
        lambda by: models.unregister(name, number, by),
        lambda _: (gone.address, {"experiment_id": gone.experiment_id}),
    )
    tell(f"{gone.address}  unregistered; {gone.experiment_id} stays", asdict(gone), as_json)


@app.command()
def delete(
    name: Name,
    force: Annotated[bool, typer.Option("--force", help="Drop its aliases, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Forget a model and its versions; the runs stay. Refused while it has aliases, unless forced."""
    settings, models, store = opened()
    gone = models.show(name)
    changed(
        settings,
        store,
        "model.delete",
        lambda by: models.delete(name, by, force=force),
        lambda _: (name, {"force": force}),
    )
    tell(f"{name}  deleted; its runs stay", asdict(gone), as_json)


def _at(aliases: tuple[str, ...]) -> str:
    return f"  ({', '.join(f'@{one}' for one in aliases)})" if aliases else ""


def _back(previous: int | None) -> str:
    return "" if previous is None else f"; a rollback leads to version {previous}"
