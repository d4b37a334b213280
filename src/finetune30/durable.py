"""Files that survive: flushed, readable by those who serve them, put into place by one rename.

Used wherever a crash must not leave half a thing under its name: run files, checkpoints, final
models. Standard library only.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def flush(path: Path) -> None:
    """Make a file's bytes, or the names in a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_readable(path: Path) -> None:
    """Give a file the mode the umask allows: save_pretrained writes 0600, but others may serve it."""
    # The only way to read the umask is to set it; what other threads create meanwhile gets the safe one.
    umask = os.umask(0o022)
    os.umask(umask)
    path.chmod(0o666 & ~umask)


def put_in_place(staging: Path, final: Path) -> None:
    """Rename a finished file or flat folder to its name, flushed before and after; what was there goes.

    A folder cannot replace a folder in one step: the old one is moved aside first, so at no
    instant is there a mixture of the two.
    """
    old = final.with_name(f".staging-replaced-{final.name}")
    if staging.is_dir():
        for path in staging.iterdir():
            make_readable(path)
            flush(path)
        if final.exists():
            remove(old)
            os.rename(final, old)  # noqa: PTH104 - renames are the commits here; name them as such
    flush(staging)
    os.rename(staging, final)  # noqa: PTH104 - as above
    flush(final.parent)
    remove(old)


def write_text(path: Path, text: str) -> None:
    """Put a text into a file in one step that survives a power cut."""
    staging = path.with_name(f".staging-{os.getpid()}-{path.name}")
    try:
        staging.write_text(text, encoding="utf-8", newline="\n")
        put_in_place(staging, path)
    finally:
        staging.unlink(missing_ok=True)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a file's lock; others wait. The system gives it back however the process ends."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Delete a file, a link or a folder with all in it; nothing happens where there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
