"""Datasets: files that users send, checked, kept, and trained on as ``upload:ID``."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BeforeValidator, Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from finetune30.access import User
from finetune30.api import deeds, downloads, kinds, receiving, repairing, services
from finetune30.api.accepting import accepts
from finetune30.api.answers_datasets import Dataset, Datasets, Preview, Repaired
from finetune30.api.deps import CurrentUser
from finetune30.api.pages import owner_of
from finetune30.api.previews import first_rows
from finetune30.api.queries import Cursor, Id, Limit, Search, digits, figures
from finetune30.config import asked
from finetune30.durable import remove
from finetune30.errors import Finetune30Error, NotFound, StateError
from finetune30.experiments.opened import open_plain
from finetune30.web.bodies import file_body
from finetune30.web.problems import Fault, Problem

if TYPE_CHECKING:
    from finetune30.data.uploads import Upload

_SEE = "GET /datasets lists yours"
_PAGE_S = 60.0
# The page is ours and its own policy lets no script run but its own two; the sandbox keeps it from everything else.
_PAGE_POLICY = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:; frame-ancestors 'none'"
)
Wait = Annotated[
    float,
    Field(ge=0, le=60, allow_inf_nan=False),
    BeforeValidator(figures),
    Query(description="Seconds the answer may wait for the check to end"),
]
FileName = Annotated[
    Search, Query(description="The file's name, where the body is the file itself", examples=["train.csv"])
]
Rows = Annotated[int, Field(ge=1, le=200), BeforeValidator(digits), Query(description="So many rows")]


def router() -> APIRouter:
    """``/datasets``; those of versions come first, for ``versions`` looks like an id."""
    found = APIRouter(tags=["datasets"])
    add, one = found.add_api_route, "/datasets/{dataset_id}"
    add(
        "/datasets",
        upload,
        methods=["POST"],
        name="dataset.upload",
        status_code=201,
        openapi_extra=file_body(kinds.FORM, kinds.SHOWN, "train.csv"),
    )
    add("/datasets", datasets, methods=["GET"], name="dataset.list")
    add(one, dataset, methods=["GET"], name="dataset.show")
    add(f"{one}/check", check, methods=["POST"], name="dataset.check", status_code=202)
    add(f"{one}/repair", repair, methods=["POST"], name="dataset.repair", status_code=201)
    page: dict[int | str, dict[str, Any]] = {
        200: {
            "content": {"application/json": {"schema": {"type": "object"}}, "text/html": {"schema": {"type": "string"}}}
        }
    }
    add(
        f"{one}/report",
        report,
        methods=["GET"],
        name="dataset.report",
        response_class=Response,
        responses=page,
    )
    figures: dict[int | str, dict[str, Any]] = {200: {"content": {"application/json": {"schema": {"type": "object"}}}}}
    add(
        f"{one}/analysis",
        analysis,
        methods=["GET"],
        name="dataset.analysis",
        response_class=Response,
        responses=figures,
    )
    add(f"{one}/preview", preview, methods=["GET"], name="dataset.preview")
    file: dict[int | str, dict[str, Any]] = {
        200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
    }
    add(f"{one}/file", file_of, methods=["GET"], name="dataset.file", response_class=Response, responses=file)
    add(one, delete, methods=["DELETE"], name="dataset.delete", status_code=204)
    return found


def check_upload_owner(request: Request, dataset_id: Id, user: CurrentUser) -> Upload:
    """The dataset, which is the user's own unless they are an admin.

    Raises: Problem 403, 404.
    """
    upload = services.of(request).checks.uploads.find(dataset_id)
    if upload is None:
        raise Problem(404, "not_found", "there is no such dataset", hint=_SEE)
    if not user.is_admin and upload.owner != user.name:
        raise Problem(403, "forbidden", "this dataset is another user's")
    return upload


OwnUpload = Annotated[Any, Depends(check_upload_owner)]


def how_it_is_read(
    text_column: Search | None = None,
    label_column: Search | None = None,
    text_pair_column: Search | None = None,
    label_separator: Search | None = None,
    label_columns: Annotated[Search, Query(description="With commas between: toxic,insult")] | None = None,
    encoding: Search | None = None,
    train_split: Search | None = None,
    validation_split: Search | None = None,
    test_split: Search | None = None,
) -> Mapping[str, Any]:
    """Keys of ``data`` that were given; what is left out is found by its name.

    Raises: Problem 422.
    """
    given = {key: value for key, value in locals().items() if value is not None}
    if label_columns is not None:
        given["label_columns"] = label_columns.split(",")
    config, wrong = asked({"data": given})
    if config is None or wrong:
        faults = [Fault(one.key.replace("data.", "query.", 1), one.text) for one in wrong]
        first = faults[0]
        raise Problem(422, "query_invalid", f"{first.where}: {first.detail}", where=first.where, faults=faults)
    return {key: getattr(config.data, key) for key in given}


Options = Annotated[Any, Depends(how_it_is_read)]


async def upload(
    request: Request,
    response: Response,
    user: CurrentUser,
    options: Options,
    name: FileName | None = None,
    wait_s: Wait = 0,
) -> Dataset:
    """Send a file: as the body itself with ``?name=``, or as the field ``file`` of a form.

    It is kept at once and checked soon: ``state`` goes from ``checking`` to ``ready`` or ``refused``.
    """
    received = await receiving.receive(request, user, purpose="dataset", name=name, card={"options": dict(options)})
    response.headers["Location"] = f"/datasets/{received.upload.id}"
    return await _checked(request, received.upload, wait_s)


def datasets(
    request: Request,
    user: CurrentUser,
    owner: Search | None = None,
    limit: Limit = 100,
    after: Cursor | None = None,
) -> Datasets:
    """One's files, the newest first; an admin's list holds everybody's, or those of ``owner``."""
    whose = owner_of(user, owner, everybody=user.is_admin)
    every = services.of(request).checks.uploads.list(whose)
    place = next((at for at, one in enumerate(every, 1) if one.id == after), None) if after is not None else 0
    if place is None:
        raise Problem(404, "not_found", "expected the last id of the page before", where="query.after")
    some, more = every[place : place + limit], len(every) > place + limit
    return Datasets(datasets=[Dataset.of(one) for one in some], has_more=more, next=some[-1].id if more else None)


