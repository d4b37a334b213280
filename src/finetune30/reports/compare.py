"""Two to five runs side by side: what was configured differently, what came out, which rows flipped.

The first run is what the others are compared with. Figures are those the rows of the database keep, so a run whose
files are gone still has them. Neighbours: ``flips`` matches rows; API and command line print this.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetune30.errors import BadInput
from finetune30.experiments import Experiment
from finetune30.reports.shapes import (
    ClassRow,
    Comparison,
    Confusion,
    EvaluatedRows,
    FigureRow,
    KeyDifference,
    Kind,
    Side,
)

if TYPE_CHECKING:  # numpy comes with it
    from finetune30.reports.predictions import Predictions

LEAST, MOST = 2, 5
_PARTS = ("eval", "test", "train", "system")
# What a run is called is no choice that could explain a figure.
_NO_CHOICE = ("experiment_name",)


def compare(
    runs: Sequence[Experiment],
    results_dir: Path,
    data_dir: Path,
    *,
    kind: Kind = "any",
    after: int = 0,
    limit: int = 20,
) -> Comparison:
    """The runs side by side.

    Args:
        kind: Which flipped rows to list: ``gained``, ``lost``, ``changed`` or ``any``.
        after: So many of them were seen before.
    Raises: BadInput for less than two runs, more than five, or one twice; StorageError for predictions that are
        there but cannot be read.
    """
    if not LEAST <= len(runs) <= MOST or len({one.id for one in runs}) < len(runs):
        raise BadInput(f"{len(runs)} runs are given, expected {LEAST} to {MOST} different ones", where="ids")
    configuration, same = _configurations(runs)
    figures = [_figures(one.metrics or {}) for one in runs]
    names = dict.fromkeys(name for one in figures for name in one)
    table = [FigureRow(name, [one.get(name) for one in figures]) for name in names]
    return Comparison(
        [Side(**{name: _plain(getattr(one, name)) for name in Side.__dataclass_fields__}) for one in runs],
        configuration,
        same,
        table,
        list(_per_class(runs)),
        [one for run in runs for one in _confusions(run)],
        **_rows(runs, results_dir, data_dir, kind, after, limit),
    )


def _rows(
    runs: Sequence[Experiment], results_dir: Path, data_dir: Path, kind: Kind, after: int, limit: int
) -> dict[str, Any]:
    from finetune30.reports.flips import Flips, shared_rows
    from finetune30.reports.predictions import open_predictions

    with ExitStack() as opened:
        found: list[Predictions | None] = []
        for run in runs:
            one = open_predictions(run, results_dir, data_dir)
            found.append(one if one is None else opened.enter_context(one))
        of = [None if one is None else len(one) for one in found]
        there = [one for one in found if one is not None]
        if len(there) < len(runs):
            return {"evaluated": EvaluatedRows("unknown", None, of, "not all runs have left predictions")}
        hashes = {run.dataset_hash for run in runs}
        same = len(hashes) == 1 and None not in hashes
        places = shared_rows(there, same_version=same)
        if places is None:
            why = "they used different versions of data, whose texts are not all kept"
            return {"evaluated": EvaluatedRows("unknown", None, of, why)}
        flips = Flips([run.id for run in runs], there, places)
        kept = flips.kept(kind)
        page = kept[after : after + limit]
        return {
            "evaluated": EvaluatedRows("same" if same else "shared", len(flips), of),
            "flips": flips.counts() if len(flips) else [],
            "flipped": flips.rows(page),
            "flipped_rows": len(kept),
            "next": after + len(page) if after + len(page) < len(kept) else None,
        }


def _configurations(runs: Sequence[Experiment]) -> tuple[list[KeyDifference], int]:
    flat = [dict(_leaves(run.config)) for run in runs]
    keys = sorted({key for one in flat for key in one} - set(_NO_CHOICE))
    differences = []
    for key in keys:
        values = [one.get(key) for one in flat]
        # 1 and True are equal to Python, and not to whoever wrote them.
        if any((type(value), value) != (type(values[0]), values[0]) for value in values):
            differences.append(KeyDifference(key, values))
    return differences, len(keys) - len(differences)


def _leaves(section: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in section.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _figures(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The plain numbers of ``metrics.json``, as ``eval.accuracy``."""
    found: dict[str, float] = {}
    for part in _PARTS:
        section = metrics.get(part)
        for name, value in section.items() if isinstance(section, Mapping) else ():
            if type(value) in (int, float):
                found[f"{part}.{name}"] = value
    return found


def _per_class(runs: Sequence[Experiment]) -> Iterator[ClassRow]:
    tables = [dict(_class_figures(run.metrics or {})) for run in runs]
    for split, label, figure in dict.fromkeys(key for table in tables for key in table):
        yield ClassRow(split, label, figure, [table.get((split, label, figure)) for table in tables])


def _class_figures(metrics: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str, str], float]]:
    for split in ("eval", "test"):
        table = (metrics.get(split) or {}).get("per_class") or {}
        for label, figures in table.items():
            for figure, value in figures.items():
                if type(value) in (int, float):
                    yield (split, label, figure), value


def _confusions(run: Experiment) -> Iterator[Confusion]:
    for split in ("eval", "test"):
        section = (run.metrics or {}).get(split) or {}
        if isinstance(counts := section.get("confusion"), list):
            yield Confusion(run.id, split, list(section.get("per_class") or {}), counts)


def _plain(value: Any) -> Any:
    """A state as the plain word it is."""
    return str(value) if isinstance(value, str) else value
