"""Files as OpenAI's clients send, list, read and delete them: one's uploads, and the figures of one's runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from finetune30.access import User
from finetune30.api import kinds, receiving, services
from finetune30.api.deps import CurrentUser, check_task_owner
from finetune30.api.fine_tuning import files as told
from finetune30.api.fine_tuning import names, results
from finetune30.api.fine_tuning.answers import FileDeleted, FileObject, Page, paged
from finetune30.api.fine_tuning.names import FileCursor, FileId
from finetune30.api.pages import owner_of, whole_page
from finetune30.api.queries import Limit
from finetune30.api.routes import datasets
from finetune30.api.services import Services
from finetune30.experiments import Experiment, ExperimentFolder, Status
from finetune30.web.bodies import file_body
from finetune30.web.problems import Problem

if TYPE_CHECKING:
    from finetune30.data.uploads import Upload

_PURPOSE = "fine-tune"
_MOST_RESULTS = 100  # of a page: each is read to tell its size
Purpose = Annotated[Literal["fine-tune", "fine-tune-results"], Query(description="What was sent, or runs' figures")]
Order = Annotated[Literal["asc", "desc"], Query(description="By the time they were made")]


def router() -> APIRouter:
    """``/v1/files``."""
    found = APIRouter(tags=["openai"])
    add, one = found.add_api_route, "/v1/files/{file_id}"
    purpose = {"purpose": {"type": "string", "enum": [_PURPOSE]}}
    body = file_body(kinds.FORM, [kinds.FORM], purpose)
    add("/v1/files", create, methods=["POST"], name="dataset.upload", openapi_extra=body)
    add("/v1/files", files, methods=["GET"], name="file.list")
    add(one, file, methods=["GET"], name="file.show")
    add(one, delete, methods=["DELETE"], name="dataset.delete")
    binary: dict[int | str, dict[str, Any]] = {
        200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
    }
    add(f"{one}/content", content, methods=["GET"], name="file.content", response_class=Response, responses=binary)
    return found


def own_file(request: Request, file_id: FileId, user: CurrentUser) -> Upload | Experiment:
    """The upload, or the run whose figures it holds; the user's own unless they are an admin.

    Raises: Problem 403, 404.
    """
    if (upload_id := names.upload_of(file_id)) is not None:
        return datasets.check_upload_owner(request, upload_id, user)
    if (experiment_id := names.run_of(file_id)) is not None:
        run = check_task_owner(request, experiment_id, user)
        if _folder(services.of(request), run).progress_jsonl.is_file():
            return run
    raise Problem(404, "not_found", "there is no such file", hint="GET /v1/files lists yours")


OwnFile = Annotated[Any, Depends(own_file)]


async def create(request: Request, user: CurrentUser) -> FileObject:
    """Send a file, as the fields ``purpose`` (fine-tune) and ``file`` of a form: JSONL, CSV, TSV or Parquet.

    Rows are ``{"text", "label"}`` (and ``text_pair``), or conversations whose user says the text and whose
    assistant the label. It is kept at once and checked soon: ``status`` goes from ``uploaded`` to ``processed``,
    or to ``error``.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != kinds.FORM:
        raise Problem(415, "unsupported_media_type", f"expected Content-Type: {kinds.FORM}")
    received = await receiving.receive(request, user, purpose=_PURPOSE, fields={"purpose": (_PURPOSE,)})
    upload = await run_in_threadpool(_read_as_pairs, services.of(request), received.upload)
    services.of(request).checks.submit(upload.id)
    return told.of_upload(upload)


def files(
    request: Request,
    user: CurrentUser,
    purpose: Purpose | None = None,
    limit: Limit = 1000,
    order: Order = "desc",
    after: FileCursor | None = None,
) -> Page[FileObject]:
    """One's files; with ``purpose=fine-tune-results`` the figures of one's runs. An admin's list holds everybody's."""
    found = services.of(request)
    whose = owner_of(user, None, everybody=user.is_admin)
    if purpose == "fine-tune-results":
        return _results(found, user, whose, limit, after, desc=order == "desc")
    every = found.checks.uploads.list(whose)
    every = every if order == "desc" else every[::-1]
    place = 0
    if after is not None:
        ids = [names.file_of(one.id) for one in every]
        if after not in ids:
            raise _no_such_page()
        place = ids.index(after) + 1
    some = [told.of_upload(one) for one in every[place : place + limit]]
    return Page[FileObject](**paged(some, len(every) > place + limit))


def file(request: Request, found: OwnFile) -> FileObject:
    """One file: ``processed`` once it was checked, ``error`` with ``status_details`` where it cannot be used."""
    if isinstance(found, Experiment):
        return told.of_results(found, services.of(request).settings.results_dir)
    return told.of_upload(found)


def content(request: Request, found: OwnFile) -> Response:
    """The file as it was sent, to the byte; of a run a CSV with a row for each step that was measured."""
    services_ = services.of(request)
    if isinstance(found, Experiment):
        headers = {"Content-Disposition": 'attachment; filename="step_metrics.csv"'}
        return Response(results.table(_folder(services_, found)), headers=headers, media_type="text/csv; charset=utf-8")
    path = services_.checks.uploads.file(found)
    return FileResponse(path, media_type="application/octet-stream", filename=found.name)


def delete(request: Request, found: OwnFile, user: CurrentUser) -> FileDeleted:
    """Forget an upload; refused while a job waits for it or runs on it."""
    if isinstance(found, Experiment):
        hint = "DELETE /experiments/{task_id} deletes all of it"
        raise Problem(409, "state_conflict", "these figures belong to a run", hint=hint)
    datasets.delete(request, found, user)
    return FileDeleted(id=names.file_of(found.id))


def _read_as_pairs(found: Services, upload: Upload) -> Upload:
    store = found.checks.uploads
    if not told.has_pairs(store.file(upload), upload.format):
        return upload
    return store.update(upload.id, options={**upload.options, "text_pair_column": told.PAIR})


def _results(
    found: Services, user: User, whose: str | None, limit: int, after: str | None, *, desc: bool
) -> Page[FileObject]:
    last = None if after is None else names.run_of(after)
    if after is not None and last is None:
        raise _no_such_page()
    runs, more = whole_page(
        found,
        user,
        min(limit, _MOST_RESULTS),
        last,
        owner=whose,
        status=Status.SUCCESS,
        sort_by="finished_at",
        desc=desc,
    )
    made = [told.of_results(one, found.settings.results_dir) for one in runs]
    return Page[FileObject](**paged(made, more))


def _folder(found: Services, run: Experiment) -> ExperimentFolder:
    return ExperimentFolder(found.settings.results_dir, run.id)


def _no_such_page() -> Problem:
    return Problem(404, "not_found", "expected the last id of the page before", where="query.after")
