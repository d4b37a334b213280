"""Opening a data file without being led astray.

Only a regular file or a folder is opened, decided on the open descriptor and not on a name that
may be swapped meanwhile. A symbolic link, a pipe or a device is refused at once, never waited for;
so is anything that only unpickling could read, whatever its name says.
Neighbours: local chooses which files, files reads them, archives and unpacking take wrappings off.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from finetune30.errors import DataError

READABLE = (".csv", ".tsv", ".jsonl", ".parquet")
ARCHIVES = (".zip", ".tar")
_COMPRESSED = {".gz": b"\x1f\x8b", ".bz2": b"BZh", ".xz": b"\xfd7zXZ\x00", ".zst": b"\x28\xb5\x2f\xfd"}
_SHORT = {".tgz": ".tar.gz", ".tbz2": ".tar.bz2", ".txz": ".tar.xz"}
_UNPICKLED = (".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".bin", ".joblib", ".npy", ".npz", ".h5", ".hdf5")
PACKED = (*ARCHIVES, *_COMPRESSED, *_SHORT, ".lz4", ".7z", ".rar", ".z", ".lzma")
# A name that ends like this is meant as a file, so it is never looked up on a hub.
FILE_ENDINGS = (*READABLE, *_UNPICKLED, *PACKED, ".txt", ".json", ".xlsx", ".xls", ".arrow", ".feather")

_MAGIC = (
    *((b"\x80" + bytes([protocol]), "a Python pickle") for protocol in range(2, 6)),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"PK\x03\x04", "a zip archive (xlsx, npz and PyTorch files are such)"),
    (b"\x1f\x8b", "compressed with gzip"),
    *((b"BZh%d1AY&" % level, "compressed with bzip2") for level in range(1, 10)),
    (b"\xfd7zXZ\x00", "compressed with xz"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd"),
    (b"ARROW1\x00\x00", "an Arrow file"),
)
START_BYTES = 16
_PARQUET = b"PAR1"
_FORMATS = "expected a .csv, .tsv, .jsonl or .parquet file"
_SAFE_COPY = "save the rows as .csv, .jsonl or .parquet; a pickle can run code while it is read"


def open_entry(path: Path, *, shown: str, within: int | None = None) -> int:
    """Descriptor of a regular file or a folder, opened for reading; the caller closes it.

    Args:
        shown: The name that errors carry.
        within: Descriptor of the folder that ``path`` is relative to.
    Raises: DataError for a symbolic link, pipe, socket or device, and when nothing can be opened.
    """
    # O_NOFOLLOW refuses a link; without O_NONBLOCK a pipe that nobody writes to would never open.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        # Opening alone can make a device act: it is refused unopened.
        _check_device(os.stat(path, dir_fd=within, follow_symlinks=False), shown)
        descriptor = os.open(path, flags, dir_fd=within)
    except OSError as cause:
        raise _cannot_open(cause, shown) from cause
    try:
        # What counts is what is open now: the name may have been swapped since.
        _check_kind(os.fstat(descriptor), shown)
    except DataError:
        os.close(descriptor)
        raise
    return descriptor


def is_folder(descriptor: int) -> bool:
    """Whether an open descriptor is a folder."""
    return stat.S_ISDIR(os.fstat(descriptor).st_mode)


@dataclass(frozen=True)
class Form:
    """What the name of a file promises: ``rows.csv.gz`` is a ``.csv`` within a ``.gz``."""

    stem: str
    ending: str
    compressed: str | None = None


def check_name(name: str, *, shown: str) -> Form:
    """What a file is that we can read, by its name; endings in small letters.

    Raises: DataError for pickles and their kin, for other compressed files, and for unknown endings.
    """
    path = Path(name)
    suffix = path.suffix.lower()
    if suffix in _SHORT:
        return Form(path.stem, ".tar", _SHORT[suffix].removeprefix(".tar"))
    compressed = suffix if suffix in _COMPRESSED else None
    inner = Path(path.stem) if compressed else path
    ending = inner.suffix.lower()
    if ending in _UNPICKLED:
        raise DataError(f"{ending} files are not read, {_FORMATS}", where=shown, hint=_SAFE_COPY)
    if compressed and (ending == ".parquet" or ending not in (*READABLE, ".tar")):
        hint = "unpack it first" if ending != ".parquet" else "Parquet files are compressed inside: unpack it"
        what = f"a {ending} file" if ending else "what its name does not tell"
        raise DataError(f"holds {what}, expected such as rows.csv{compressed}", where=shown, hint=hint)
    if ending in READABLE or ending in ARCHIVES:
        return Form(inner.stem, ending, compressed)
    if suffix in PACKED:
        raise DataError(f"compressed files of this kind are not read, {_FORMATS}", where=shown, hint="unpack it first")
    hint = 'write one JSON object a line and call it .jsonl: {"text": …, "label": …}'
    hint = hint if suffix == ".json" else "export the rows as .csv; the first line names the columns"
    raise DataError(f"the name ends in {suffix or 'nothing'}, {_FORMATS}", where=shown, hint=hint)


def data_file(name: str) -> Form | None:
    """What a data file is, by its name; None for archives and anything else."""
    try:
        form = check_name(name, shown=name)
    except DataError:
        return None
    return form if form.ending in READABLE else None


def check_packed(start: bytes, form: Form, *, shown: str) -> None:
    """Compare the first bytes of a compressed file or an archive with what its name promises.

    Raises: DataError.
    """
    magic = b"PK" if form.ending == ".zip" else _COMPRESSED[form.compressed] if form.compressed else b""
    if not start.startswith(magic):
        kind = form.compressed or form.ending
        raise DataError(f"the content is not {kind}", where=shown, hint="the name must match the content")


def check_content(start: bytes, ending: str, *, shown: str) -> None:
    """Compare the first bytes of a file with what its name promises.

    Raises: DataError for a pickle, an archive or a Parquet file under another name.
    """
    for magic, kind in _MAGIC:
        if start.startswith(magic):
            raise DataError(f"the content is {kind}, {_FORMATS}", where=shown, hint=_SAFE_COPY)
    if start.startswith(_PARQUET) and ending != ".parquet":
        raise DataError(f"the content is a Parquet file, not {ending}", where=shown, hint="call it .parquet")
    if ending == ".parquet" and start and not start.startswith(_PARQUET):
        raise DataError("the content is not a Parquet file", where=shown, hint="the name must match the content")


def _check_device(found: os.stat_result, shown: str) -> None:
    if stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode):
        raise _is_no_file("a device", shown)


def _check_kind(found: os.stat_result, shown: str) -> None:
    _check_device(found, shown)
    if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
        raise _is_no_file("a named pipe", shown)


def _is_no_file(kind: str, shown: str) -> DataError:
    message = f"is {kind}, expected a regular file or a folder"
    return DataError(message, where=shown, hint="copy the rows into a file")


def _is_link(shown: str) -> DataError:
    # shown is what the user typed or folder/name, so it resolves as they see it.
    target = os.path.realpath(shown)
    return DataError(
        "is a symbolic link, expected a regular file or a folder",
        where=shown,
        hint=f"name the real one: {target}",
    )


def _cannot_open(cause: OSError, shown: str) -> DataError:
    if cause.errno in (errno.ELOOP, errno.EMLINK):
        return _is_link(shown)
    if cause.errno in (errno.ENXIO, errno.EOPNOTSUPP):
        return _is_no_file("a socket", shown)
    if cause.errno in (errno.ENOENT, errno.ENOTDIR):
        return DataError("no such file", where=shown, hint="check the name")
    if cause.errno in (errno.EACCES, errno.EPERM):
        return DataError("may not be read by this user", where=shown, hint="check its permissions")
    return DataError(f"cannot be opened: {cause.strerror or cause}", where=shown, hint="check the file")
