"""The log of the service: one JSON object a line, whatever a client sends.

Neighbours: ``limits`` has a line written for each request; the query of a request is never in it.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

_NAMES = ("finetune30", "uvicorn", "uvicorn.error")
_FIELDS = ("request_id", "method", "path", "route", "status", "took_ms", "address", "user_id")
_ENCODE = json.JSONEncoder(ensure_ascii=True).encode


class JsonLines(logging.Formatter):
    """A record as one line; what is in it is escaped as JSON strings are."""

    _second = (-1, "")

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        given = record.__dict__
        told: dict[str, object] = {
            "at": self._at(record.created),
            "level": record.levelname,
            "message": record.getMessage(),
        }
        told |= {name: given[name] for name in _FIELDS if given.get(name) is not None}
        if record.exc_info and record.exc_info[0] is not None:
            # Its type and where it was, not its words: drivers put statements with their values there.
            told["fault"] = record.exc_info[0].__name__
            told["trace"] = _places(record)
        return _ENCODE(told)

    def _at(self, created: float) -> str:
        """The time, of which all but the milliseconds is written once a second."""
        second = int(created)
        known, written = self._second  # at once: two threads may write
        if known != second:
            written = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
            self._second = second, written
        return f"{written}.{int(1000 * (created - second)):03d}+00:00"


def keep(stream: TextIO | None = None) -> None:
    """Write what the service and its server say to ``stream``, standard error if left out."""
    # Nobody reads these in a line, and they cost more than the rest of it (see "Optimization" in logging's manual).
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines())
    for name in _NAMES:
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler] if "." not in name else []
        logger.setLevel(logging.INFO)
        logger.propagate = "." in name


def _places(record: logging.LogRecord) -> list[str]:
    trace = record.exc_info[2] if record.exc_info else None
    found = []
    while trace is not None:
        code = trace.tb_frame.f_code
        found.append(f"{code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno} {code.co_qualname}")
        trace = trace.tb_next
    return found[-12:]
