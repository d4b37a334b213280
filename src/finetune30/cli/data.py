"""``finetune30 data``: is a dataset fit to learn from, what is in it, which versions are kept.

A dataset is named as in a configuration: a file, a folder, a hub id, builtin:reviews, version:ID.
Neighbours: ``data`` does the work, ``versions`` beside this file shows what is kept.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from finetune30.cli import versions
from finetune30.errors import BadInput

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
        help="A file, a folder, a hub dataset, builtin:reviews or version:ID; the configuration's if left out.",
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
    as_json: AsJson = False,
) -> None:
    """Check a dataset row by row: PASS, WARN or FAIL. Exit code 1 on FAIL."""
    checked = _configured(dataset, config, overrides, text_column, label_column, text_pair_column)
    if fix != (out is not None):
        raise BadInput(
            "--fix and --out go together",
            where="--out" if fix else "--fix",
            hint="finetune30 data validate train.csv --fix --out fixed.csv; the original stays as it is",
        )
    if out is not None:
        _check_out(out)
    found = _found(checked)
    report = _inspected(found, checked)
    fixed = _fix(found, checked, out) if out is not None else None
    if as_json:
        _print_report(report, fixed)
    else:
        for line in report.lines():
            typer.echo(line)
        if fixed is not None:
            _tell_fixed(fixed)
    if report.failed and fixed is None:
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
    if html is not None and html.suffix.lower() not in (".html", ".htm"):
        raise BadInput(f"--html is {html}, expected a name that ends in .html", where="--html")
    found = _found(checked)

    from finetune30.data import analysis
    from finetune30.modeling.lengths import counter_of, lengths_by
    from finetune30.modeling.source import locate

    counter = counter_of(locate(checked.model.name, checked.model.revision))
    figures = analysis.analyze(found, checked, lengths=lengths_by(counter))
    if html is not None:
        analysis.write_page(html, figures, _inspected(found, checked))
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


def _quoted(value: str) -> str:
    """A name that begins like a YAML list, mapping or quote, so that it stays a name."""
    import json

    return json.dumps(value, ensure_ascii=False) if value[:1] in ("[", "{", '"', "'") else value


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


def _check_out(out: Path) -> None:
    from finetune30.data.export import ending_for

    ending_for(str(out))
    if out.exists():
        raise BadInput(f"{out} exists already", where="--out", hint="choose another name; nothing is overwritten")


def _fix(found: Found, config: ExperimentConfig, out: Path) -> dict[str, Any]:
    """Write the repaired copy and say what was done."""
    from finetune30.data import quality
    from finetune30.data.export import ending_for, needs_apostrophes, write_files

    cleaned = quality.clean(found, config)
    source = Path(config.data.dataset_name)
    endings = {path.suffix.lower() for path in source.iterdir()} if source.is_dir() else {source.suffix.lower()}
    ending = next((one for one in (".tsv", ".csv", ".parquet") if one in endings), ".jsonl")
    if ending == ".csv" and needs_apostrophes(cleaned.tables):
        ending = ".jsonl"  # where the format is ours to choose, one that keeps every text
    files, apostrophes = write_files(cleaned.tables, out, folder_ending=ending_for(str(out)) or ending)
    return {
        "files": [str(file) for file in files],
        "fixes": cleaned.fixes,
        "rows": {str(role): len(table.texts) for role, table in cleaned.tables.items()},
        "apostrophes": apostrophes,
    }


def _tell_fixed(fixed: dict[str, Any]) -> None:
    told = ", ".join(f"{name} {count:,}" for name, count in fixed["fixes"].items()) or "nothing to fix"
    typer.echo(f"\nfixed: {told}")
    rows = ", ".join(f"{count:,} {split}" for split, count in fixed["rows"].items())
    typer.echo(f"written: {', '.join(fixed['files'])} ({rows} rows)")
    if fixed["apostrophes"]:
        typer.echo(
            f"{fixed['apostrophes']:,} cells begin with = + - or @, which a spreadsheet would run: "
            "they got a leading apostrophe. Write .jsonl or .parquet to keep every text as it is"
        )


def _print_report(report: QualityReport, fixed: dict[str, Any] | None) -> None:
    import sys

    report.write_json(sys.stdout, {} if fixed is None else {"fixed": fixed})
    sys.stdout.write("\n")
