"""``finetune30 data``: is a dataset fit to learn from, what is in it, which versions are kept.

A dataset is named as in a configuration: a file, a folder, a hub id, builtin:reviews, version:ID, upload:ID.
Neighbours: ``data`` does the work, ``versions`` beside this file shows what is kept.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from finetune30.cli import versions
from finetune30.errors import BadInput, StorageError

if TYPE_CHECKING:
    from finetune30.config import ExperimentConfig
    from finetune30.data import Found
    from finetune30.data.quality import QualityReport

app = typer.Typer(help="Check, analyse and keep datasets.", no_args_is_help=True)
app.add_typer(versions.app, name="versions")

Dataset = Annotated[
    str | None,
    typer.Argument(
        metavar="[PATH|NAME]",
        help="A file, a folder, a hub dataset, builtin:reviews, version:ID, upload:ID; left out, the configuration's.",
    ),
]
Config = Annotated[Path | None, typer.Option("--config", help="YAML of an experiment: its rules, model and columns.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override any key, e.g. --set data.max_length=256."),
]
TextColumn = Annotated[str | None, typer.Option("--text-column", "--text_column", help="data.text_column")]
LabelColumn = Annotated[str | None, typer.Option("--label-column", "--label_column", help="data.label_column")]
PairColumn = Annotated[str | None, typer.Option("--text-pair-column", help="data.text_pair_column")]
AsJson = Annotated[bool, typer.Option("--json", help="Last line of stdout: one JSON object.")]


@app.command()
def validate(
    dataset: Dataset = None,
    config: Config = None,
    overrides: Overrides = None,
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    text_pair_column: PairColumn = None,
    fix: Annotated[bool, typer.Option("--fix", help="Write a copy with every safe fix made; needs --out.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", help="New folder, or a .csv, .tsv, .jsonl or .parquet file.")
    ] = None,
    skip: Annotated[
        list[str] | None,
        typer.Option("--skip", metavar="CHECK", help="A fix to leave out, such as html; may be repeated."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check a dataset row by row: PASS, WARN or FAIL. Exit code 1 on FAIL, of the copy where one is written."""
    checked = _configured(dataset, config, overrides, text_column, label_column, text_pair_column)
    if fix != (out is not None):
        raise BadInput(
            "--fix and --out go together",
            where="--out" if fix else "--fix",
            hint="finetune30 data validate train.csv --fix --out fixed.csv; the original stays as it is",
        )
    if out is not None:
        _check_out(out)
    _check_skip(skip or [])
    found = _found(checked)
    report = _inspected(found, checked)
    fixed = _fix(found, checked, out, skip or []) if out is not None else None
    if as_json:
        _print_report(report, fixed)
    else:
        for line in report.lines():
            typer.echo(line)
        if fixed is not None:
            _tell_fixed(fixed)
    if fixed["failed"] if fixed is not None else report.failed:
        raise typer.Exit(1)


