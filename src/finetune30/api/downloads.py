"""Sending what is large: piece by piece, at the pace of who receives it, with its length told before.

No ranges are served (``Accept-Ranges: none``): a request for ten thousand of them costs what one for the whole
costs. Neighbours: the routes of artifacts and checkpoints; ``zipped`` makes archives.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from threading import Lock

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from finetune30.api.zipped import CHUNK_BYTES, Archive, ChangedError
from finetune30.experiments.opened import OpenFile
from finetune30.web.problems import Problem, too_many, unavailable

ZIP = "application/zip"
# Each holds some files open for as long as its client likes to read.
_MOST_AT_ONCE = 8
_open: Counter[str] = Counter()
_lock = Lock()


class Download(Response):
    """Pieces of bytes, the files behind them closed whatever happens.

    Args:
        length: Bytes in all; None where nobody knows before the end.
        close: Gives everything back; called once.
    """

    def __init__(
        self, pieces: Iterator[bytes], media_type: str, name: str, length: int | None, close: Callable[[], None]
    ) -> None:
        # The name is of our own making, so it needs no escapes.
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "Accept-Ranges": "none"}
        super().__init__(None, headers=headers, media_type=media_type)
        del self.headers["content-length"]
        if length is not None:
            self.headers["Content-Length"] = str(length)
        self._pieces, self._close = pieces, close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Send it all. A fault on the way ends the connection: a cut answer must not look whole."""
        gone = asyncio.ensure_future(_gone(receive))
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            while (piece := await run_in_threadpool(next, self._pieces, None)) is not None:
                if gone.done():
                    return  # nobody reads the rest
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            gone.cancel()
            self._close()


async def _gone(receive: Receive) -> None:
    """Returns when the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


def of_file(user_id: str, source: OpenFile, media_type: str, name: str) -> Download:
    """One file; it is closed when it is sent.

    Raises: Problem 429.
    """
    give_back = _taken(user_id, source)
    return Download(_bytes_of(source), media_type, name, source.bytes, give_back)


def of_files(
    user_id: str,
    folder: str,
    name: str,
    sources: list[OpenFile],
    check: Callable[[Mapping[str, str]], None] = lambda _: None,
) -> Download:
    """Several files as a ZIP archive; they are closed when it is sent.

    Args:
        folder: Name of the folder in the archive.
        name: Of the archive.
        check: Told the sha256 of each file by its name, before anything is sent.
    Raises: Problem 429, 503; what ``check`` raises.
    """
    give_back = _taken(user_id, *sources)
    try:
        archive = Archive(folder, sources)
        check({one.source.name: one.sha256 for one in archive.members})
    except (ChangedError, OSError):
        give_back()
        raise unavailable("storage_unusable", "the files cannot be read just now", "try again later") from None
    except BaseException:
        give_back()
        raise
    return Download(archive.chunks(), ZIP, name, archive.bytes, give_back)


def of_pieces(user_id: str, pieces: Iterator[bytes], media_type: str, name: str, close: Callable[[], None]) -> Download:
    """What is made while it is sent.

    Raises: Problem 429.
    """
    try:
        give_back = _taken(user_id)
    except Problem:
        close()
        raise

    def both() -> None:
        close()
        give_back()

    return Download(pieces, media_type, name, None, both)


def _taken(user_id: str, *sources: OpenFile) -> Callable[[], None]:
    """Count one more download of this user; what counts it off again and closes its files."""
    with _lock:
        allowed = _open[user_id] < _MOST_AT_ONCE
        _open[user_id] += allowed

    def give_back() -> None:
        for source in sources:
            source.close()
        with _lock:
            _open[user_id] -= allowed
            if not _open[user_id]:
                del _open[user_id]

    if not allowed:
        give_back()
        raise too_many(10, "too many downloads are open")
    return give_back


def _bytes_of(source: OpenFile) -> Iterator[bytes]:
    """The file as long as it was when it was opened: a log grows, and its length was told."""
    left = source.bytes
    while left:
        piece = source.file.read(min(CHUNK_BYTES, left))
        if not piece:
            raise ChangedError(source.name)
        left -= len(piece)
        yield piece