def dataset(upload: OwnUpload) -> Dataset:
    """One file: its state, what the checks found, its version."""
    return Dataset.of(upload)


async def check(request: Request, upload: OwnUpload, user: CurrentUser, options: Options, wait_s: Wait = 0) -> Dataset:
    """Check it again, read as the parameters say: for one whose columns were not found, say.

    To be read otherwise it must not be needed by a task that has not ended.
    """
    changed = await run_in_threadpool(_again, request, user, upload, dict(options))
    return await _checked(request, changed, wait_s)


async def repair(
    request: Request, response: Response, upload: OwnUpload, user: CurrentUser, wait_s: Wait = 0
) -> Repaired:
    """A copy with every safe fix made, as ``data validate --fix`` makes it: a new dataset of the same owner.

    The file that was sent stays as it is. Where there is nothing to fix nothing is made.
    """
    found = services.of(request).checks
    if upload.state == "checking" or not found.uploads.report(upload).is_file():
        raise _unread(upload)
    made = await answer_of(found.repair(upload.id, request.state.user_id))
    try:
        copy = await run_in_threadpool(repairing.kept, request, user, upload, made)
    finally:
        await run_in_threadpool(remove, found.uploads.repaired(upload))
    response.headers["Location"] = f"/datasets/{copy.id}"
    return Repaired(dataset=await _checked(request, copy, wait_s), fixes=made["fixes"], rows=made["rows"])


async def report(request: Request, upload: OwnUpload, user: CurrentUser) -> Response:
    """Every row the checks name, as JSON; with ``Accept: text/html`` a page with figures and plots."""
    found = services.of(request).checks
    if upload.state == "checking" or not found.uploads.report(upload).is_file():
        raise _unread(upload)
    if not accepts(request, "text/html"):
        return await run_in_threadpool(sent, user, found.uploads.report(upload), "application/json")
    page = found.uploads.page(upload)
    if not page.is_file():
        await answer_of(found.page(upload.id, request.state.user_id))
    answer = await run_in_threadpool(sent, user, page, "text/html")
    answer.headers["Content-Security-Policy"] = _PAGE_POLICY
    return answer


async def analysis(request: Request, upload: OwnUpload, user: CurrentUser) -> Response:
    """Figures of the rows, as ``data analyze --json`` has them: lengths, labels, telling words, how splits differ."""
    found = services.of(request).checks
    if upload.state == "checking" or not found.uploads.report(upload).is_file():
        raise _unread(upload)
    path = found.uploads.figures(upload)
    if not path.is_file():
        await answer_of(found.figures(upload.id, request.state.user_id))
    return await run_in_threadpool(sent, user, path, "application/json")


def _unread(upload: Upload) -> Problem:
    told = "it is being checked" if upload.state == "checking" else "it could not be read, so there is no report"
    return Problem(409, "state_conflict", told, hint="GET /datasets/{dataset_id} tells its state")


