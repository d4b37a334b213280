"""The members of a tar file, read header by header.

Only what a data set needs is understood: files and folders, with long names. Links, devices, pipes
and files with holes are refused by their kind, and nothing in a header makes us hold more than a few
kilobytes, which is why the standard library's reader, made to restore all of it, is not used.
Format: POSIX.1-2017, pax, "ustar Interchange Format"; GNU tar's long names.
Neighbours: archives checks the names and gives the contents.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from finetune30.errors import DataError

BLOCK_BYTES = 512
_EXTENSION_BYTES = 1 << 16
_FILES = (b"0", b"\0", b"7")
_FOLDER = b"5"
_KINDS = {
    b"1": "a hard link", b"2": "a symbolic link", b"3": "a device", b"4": "a device", b"6": "a named pipe",
    b"S": "a file with holes",
}  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """A file or folder: where its content begins, counted in bytes from the start of the tar file."""

    name: str
    size: int
    start: int
    is_folder: bool


def entries(file: BinaryIO, where: str) -> Iterator[Entry]:
    """Every member, in order.

    Raises: DataError for damage and for members that are neither file nor folder.
    """
    at, long_name, size_told = 0, "", None
    while True:
        file.seek(at)
        block = file.read(BLOCK_BYTES)
        if len(block) < BLOCK_BYTES:
            raise _damaged("it is cut short", where)
        if not any(block):
            return _check_end(file, where)
        size, kind = _number(block[124:136], where), block[156:157]
        _check_sum(block, where)
        start = at + BLOCK_BYTES
        if kind in (b"x", b"g", b"L", b"K"):
            content = _extension(file, size, where)
            if kind == b"L":
                long_name = _text(content)
            elif kind == b"x":
                said = _pax(content, where)
                long_name = said.get("path", long_name)
                size_told = int(said["size"]) if said.get("size", "").isdecimal() else None
        else:
            size = size if size_told is None else size_told
            yield _entry(block, long_name, size, start, where)
            long_name, size_told = "", None
        at = start + -(-size // BLOCK_BYTES) * BLOCK_BYTES


def _entry(block: bytes, long_name: str, size: int, start: int, where: str) -> Entry:
    kind = block[156:157]
    name = long_name or _text(block[:100])
    if not long_name and block[257:263] == b"ustar\0" and block[345]:
        name = f"{_text(block[345:500])}/{name}"
    if kind not in _FILES and kind != _FOLDER:
        what = _KINDS.get(kind, "neither a file nor a folder")
        raise DataError(f"{name!r} in it is {what}", where=where, hint="pack plain files only")
    is_folder = kind == _FOLDER or name.endswith("/")
    return Entry(name, 0 if is_folder else size, start, is_folder)


def _extension(file: BinaryIO, size: int, where: str) -> bytes:
    if size > _EXTENSION_BYTES:
        raise _damaged(f"a header of {size:,} bytes", where)
    content = file.read(size)
    if len(content) < size:
        raise _damaged("it is cut short", where)
    return content


def _pax(content: bytes, where: str) -> dict[str, str]:
    """Records ``LENGTH NAME=VALUE``, a line each."""
    said: dict[str, str] = {}
    while content.rstrip(b"\0"):
        length, space, _ = content.partition(b" ")
        if not space or not length.isdigit() or not len(length) + 3 <= int(length) <= len(content):
            raise _damaged("a header cannot be read", where)
        name, equals, value = content[len(length) + 1 : int(length)].rstrip(b"\n").partition(b"=")
        if not equals:
            raise _damaged("a header cannot be read", where)
        if name.startswith(b"GNU.sparse"):
            raise DataError("a member is a file with holes", where=where, hint="pack plain files only")
        said[_text(name)] = _text(value)
        content = content[int(length) :]
    return said


def _number(field: bytes, where: str) -> int:
    """Octal digits, or the bytes themselves where the first bit is set."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.partition(b"\0")[0].strip()
    try:
        number = int(digits or b"0", 8)
    except ValueError as cause:
        raise _damaged("a size cannot be read", where) from cause
    if number < 0:
        raise _damaged("a size is negative", where)
    return number


def _check_sum(block: bytes, where: str) -> None:
    if sum(block[:148]) + 8 * ord(" ") + sum(block[156:]) != _number(block[148:156], where):
        raise _damaged("a header is not what it was", where)


def _check_end(file: BinaryIO, where: str) -> None:
    while chunk := file.read(1 << 18):
        if any(chunk.strip(b"\0")):
            raise _damaged("something follows its end", where)


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "replace")


def _damaged(reason: str, where: str) -> DataError:
    return DataError(f"the .tar file is damaged: {reason}", where=where, hint="pack it again, or fetch it again")