@app.command()
def analyze(
    dataset: Dataset = None,
    config: Config = None,
    overrides: Overrides = None,
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    text_pair_column: PairColumn = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write one HTML file with plots.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show labels, lengths, telling words, and how the splits compare."""
    checked = _configured(dataset, config, overrides, text_column, label_column, text_pair_column)
    if html is not None:
        _check_page(html)
    found = _found(checked)

    from finetune30.data import analysis
    from finetune30.modeling.lengths import counter_of, lengths_by
    from finetune30.modeling.source import locate

    counter = counter_of(locate(checked.model.name, checked.model.revision))
    figures = analysis.analyze(found, checked, lengths=lengths_by(counter))
    if html is not None:
        report = _inspected(found, checked)
        try:
            analysis.write_page(html, figures, report)
        except OSError as cause:
            raise StorageError(f"the page cannot be written: {cause.strerror}", where=str(html)) from cause
    if as_json:
        import json

        typer.echo(json.dumps(figures.to_dict() | ({"html": str(html)} if html else {}), ensure_ascii=False))
        return
    for line in analysis.lines(figures):
        typer.echo(line)
    if html is not None:
        typer.echo(f"\nplots: {html}")


def _configured(
    dataset: str | None,
    config: Path | None,
    overrides: list[str] | None,
    text_column: str | None,
    label_column: str | None,
    text_pair_column: str | None,
) -> ExperimentConfig:
    from finetune30.config import load

    flags = {
        "data.dataset_name": dataset,
        "data.text_column": text_column,
        "data.label_column": label_column,
        "data.text_pair_column": text_pair_column,
    }
    given = [f"{key}={_quoted(value)}" for key, value in flags.items() if value is not None]
    return load(config, [*(overrides or []), *given])


def _quoted(value: object) -> str:
    """A name as YAML text, so that ``[x]``, ``null`` and spaces around stay a name."""
    import json

    return json.dumps(value, ensure_ascii=False)


def _found(config: ExperimentConfig) -> Found:
    from finetune30 import data
    from finetune30.data.versions import VersionStore
    from finetune30.settings import get_settings

    data.glance(config)
    return data.find(config, VersionStore(get_settings().data_dir))


def _inspected(found: Found, config: ExperimentConfig) -> QualityReport:
    from finetune30.data import quality
    from finetune30.modeling.language import languages_of
    from finetune30.modeling.lengths import counter_of, longer_than
    from finetune30.modeling.source import locate

    source = locate(config.model.name, config.model.revision)
    longer = longer_than(counter_of(source), config.data.max_length)
    return quality.inspect(found, config, longer=longer, spoken=languages_of(source))


def _check_page(html: Path) -> None:
    """Refuse before the work what could not be written after it."""
    if html.suffix.lower() not in (".html", ".htm"):
        raise BadInput(f"{html} is no page, expected a name that ends in .html", where="--html")
    if html.is_dir():
        raise BadInput(f"{html} is a folder, expected the name of a file", where="--html")
    if not html.parent.is_dir():
        raise BadInput(f"there is no folder {html.parent}", where="--html", hint="make it first")


def _check_out(out: Path) -> None:
    from finetune30.data.export import ending_for

    ending_for(str(out))
    if os.path.lexists(out):
        raise BadInput(f"{out} exists already", where="--out", hint="choose another name; nothing is overwritten")


def _check_skip(skip: list[str]) -> None:
    from finetune30.data.quality import FIXES
    from finetune30.data.table import did_you_mean

    for name in skip:
        if name not in FIXES:
            raise BadInput(
                f"{name!r} is no fix, expected one of {', '.join(FIXES)}",
                where="--skip",
                hint=did_you_mean(name, FIXES) or None,
            )


def _fix(found: Found, config: ExperimentConfig, out: Path, skip: list[str]) -> dict[str, Any]:
    """Write the repaired copy; say what was done, and what the checks say of the copy."""
    from finetune30.data import Found as Copied
    from finetune30.data import quality
    from finetune30.data.export import Copy, keeps, write_files
    from finetune30.data.quality.repair import read_with

    cleaned = quality.clean(found, config, skip)
    copies = {role: Copy(table, cleaned.rows[role]) for role, table in cleaned.tables.items()}
    # In a folder the format is ours to choose: that of the source, if it keeps every text.
    ending = Path(found.tables["train"].where).suffix.lower()
    if ending not in (".csv", ".tsv", ".parquet") or not keeps(copies, ending):
        ending = ".jsonl"
    files, apostrophes = write_files(copies, out, folder_ending=ending)
    read = read_with(cleaned.tables["train"], files[0].suffix, config)
    after = _inspected(Copied(str(out), cleaned.tables), config)
    return {
        "files": [str(file) for file in files],
        "fixes": cleaned.fixes,
        "rows": {str(role): len(table.texts) for role, table in cleaned.tables.items()},
        "apostrophes": apostrophes,
        "read_with": {f"data.{key}": value for key, value in read.items()},
        "status": str(after.status),
        "left": [one.name for one in after.checks if one.status is not quality.Verdict.PASS],
        "failed": [one.name for one in after.failed],
    }


def _tell_fixed(fixed: dict[str, Any]) -> None:
    told = ", ".join(f"{name} {count:,}" for name, count in fixed["fixes"].items()) or "nothing to fix"
    typer.echo(f"\nfixed: {told}")
    rows = ", ".join(f"{count:,} {split}" for split, count in fixed["rows"].items())
    typer.echo(f"written: {', '.join(fixed['files'])} ({rows} rows)")
    if fixed["read_with"]:
        keys = (f"--set '{key}={_quoted(value)}'" for key, value in fixed["read_with"].items())
        typer.echo("read it with: " + " ".join(keys))
    typer.echo("column row: where each row stood before; other columns than those read are not in the copy")
    if fixed["apostrophes"]:
        typer.echo(
            f"{fixed['apostrophes']:,} cells begin with = + - or @, which a spreadsheet would run: "
            "they got a leading apostrophe. Write .jsonl or .parquet to keep every text as it is"
        )
    left = f", left to you: {', '.join(fixed['left'])}" if fixed["left"] else ""
    typer.echo(f"the copy: {fixed['status']}{left}")


def _print_report(report: QualityReport, fixed: dict[str, Any] | None) -> None:
    import sys

    report.write_json(sys.stdout, {} if fixed is None else {"fixed": fixed})
    sys.stdout.write("\n")
