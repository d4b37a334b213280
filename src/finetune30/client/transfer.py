"""Files over the wire: sent and fetched in pieces, so that their size does not decide how much memory is needed.

Neighbours: ``datasets`` sends, ``artifacts`` fetches.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

from finetune30.client.asking import Asking
from finetune30.client.wire import Request
from finetune30.errors import UsageError

PIECE = 1 << 20
Told = Callable[[int, int], object]


class Transfers(Asking):
    """Fetches files."""

    def _fetched(self, path: str, to: Path, name: str, *, accept: str = "*/*", overwrite: bool = False) -> Path:
        """The file, once it is whole.

        Raises: UsageError where it is there already or cannot be written; RemoteError.
        """
        target = to / name if to.is_dir() else to
        if os.path.lexists(target) and not overwrite:
            raise UsageError("is there already", where=str(target), hint="choose another name, or overwrite=True")
        staging = target.with_name(f".staging-{secrets.token_hex(8)}")
        try:
            asked = Request("GET", path, headers={"Accept": accept}, safe=True)
            with self._stream(asked) as answer, staging.open("xb") as file:
                for piece in answer.iter_bytes(PIECE):
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            staging.replace(target)
        except OSError as cause:
            raise UsageError(f"cannot be written: {cause.strerror}", where=str(target)) from cause
        finally:
            staging.unlink(missing_ok=True)
        return target


def pieces_of(path: Path, told: Told | None) -> Iterator[bytes]:
    """A file in pieces; ``told`` hears how many bytes of how many have been handed on."""
    sent = 0
    with path.open("rb") as file:
        total = os.fstat(file.fileno()).st_size
        while piece := file.read(PIECE):
            yield piece
            sent += len(piece)
            if told:
                told(sent, total)