def preview(request: Request, upload: OwnUpload, rows: Rows = 20) -> Preview:
    """The first rows of each split, as a training sees them."""
    if upload.version is None:
        raise Problem(409, "state_conflict", f"it is {upload.state}", hint="GET /datasets/{dataset_id} tells why")
    return first_rows(services.of(request).settings.data_dir, upload.version, rows)


def file_of(request: Request, upload: OwnUpload, user: CurrentUser) -> Response:
    """The file as it was sent, to the byte."""
    path = services.of(request).checks.uploads.file(upload)
    name = upload.name.replace("\\", "/").rpartition("/")[2] or f"{upload.id}.{upload.format}"
    return sent(user, path, "application/octet-stream", name)


def sent(user: User, path: Path, media_type: str, name: str | None = None) -> Response:
    """A file of a dataset, whole even where somebody deletes it meanwhile.

    Raises: Problem 404 where that was done already; 429.
    """
    source = open_plain(path)
    if source is None:
        raise Problem(404, "not_found", "there is no such dataset", hint=_SEE)
    return downloads.of_file(user.id, source, media_type, name)


def delete(request: Request, upload: OwnUpload, user: CurrentUser) -> Response:
    """Forget it, and its rows where nothing else uses them; refused while a task waits for it or runs on it."""
    found = services.of(request)
    tasks = partial(_tasks_on, found)
    try:
        with found.checks.uploads.deleting(upload.id, tasks), deeds.deed(request, user, upload.id):
            if tasks(upload):  # one that was submitted while it went
                raise StateError("a task needs it")
    except StateError:
        raise _needed() from None
    except NotFound:
        raise Problem(404, "not_found", "there is no such dataset", hint=_SEE) from None
    found.checks.stop(upload.id)
    _forget_rows(found, upload.version)
    return Response(status_code=204)


def _tasks_on(found: services.Services, upload: Upload) -> list[str]:
    return [task.id for task in found.jobs.store.overview(upload=upload.id, ended=False, limit=1)]


def _needed() -> Problem:
    hint = "POST /task/{task_id}/cancel first"
    return Problem(409, "state_conflict", "a task that has not ended needs it", hint=hint)


def _forget_rows(found: services.Services, version: str | None) -> None:
    from finetune30.data.versions import VersionStore

    store = VersionStore(found.settings.data_dir)

    def users(version_id: str) -> list[str]:
        runs = [one.id for one in found.jobs.store.find(dataset_hash=version_id, limit=1)]
        return [*runs, *found.checks.uploads.of_version(version_id), *store.tags_of(version_id)]

    if version is not None:
        try:
            store.delete(version, users)
        except Finetune30Error:
            return  # somebody uses them; or `finetune30 data versions gc` finds them later


async def answer_of(future: Any) -> Mapping[str, Any]:
    """What a process of its own answers.

    Raises: Problem 413, 422, 503.
    """
    done, _ = await asyncio.wait({asyncio.wrap_future(future)}, timeout=_PAGE_S)
    answer: Mapping[str, Any] = done.pop().result() if done else {"busy": True}
    if "busy" in answer:
        raise Problem(503, "busy", "this takes a while", hint="ask again soon", headers={"Retry-After": "10"})
    if (error := answer.get("error")) is not None:
        raise Problem(error["status"], error["code"], "this cannot be made of these rows")
    return answer


async def _checked(request: Request, upload: Upload, wait_s: float) -> Dataset:
    checks = services.of(request).checks
    future = checks.submit(upload)
    if wait_s:
        await asyncio.wait({asyncio.wrap_future(future)}, timeout=wait_s)
        return Dataset.of(await run_in_threadpool(checks.uploads.get, upload.id))
    return Dataset.of(upload)


def _again(request: Request, user: User, upload: Upload, options: dict[str, Any]) -> Upload:
    found = services.of(request)
    if options != upload.options and _tasks_on(found, upload):
        raise _needed()
    blank = {"report": None, "error": None, "version": None, "checks": 0}
    try:
        with deeds.deed(request, user, upload.id) as deed:
            deed.detail["options"] = sorted(options)
            if options != upload.options and _tasks_on(found, upload):  # one that was submitted meanwhile
                raise _needed()
            changed = found.checks.uploads.update(upload.id, state="checking", options=options, **blank)
    except NotFound:
        raise Problem(404, "not_found", "there is no such dataset", hint=_SEE) from None
    _forget_rows(found, upload.version)
    return changed
