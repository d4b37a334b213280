"""A file that a client sends, from the wire to the disk: raw or as a form, a MiB in memory at a time.

Its sender is known and counted before the first byte is asked for. What is too large, too slow, no file we read,
or not sent to its end leaves nothing behind.
Neighbours: ``limits`` lets these bodies through unread, ``multipart`` takes forms apart, ``data.uploads`` keeps.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Collection, Iterator, Mapping
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from finetune30.access import User
from finetune30.api import deeds, kinds, services
from finetune30.api.kinds import FORM, TYPES
from finetune30.api.multipart import Form, malformed
from finetune30.errors import Finetune30Error
from finetune30.web.gate import length_of
from finetune30.web.problems import Problem, of_status, too_many

if TYPE_CHECKING:
    from finetune30.data.arriving import Receiving
    from finetune30.data.uploads import Upload

_FORM_BYTES = 64 << 10
_WRITTEN_AT_ONCE = 1 << 20
_SILENT_S = 30.0
_SLOWEST_BYTES_PER_S = 4096
_SLOW_AFTER_S = 60.0
_AT_ONCE = 8
_under_way: Counter[str] = Counter()


@dataclass(frozen=True)
class Received:
    """A file that is kept now, and what else stood in the form."""

    upload: Upload
    fields: Mapping[str, str]


async def receive(
    request: Request,
    user: User,
    *,
    purpose: str,
    name: str | None = None,
    formats: Collection[str] | None = None,
    fields: Mapping[str, Collection[str]] | None = None,
    card: Mapping[str, Any] | None = None,
) -> Received:
    """Take the file of this request in and keep it, in one deed with its row in the audit log.

    Args:
        name: As the query says, for a body that is nothing but the file.
        formats: Those that are taken; None for every one we read.
        fields: Fields the form must hold, and the values each may have.
        card: What its card shall say beside what is known of it, such as ``options``.
    Raises: Problem 400, 408, 413, 415, 422, 429, 503; ClientDisconnect. Nothing is kept then.
    """
    kind = _kind_of(request)
    length = length_of(request.headers)
    _refuse_large(request, length, is_form=kind == FORM)
    with _counted(user):
        source = _form_parts(request, fields or {}) if kind == FORM else _raw_parts(request, kind, name)
        arriving: Receiving | None = None
        try:
            async with aclosing(source):
                async for part in source:
                    if isinstance(part, _Begun):
                        form = await run_in_threadpool(kinds.format_of, part.name, part.kind, formats)
                        expected = length if kind != FORM else None
                        arriving = await run_in_threadpool(_placed, request, user, part.name, form, purpose, expected)
                    elif arriving is None:
                        raise malformed("the form holds no file")
                    elif isinstance(part, bytes):
                        await run_in_threadpool(_written, arriving, part)
                    else:
                        return Received(await run_in_threadpool(keep, request, user, arriving, card or {}), part)
            raise malformed("the form holds no file")
        finally:
            if arriving is not None:
                await asyncio.shield(run_in_threadpool(arriving.__exit__, None, None, None))


@dataclass(frozen=True)
class _Begun:
    """The file begins: what it is called, and what the request says it is."""

    name: str
    kind: str


_Part = _Begun | bytes | dict[str, str]


async def _raw_parts(request: Request, kind: str, name: str | None) -> AsyncGenerator[_Part, None]:
    if name is None:
        hint = "for example POST /datasets?name=train.csv"
        raise Problem(422, "query_invalid", "expected the file's name", where="query.name", hint=hint)
    yield _Begun(name, kind)
    held: list[bytes] = []
    size = 0
    async for chunk in _chunks(request):
        held.append(chunk)
        size += len(chunk)
        if size >= _WRITTEN_AT_ONCE:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)
    yield {}


async def _form_parts(request: Request, fields: Mapping[str, Collection[str]]) -> AsyncGenerator[_Part, None]:
    form = Form(request.headers.get("content-type", ""))
    begun, held, size = False, [], 0
    async for chunk in _chunks(request):
        found = form.feed(chunk)
        if form.filename is not None and not begun:
            begun = True
            yield _Begun(form.filename, "")
        held += found
        size += sum(map(len, found))
        if size >= _WRITTEN_AT_ONCE:
            yield b"".join(held)
            held, size = [], 0
    if not form.ended:
        raise malformed("the form ends before its last boundary")
    _check_fields(form.fields, fields)
    if begun:
        if held:
            yield b"".join(held)
        yield form.fields


async def _chunks(request: Request) -> AsyncGenerator[bytes, None]:
    """The body as it comes, unless it comes too slowly.

    Raises: Problem 408; ClientDisconnect.
    """
    began, size = time.monotonic(), 0
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout(_SILENT_S):
                chunk = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise of_status(408) from None
        size += len(chunk)
        took_s = time.monotonic() - began
        if took_s > _SLOW_AFTER_S and size < took_s * _SLOWEST_BYTES_PER_S:
            raise of_status(408)
        if chunk:
            yield chunk


def _kind_of(request: Request) -> str:
    kinds = request.headers.getlist("content-type")
    kind = (kinds[0] if len(kinds) == 1 else "").partition(";")[0].strip().lower()
    if kind not in TYPES or request.headers.get("content-encoding", "identity") != "identity":
        hint = "curl -F file=@train.csv, or -H 'Content-Type: text/csv' --data-binary @train.csv"
        raise Problem(415, "unsupported_media_type", f"expected Content-Type: {', '.join(TYPES)}", hint=hint)
    return kind


def _refuse_large(request: Request, length: int | None, *, is_form: bool) -> None:
    """Before anything is read, where its size is told."""
    most = services.of(request).settings.upload_max_mb << 20
    if most and length is not None and length > most + (_FORM_BYTES if is_form else 0):
        raise Problem(413, "too_large", f"the file is larger than {most >> 20} MiB (UPLOAD_MAX_MB)")


@contextmanager
def _counted(user: User) -> Iterator[None]:
    """So many at once of one user in this process: each holds a connection and a MiB."""
    if _under_way[user.id] >= _AT_ONCE:
        raise too_many(5, f"you are sending {_AT_ONCE} files at once already")
    _under_way[user.id] += 1
    try:
        yield
    finally:
        _under_way[user.id] -= 1
        if not _under_way[user.id]:
            del _under_way[user.id]


def _written(arriving: Receiving, part: bytes) -> None:
    if not arriving.bytes:
        kinds.check_start(part, arriving.format)
    arriving.write(part)


def _check_fields(found: Mapping[str, str], wanted: Mapping[str, Collection[str]]) -> None:
    for name, values in wanted.items():
        if found.get(name) not in values:
            told = f"expected the field {name}: {' or '.join(values)}"
            raise Problem(422, "form_invalid", told, where=f"form.{name}")
    if any(name not in wanted for name in found):
        told = ", ".join(["file", *wanted])
        raise Problem(422, "form_invalid", f"the form holds a field that is not taken; there is: {told}", where="form")


def _placed(request: Request, user: User, name: str, form: str, purpose: str, expected: int | None) -> Receiving:
    return place(request, user.name, name, form, purpose, expected).__enter__()


def place(request: Request, owner: str, name: str, form: str, purpose: str, expected: int | None) -> Receiving:
    """A place for a file of this owner, within the limits; to be used in a ``with`` block."""
    found = services.of(request)
    settings = found.settings
    return found.checks.uploads.receive(
        owner,
        name,
        form,
        purpose=purpose,
        limit_bytes=settings.upload_max_mb << 20,
        quota_bytes=settings.uploads_mb_per_user << 20,
        quota_files=settings.uploads_per_user,
        expected_bytes=expected or 0,
    )


def keep(
    request: Request,
    user: User,
    arrived: Receiving,
    card: Mapping[str, Any],
    detail: Mapping[str, Any] | None = None,
) -> Upload:
    """Keep it, and say so in the log: both or neither.

    Args:
        detail: What the log shall say beside the file's size, sum and purpose.
    Raises: Problem 422 for a file of nothing.
    """
    if not arrived.bytes:
        raise Problem(422, "data_invalid", "the file is empty", where="file")
    store = services.of(request).checks.uploads
    upload: Upload | None = None
    arrived.settle()  # before a transaction is open: it may take a while
    try:
        with deeds.deed(request, user, arrived.id) as deed:
            upload = arrived.finish(**card)
            deed.detail |= {"bytes": upload.bytes, "sha256": upload.sha256, "purpose": upload.purpose, **(detail or {})}
    except BaseException:
        if upload is not None:
            with suppress(Finetune30Error):
                store.delete(upload.id, lambda _: ())
        raise
    return upload
