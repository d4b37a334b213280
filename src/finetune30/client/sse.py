"""Server-sent events, read from bytes as they come.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html, chapter 9.2.6; lines end with LF, CRLF or CR.
Neighbours: ``watching`` says what they mean.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

# No event of ours is nearly so long: a stream without line ends must not fill the memory.
LONGEST = 1 << 20
_END = re.compile(rb"\r\n|\n|\r(?!\Z)")


@dataclass(frozen=True)
class Message:
    """One message. ``last_id`` is that of the newest message with an id so far."""

    kind: str
    data: str
    last_id: str


def messages(pieces: Iterable[bytes], last_id: str = "") -> Iterator[Message | None]:
    """The messages of a stream; None for each piece, as a sign of life. One that is not whole at the end is none.

    Raises: ValueError for one that is longer than any of ours.
    """
    kind, data, size = "", list[str](), 0
    for line in _lines(pieces):
        if line is None:
            yield None
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "" if not line:
                if data:
                    yield Message(kind or "message", "\n".join(data), last_id)
                kind, data, size = "", [], 0
            case "event":
                kind = value
            case "data":
                data.append(value)
                size += len(value) + 1
                if size > LONGEST:
                    raise ValueError("an event that is too long")
            case "id" if "\0" not in value:
                last_id = value


def _lines(pieces: Iterable[bytes]) -> Iterator[str | None]:
    rest, mark = b"", codecs.BOM_UTF8
    for piece in pieces:
        *whole, rest = _END.split(rest + piece)
        if len(rest) > LONGEST:
            raise ValueError("a line that is too long")
        yield None
        for line in whole:
            yield line.removeprefix(mark).decode("utf-8", "replace")
            mark = b""  # it may stand before the first line only
