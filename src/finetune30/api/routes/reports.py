"""What came out of runs: curves, predictions row by row, runs side by side."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BeforeValidator, Field
from starlette.requests import Request

from finetune30.api import downloads, services
from finetune30.api.answers_artifacts import Curves, Predictions
from finetune30.api.deps import CurrentUser, OwnTask, check_task_owner
from finetune30.api.queries import Limit, Number, digits
from finetune30.errors import StorageError
from finetune30.experiments import ExperimentFolder
from finetune30.experiments.opened import open_file
from finetune30.reports.curves import LEAST_POINTS, read_curves
from finetune30.reports.shapes import Comparison, Kind, Order
from finetune30.web.problems import Problem, unavailable

CSV, JSON_LINES = "text/csv", "application/x-ndjson"
_ID = "[a-z0-9_-]{1,80}"
Points = Annotated[
    int, Field(ge=LEAST_POINTS, le=5000), BeforeValidator(digits), Query(description="At most so many, extremes kept")
]
Ids = Annotated[str, Query(pattern=f"^{_ID}(,{_ID}){{1,4}}$", description="Two to five ids with commas between")]
_TEXT = {"schema": {"type": "string"}}
_ALSO_FILES: dict[int | str, dict[str, Any]] = {
    200: {"content": {CSV: _TEXT, JSON_LINES: _TEXT}, "description": "A page, or a file of all rows"}
}


def router() -> APIRouter:
    """``/experiments/compare`` and what is below an experiment; it stands before the routes of one experiment."""
    found = APIRouter(tags=["reports"])
    add = found.add_api_route
    add("/experiments/compare", comparison, methods=["GET"], name="experiment.compare")
    add("/experiments/{task_id}/curves", curves, methods=["GET"], name="experiment.curves")
    add(
        "/experiments/{task_id}/predictions",
        predictions,
        methods=["GET"],
        name="experiment.predictions",
        response_model=Predictions,
        responses=_ALSO_FILES,
    )
    return found


def comparison(
    request: Request, user: CurrentUser, ids: Ids, flips: Kind = "any", limit: Limit = 100, after: Number = 0
) -> Comparison:
    """Two to five runs side by side; the first is what the others are compared with.

    ``flipped`` lists rows that a run answers differently from the first: ``gained`` (wrong before, right now),
    ``lost``, ``changed`` (wrong in another way), or ``any`` of these.
    """
    from finetune30.reports.compare import compare

    named = ids.split(",")
    runs = [check_task_owner(request, one, user) for one in named]
    if len(set(named)) < len(named):
        raise Problem(422, "query_invalid", "expected different experiments", where="query.ids")
    settings = services.of(request).settings
    with _readable():
        return compare(runs, settings.results_dir, settings.data_dir, kind=flips, after=after, limit=limit)


def curves(request: Request, task: OwnTask, points: Points = 500) -> Curves:
    """Loss, learning rate, pace and use of the machine by step, and the evaluations; also while it runs."""
    folder = ExperimentFolder(services.of(request).settings.results_dir, task.id)
    journal = open_file(folder, folder.progress_jsonl)
    try:
        found = read_curves(journal.file if journal else None, points)
    finally:
        if journal is not None:
            journal.close()
    return Curves(
        experiment_id=task.id,
        status=task.status,
        training=found.training,
        evaluations=found.evaluations,
        whole=found.whole,
    )


def predictions(
    request: Request,
    task: OwnTask,
    user: CurrentUser,
    order: Order = "row",
    only: Literal["wrong"] | None = None,
    limit: Limit | None = None,
    after: Number = 0,
) -> Any:
    """Rows of the validation split with what was answered; ``worst`` begins where the right answer seemed least likely.

    A page of 100 unless ``limit`` says otherwise. With ``Accept: text/csv`` or ``application/x-ndjson`` a file, of all
    rows unless there is a ``limit``.
    """
    from finetune30.reports.predictions import open_predictions

    settings = services.of(request).settings
    with _readable():
        opened = open_predictions(task, settings.results_dir, settings.data_dir)
    if opened is None:
        raise Problem(404, "not_found", "this experiment has left no predictions", hint="a run writes them at its end")
    positions = opened.ordered(order, wrong_only=only == "wrong")
    kind = _asked_for(request)
    if kind is not None:
        from finetune30.reports.exported import csv_pieces, jsonl_pieces

        rows = opened.every(positions[after : None if limit is None else after + limit])
        pieces = csv_pieces(rows, opened.label_names) if kind == CSV else jsonl_pieces(rows)
        name = f"{task.id}-predictions.{'csv' if kind == CSV else 'jsonl'}"
        return downloads.of_pieces(user.id, pieces, kind, name, opened.close)
    page = positions[after : after + (limit or 100)]
    more = after + len(page) < len(positions)
    with opened, _readable():
        return Predictions(
            experiment_id=task.id,
            label_names=opened.label_names,
            rows=len(opened),
            wrong=opened.wrong,
            predictions=opened.rows(page),
            has_more=more,
            next=after + len(page) if more else None,
        )


def _asked_for(request: Request) -> str | None:
    """The file that is wanted; None for a page as JSON."""
    accepted = request.headers.get("accept", "").lower()
    if CSV in accepted:
        return CSV
    return JSON_LINES if JSON_LINES in accepted or "application/jsonl" in accepted else None


@contextmanager
def _readable() -> Iterator[None]:
    """A file that is there, and damaged, is the operator's to restore.

    Raises: Problem 503.
    """
    try:
        yield
    except StorageError:
        raise unavailable(
            "storage_unusable",
            "the predictions cannot be read: their file is damaged",
            "the model is not affected; the server's operator can restore the file from a backup",
        ) from None
