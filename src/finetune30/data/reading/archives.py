"""Files inside a ``.zip`` or ``.tar`` as streams, as if they lay in a folder.

Nothing is unpacked to disk. An archive is refused whole when any of its members is something that
belongs in no data set: a way out of the folder, a link, a device, a second archive, a password, two
files of one name, or too many of them.
Neighbours: tar reads its headers, unpacking weighs what comes out, local takes the members.
"""

from __future__ import annotations

import io
import re
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO

from finetune30.data.reading import tar
from finetune30.data.reading.opening import PACKED
from finetune30.data.reading.unpacking import MOST_BYTES, STEP_BYTES, Meter, Stream
from finetune30.errors import DataError, DataTooLarge

MOST_MEMBERS = 1000
_DIRECTORY_BYTES = 1 << 20
_END_BYTES = 22
_ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)
_DAMAGES = (
    zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, LookupError, NotImplementedError, OverflowError,
)  # fmt: skip
_DRIVE = re.compile(r"[A-Za-z]:")


@dataclass(frozen=True)
class Member:
    """A file in an archive.

    Args:
        name: Its path there, such as ``data/train.csv``.
        open: Its content as a stream; each call begins anew.
    """

    name: str
    size: int
    open: Callable[[], BinaryIO]


def members(file: BinaryIO, ending: str, where: str) -> list[Member]:
    """The files in an archive, all of them looked at.

    Args:
        file: The ``.zip``, or the ``.tar`` with its compression taken off.
    Raises: DataError for damage, and for any member that is not to be there.
    """
    found = _in_zip(file, where) if ending == ".zip" else _in_tar(file, where)
    files: dict[str, Member] = {}
    size = 0
    for count, (member, is_folder) in enumerate(found, start=1):
        if count > MOST_MEMBERS:
            raise _too_many(where)
        name = _checked(member.name, where)
        if is_folder:
            continue
        if PurePosixPath(name).suffix.lower() in PACKED:
            raise DataError(f"{name!r} in it is packed once more", where=where, hint="pack the data files themselves")
        if name in files:
            raise DataError(f"{name!r} is in it twice", where=where, hint="pack it again, each file once")
        size += member.size
        if size > MOST_BYTES:
            raise DataTooLarge(f"it unpacks to more than {MOST_BYTES >> 30} GiB", where=where, hint="keep fewer rows")
        files[name] = Member(name, member.size, member.open)
    return list(files.values())


def _checked(name: str, where: str) -> str:
    """The name without ``./`` and the like."""
    parts = name.split("/")
    if name.startswith("/") or ".." in parts or "\\" in name or "\0" in name or _DRIVE.match(name):
        raise DataError(f"{name!r} in it leads elsewhere", where=where, hint="pack files by names such as train.csv")
    return "/".join(part for part in parts if part not in ("", "."))


def _in_tar(file: BinaryIO, where: str) -> Iterator[tuple[Member, bool]]:
    for entry in tar.entries(file, where):
        yield Member(entry.name, entry.size, _tar_opener(file, entry, where)), entry.is_folder


def _tar_opener(file: BinaryIO, entry: tar.Entry, where: str) -> Callable[[], BinaryIO]:
    def begin() -> Iterator[bytes]:
        at, end = entry.start, entry.start + entry.size
        while at < end:
            file.seek(at)
            chunk = file.read(min(STEP_BYTES, end - at))
            if not chunk:
                raise DataError("the .tar file is cut short", where=where, hint="fetch it again")
            at += len(chunk)
            yield chunk

    return lambda: io.BufferedReader(Stream(begin), STEP_BYTES)


class _InParts:
    """A file of which nobody reads much at once: the directory of a zip is read whole."""

    def __init__(self, file: BinaryIO, where: str) -> None:
        self._file = file
        self._where = where
        self.seek, self.tell = file.seek, file.tell

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if size > _DIRECTORY_BYTES:
            raise _too_many(self._where)
        return self._file.read(_DIRECTORY_BYTES if size < 0 else size)


def _in_zip(file: BinaryIO, where: str) -> Iterable[tuple[Member, bool]]:
    try:
        archive = zipfile.ZipFile(_InParts(file, where))
        infos = archive.infolist()
        if len(infos) > MOST_MEMBERS:
            raise _too_many(where)
        _check_layout(file, archive)
    except _DAMAGES as cause:
        raise _damaged_zip(cause, where) from cause
    for info in infos:
        _check_info(info, where)
    return [(Member(info.filename, info.file_size, _zip_opener(archive, info, where)), info.is_dir()) for info in infos]


def _check_layout(file: BinaryIO, archive: zipfile.ZipFile) -> None:
    """Members may not share their bytes, and nothing may follow the end."""
    file.seek(-_END_BYTES - len(archive.comment), io.SEEK_END)
    if file.read(4) != b"PK\x05\x06":
        raise zipfile.BadZipFile("something follows its end")
    end = 0
    for info in sorted(archive.infolist(), key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise zipfile.BadZipFile("its members overlap")
        end = info.header_offset + info.compress_size
    if end > archive.start_dir:
        raise zipfile.BadZipFile("a member goes beyond its end")


def _check_info(info: zipfile.ZipInfo, where: str) -> None:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        what = "a symbolic link" if kind == stat.S_IFLNK else "no plain file"
        raise DataError(f"{info.filename!r} in it is {what}", where=where, hint="pack plain files only")
    if info.flag_bits & 0x1:
        raise DataError(f"{info.filename!r} in it has a password", where=where, hint="pack it without one")
    if info.compress_type not in _ZIP_METHODS:
        hint = "pack it with the usual method, deflate"
        raise DataError(f"{info.filename!r} in it is packed in a way we do not read", where=where, hint=hint)
    meter = Meter(where)
    meter.packed = info.compress_size
    meter.add(info.file_size)


def _zip_opener(archive: zipfile.ZipFile, info: zipfile.ZipInfo, where: str) -> Callable[[], BinaryIO]:
    def begin() -> Iterator[bytes]:
        try:
            with archive.open(info) as content:
                while chunk := content.read(STEP_BYTES):
                    yield chunk
        except _DAMAGES as cause:
            raise _damaged_zip(cause, where) from cause

    return lambda: io.BufferedReader(Stream(begin), STEP_BYTES)


def _damaged_zip(cause: BaseException, where: str) -> DataError:
    reason = str(cause).partition("\n")[0][:100]
    return DataError(f"the .zip file is damaged: {reason}", where=where, hint="pack it again, or fetch it again")


def _too_many(where: str) -> DataError:
    return DataError(
        f"it holds more than {MOST_MEMBERS:,} files", where=where, hint="pack the split files only: train, dev, test"
    )
