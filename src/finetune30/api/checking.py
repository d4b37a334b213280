"""Uploads are checked, a few at once and owner by owner, each in a process of its own with limits.

What was not checked when the service ended is checked at its next start; whose check ended the service, or was
ended with it, three times is refused. Neighbours: ``examine`` is that process, ``turns`` says whose is next,
``data.uploads`` keeps the cards.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from finetune30.api.turns import Turns
from finetune30.errors import Busy, Finetune30Error, NotFound
from finetune30.settings import Settings, without_secrets

if TYPE_CHECKING:
    from finetune30.data.uploads import Upload, UploadStore

# What that process ends with when another one is at the same upload.
_BUSY = 3
_AT_ONCE = 2
_MOST_BEGUN = 3
_LOOK_S = 60.0
# Pages and differences: somebody waits for them, so long.
_MOST_ASIDES = 8
_ASIDES_OF_A_USER = 2
ASIDE_S = 60.0
_MOST_ANSWER = 16 << 20
_LOG = logging.getLogger("finetune30.api")
# Each thread of a library keeps its own memory, and the limit is on all of it.
_THRIFTY = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"), "1"),
    "TOKENIZERS_PARALLELISM": "false",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "2",
}


@dataclass(frozen=True)
class Allowance:
    """What a check may take.

    Attributes:
        aside_s: What drawing a page or a comparison may take; a client waits for it.
    """

    memory_bytes: int = 4 << 30
    cpu_s: int = 3600
    wall_s: float = 7200.0
    aside_s: float = ASIDE_S - 5
    disk_bytes: int = 32 << 30


class Checks:
    """Checks uploads in the background.

    Attributes:
        allowance: Of checks that begin from now on.
    """

    def __init__(self, settings: Settings) -> None:
        self.allowance = Allowance()
        self._settings = settings
        self._turns = Turns(_AT_ONCE, "check")
        self._asides = Turns(1, "aside")
        self._lock = threading.Lock()
        self._known: dict[str, Future[None]] = {}
        self._running: dict[subprocess.Popen[bytes], object] = {}
        self._waiting: Counter[str] = Counter()  # pages and differences, by user
        self._closing = threading.Event()

    @cached_property
    def uploads(self) -> UploadStore:
        """Where uploads are; numpy comes with it, so not before it is asked for."""
        from finetune30.data.uploads import UploadStore

        return UploadStore(self._settings.data_dir)

    def start(self) -> None:
        """Sweep what killed processes left; check what was never checked, now and from time to time."""
        threading.Thread(target=self._look, name="checks", daemon=True).start()

    def _any(self) -> bool:
        """Whether there may be something to look at; numpy need not be loaded for nothing."""
        return (self._settings.data_dir / "uploads").is_dir()

    def submit(self, upload: Upload) -> Future[None]:
        """Check it when it is its owner's turn; the future is done when that is done, and never raises."""
        with self._lock:
            known = self._known.get(upload.id)
            if known is not None:
                return known
            future = self._turns.submit(upload.owner, lambda: self._check(upload.id))
            self._known[upload.id] = future
            return future

    def stop(self, upload_id: str) -> None:
        """End what is done with one that was deleted."""
        with self._lock:
            for child in [child for child, one in self._running.items() if one == upload_id]:
                child.kill()

    def page(self, upload_id: str, user_id: str) -> Future[Mapping[str, Any]]:
        """Draw the page of its analysis: ``error`` says what went wrong.

        Raises: Busy.
        """
        return self._aside(user_id, {"work": "page", "id": upload_id})

    def figures(self, upload_id: str, user_id: str) -> Future[Mapping[str, Any]]:
        """Write down the figures of its analysis, without the page.

        Raises: Busy.
        """
        return self._aside(user_id, {"work": "figures", "id": upload_id})

    def repair(self, upload_id: str, user_id: str) -> Future[Mapping[str, Any]]:
        """Make a repaired copy, in the folder of the upload.

        Raises: Busy.
        """
        return self._aside(user_id, {"work": "repair", "id": upload_id})

    def diff(self, before: str, after: str, rows: int, user_id: str) -> Future[Mapping[str, Any]]:
        """Compare two versions.

        Raises: Busy.
        """
        return self._aside(user_id, {"work": "diff", "before": before, "after": after, "rows": rows})

    def _aside(self, user_id: str, work: Mapping[str, Any]) -> Future[Mapping[str, Any]]:
        with self._lock:
            if self._waiting.total() >= _MOST_ASIDES or self._waiting[user_id] >= _ASIDES_OF_A_USER:
                raise Busy("much is being drawn and compared")
            self._waiting[user_id] += 1
        until = time.monotonic() + ASIDE_S

        def drawn() -> Mapping[str, Any]:
            # Whoever asked has gone when their time is over: nothing is begun for nobody.
            gone = time.monotonic() > until
            return {"busy": True} if gone else self._asked(work, self.allowance.aside_s)

        try:
            future = self._asides.submit(user_id, drawn)
        except RuntimeError:
            self._done(user_id)
            raise
        future.add_done_callback(lambda _: self._done(user_id))
        return future

    def _done(self, user_id: str) -> None:
        with self._lock:
            self._waiting[user_id] -= 1
            if not self._waiting[user_id]:
                del self._waiting[user_id]

    def close(self) -> None:
        """End what runs; it is checked again at the next start."""
        self._closing.set()
        for turns in (self._turns, self._asides):
            turns.end()
        with self._lock:
            for child in self._running:
                child.kill()
        for turns in (self._turns, self._asides):
            turns.wait()

    def _look(self) -> None:
        while not self._closing.is_set():
            try:
                if self._any():
                    self._resume()
            except (Finetune30Error, ImportError, RuntimeError) as fault:  # RuntimeError: closed meanwhile
                _LOG.warning("uploads are not looked after: %s", type(fault).__name__)
            self._closing.wait(_LOOK_S)

    def _resume(self) -> None:
        self.uploads.sweep()
        for upload in self.uploads.list():
            if upload.state == "checking" and not self._closing.is_set():
                self.submit(upload)

    def _check(self, upload_id: str) -> None:
        try:
            self._checked(upload_id)
        except NotFound:
            pass  # deleted meanwhile
        except Finetune30Error as fault:
            _LOG.error("an upload could not be checked: %s", fault.code)
        finally:
            with self._lock:
                self._known.pop(upload_id, None)

    def _checked(self, upload_id: str) -> None:
        store = self.uploads
        upload = store.get(upload_id)
        if upload.state != "checking":
            return
        if upload.checks >= _MOST_BEGUN:
            store.update(upload.id, state="refused", error=_ended("its check was broken off three times"))
            return
        store.update(upload.id, checks=upload.checks + 1)
        answer = self._asked({"work": "check", "id": upload.id}, self.allowance.wall_s)
        if "busy" in answer:
            with suppress(Finetune30Error):
                store.update(upload.id, checks=upload.checks)
        elif store.get(upload.id).options != upload.options:  # asked for again meanwhile, to be read otherwise
            store.update(upload.id, checks=0)
            self._checked(upload.id)
        else:
            error = answer.get("error")
            state = "ready" if error is None else "refused"
            told = {"report": answer.get("report"), "error": error, "version": answer.get("version")}
            store.update(upload.id, state=state, checks=0, **told)

    def _asked(self, work: Mapping[str, Any], wall_s: float) -> Mapping[str, Any]:
        """What the process answers; ``busy`` where another one is at it, or all ends."""
        allowed = self.allowance
        limits = {"memory_bytes": allowed.memory_bytes, "cpu_s": allowed.cpu_s, "disk_bytes": allowed.disk_bytes}
        request = {"data_dir": str(self._settings.data_dir.absolute()), **work, **limits}
        with tempfile.TemporaryFile() as said:
            child = subprocess.Popen(
                [sys.executable, "-P", "-m", "finetune30.examine"],
                stdin=subprocess.PIPE,
                stdout=said,
                stderr=subprocess.DEVNULL,
                env={**_without_secrets(os.environ), **_THRIFTY},
            )
            with self._lock:
                self._running[child] = work.get("id")
            try:
                if self._closing.is_set():
                    return {"busy": True}
                return self._answered(child, request, said, wall_s)
            finally:
                child.kill()
                with self._lock:
                    del self._running[child]
                with suppress(OSError):
                    child.__exit__(None, None, None)

    def _answered(
        self, child: subprocess.Popen[bytes], request: Mapping[str, Any], said: Any, wall_s: float
    ) -> Mapping[str, Any]:
        assert child.stdin is not None  # noqa: S101 - it is a pipe
        with suppress(BrokenPipeError):
            child.stdin.write(json.dumps(request).encode() + b"\n")
            child.stdin.flush()  # and stays open: it ends with this process
        try:
            code = child.wait(wall_s)
        except subprocess.TimeoutExpired:
            return {"error": _ended("checking it took too long")}
        if code == _BUSY or self._closing.is_set():
            return {"busy": True}
        said.seek(0)
        try:
            found: dict[str, Any] = json.loads(said.read(_MOST_ANSWER).splitlines()[-1])
            return found
        except (IndexError, ValueError):
            _LOG.error("a process that reads uploads ended with %d", code)
            how = "the process that checked it " + ("was ended by the system" if code < 0 else "failed")
            return {"error": _ended(how)}


def _ended(message: str) -> dict[str, Any]:
    hint = "the file may be damaged, or far too large; POST /datasets/{id}/check tries again"
    return {"code": "check_failed", "message": message, "where": None, "hint": hint, "status": 422}


def _without_secrets(env: Mapping[str, str]) -> dict[str, str]:
    """What reads a stranger's file needs no key of ours, nor the hub's."""
    return {name: value for name, value in without_secrets(env).items() if name.upper() != "HF_TOKEN"}
