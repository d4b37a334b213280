"""From the bytes of a text file to its lines, whatever encoding it was saved in.

UTF-8 is tried first. What is not UTF-8 is read as the encoding it is found to be, and that is said.
A file that is UTF-8 but for some broken bytes is an error which names them: taken for Latin-1,
every other accent in it would become two wrong letters.
Neighbours: charsets judges which one it is, lines gives the lines, files says what to read.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import BinaryIO

from finetune30.data.reading import charsets
from finetune30.data.reading.lines import Broken, Enough, Lines, MarkedLines
from finetune30.data.table import Table, shortened
from finetune30.errors import DataError

_START_BYTES = 1 << 18
_MARKED = "finetune30-marked"


def _mark(fault: UnicodeError) -> tuple[str, int]:
    """Put U+DC00 + byte, which no encoding yields, in the place of broken bytes."""
    if not isinstance(fault, UnicodeDecodeError):
        raise fault
    return chr(0xDC00 + fault.object[fault.start]), max(fault.end, fault.start + 1)


codecs.register_error(_MARKED, _mark)


@dataclass(frozen=True)
class TextFile:
    """A file as text in one encoding; it can be read again and again.

    Args:
        broken: If given, broken bytes are no error: each line that has one is told to it.
    """

    handle: BinaryIO
    where: str
    encoding: str
    broken: Broken | None = None

    def start(self) -> str:
        """The first few hundred lines, the last one perhaps cut."""
        self.handle.seek(0)
        return codecs.getincrementaldecoder(self.encoding)(self._errors()).decode(self.handle.read(_START_BYTES))

    @contextmanager
    def lines(self, *, first: int, newline: str) -> Iterator[Lines]:
        """All lines, from the first.

        Args:
            first: Number of the first row.
            newline: ``""`` ends lines at line feeds and carriage returns, ``"\\n"`` at line feeds alone.
        """
        self.handle.seek(0)
        text = io.TextIOWrapper(self.handle, self.encoding, self._errors(), newline)
        try:
            if self.broken is None:
                yield Lines(text, self.where, first)
            else:
                yield MarkedLines(text, self.where, first, self.broken)
        finally:
            text.detach()  # else it would close the handle

    def _errors(self) -> str:
        return "strict" if self.broken is None else _MARKED


def decoded(handle: BinaryIO, *, where: str, told: str | None, read: Callable[[TextFile], Table]) -> Table:
    """What ``read`` makes of the file in the first encoding that fits it, which is noted.

    Args:
        handle: At least ``seek(0)`` must work.
        told: ``data.encoding``.
    Raises: DataError when no encoding fits, naming the lines with broken bytes; or what ``read`` raises.
    """
    blamed = "utf-8"
    for encoding, note in _attempts(handle, where, told):
        if blamed == "utf-8":  # which is tried before anything is known
            blamed = encoding
        try:
            table = read(TextFile(handle, where, encoding))
        except UnicodeDecodeError:
            continue
        return replace(table, notes=(note, *table.notes)) if note else table
    raise _broken(handle, where, blamed, told, read)


def _attempts(handle: BinaryIO, where: str, told: str | None) -> Iterator[tuple[str, str | None]]:
    """Encodings to try, the likeliest first, with what is to be said of each."""
    handle.seek(0)
    start = handle.read(charsets.MARK_BYTES)
    if told is not None:
        codec = charsets.told(told, start)
        yield from ((encoding, None) for encoding in charsets.family(codec))
        return
    marked = charsets.marked(start)
    if marked == "utf-8-sig":
        yield marked, f"{where} began with a byte order mark, which was skipped"
        return
    if marked is None:
        yield "utf-8", None
    found = marked or charsets.found(handle)
    if found is None:
        return
    for encoding in charsets.family(found):
        yield encoding, f"{where} is {charsets.shown(encoding)}, read as such"


def _broken(
    handle: BinaryIO, where: str, encoding: str, told: str | None, read: Callable[[TextFile], Table]
) -> DataError:
    """Which lines hold broken bytes: everything is read once more, with these marked."""
    name = charsets.shown(encoding)
    broken = Broken()
    other, at_least = DataError(f"it is not {name}", where=where, hint="save it as UTF-8"), ""
    try:
        read(TextFile(handle, where, encoding, broken))
    except DataError as fault:
        other = fault
    except Enough:
        at_least = "at least "
    if not broken.count:  # something is wrong in a line before them
        return other
    byte, place = broken.first[0]
    others = shortened([place for _, place in broken.first[1:]], total=broken.count - 1)
    more = f"; {at_least}{broken.count - 1} more broken lines: {others}" if others else ""
    hint = "mend these lines, or name the encoding of the whole file, such as data.encoding: big5"
    if told is not None:
        hint = f"data.encoding is {told}; leave it out to have the encoding found"
    return DataError(f"byte 0x{byte:02x} is not {name}{more}", where=f"{where}: {place}", hint=hint)
