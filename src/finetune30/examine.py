"""PROCESS: reads what strangers sent within limits: checks an upload, draws its page, compares versions.

``python -m finetune30.examine``: the request is one line of JSON on standard input, which stays open as long as
the parent lives; the last line of standard output is the answer. A file made to do harm ends this process and
nothing else. Exit code 3: another process is at this upload just now.
Neighbours: ``checking`` starts it; ``data`` reads, checks and keeps. No torch here.
"""

from __future__ import annotations

import fcntl
import json
import os
import resource
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetune30 import durable
from finetune30.errors import DataError, DataTooLarge, Finetune30Error, ModelError

if TYPE_CHECKING:
    from finetune30.config import ExperimentConfig
    from finetune30.data import Found
    from finetune30.data.quality import QualityReport
    from finetune30.data.uploads import Upload, UploadStore

BUSY = 3
_FOUND_ROWS = 20
_LONGEST_TEXT = 1000


def main() -> int:
    """0 when it was examined, whatever was found."""
    request = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _load()
    _limit(request)
    try:
        answer = _WORK[request["work"]](Path(request["data_dir"]), request)
    except _BusyError:
        return BUSY
    except DataTooLarge as fault:
        answer = {"error": fault.to_dict() | {"status": 413}}
    except Finetune30Error as fault:
        answer = {"error": fault.to_dict() | {"status": 422}}
    except MemoryError:
        answer = {"error": out_of_memory(request["memory_bytes"])}
    except OSError as cause:  # its strerror alone: the file's name is nobody's business
        answer = {"error": _failed(f"it could not be checked: {cause.strerror}")}
    # What is half a character in a file is a question mark in an answer.
    os.write(1, json.dumps(answer, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace"))
    return 0


class _BusyError(Exception):
    """Another process is at it."""


def out_of_memory(memory_bytes: int) -> dict[str, Any]:
    """The error of a file that takes too much of it."""
    return _failed(f"checking it takes more than {memory_bytes >> 20} MiB of memory", "send fewer rows at once")


def _failed(message: str, hint: str = "POST /datasets/{id}/check tries again") -> dict[str, Any]:
    return {"code": "check_failed", "message": message, "where": None, "hint": hint, "status": 422}


def _end_with_parent() -> None:
    while os.read(0, 1024):  # not by sys.stdin, whose lock would be held when this process ends
        pass
    os._exit(1)


def _load() -> None:
    """What it needs does not count for the file."""
    import pyarrow.parquet  # noqa: F401

    import finetune30.data.quality
    import finetune30.data.versions
    import finetune30.modeling.lengths  # noqa: F401


def _limit(request: Mapping[str, Any]) -> None:
    limits = {
        resource.RLIMIT_AS: request["memory_bytes"],
        resource.RLIMIT_CPU: request["cpu_s"],
        resource.RLIMIT_FSIZE: request["disk_bytes"],
        resource.RLIMIT_CORE: 0,
    }
    for kind, most in limits.items():
        hard = resource.getrlimit(kind)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (most, most))


@contextmanager
def _held(data_dir: Path, upload_id: str) -> Iterator[tuple[UploadStore, Upload]]:
    """The upload, which no other process examines meanwhile."""
    from finetune30.data.uploads import UploadStore

    store = UploadStore(data_dir)
    upload = store.get(upload_id)
    with (store.folder / upload.id / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _BusyError from None
        yield store, upload


def _check(data_dir: Path, request: Mapping[str, Any]) -> dict[str, Any]:
    from finetune30 import data
    from finetune30.data.versions import VersionStore

    with _held(data_dir, request["id"]) as (store, upload):
        config, versions = _config_of(upload), VersionStore(data_dir)
        store.page(upload).unlink(missing_ok=True)
        store.figures(upload).unlink(missing_ok=True)
        found = data.find(config, versions)
        report = _inspected(found, config)
        _write(report, store.report(upload))
        answer: dict[str, Any] = {"report": _told(report)}
        try:
            splits = data.prepare(found, config)
        except DataError as fault:
            return answer | {"error": fault.to_dict() | {"status": 422}}
        version = versions.freeze(splits, config.model_dump(mode="json")["data"], report.summary())
        return answer | {"version": version.id}


def _page(data_dir: Path, request: Mapping[str, Any]) -> dict[str, Any]:
    from finetune30 import data
    from finetune30.data import analysis
    from finetune30.data.versions import VersionStore
    from finetune30.modeling.lengths import counter_of, lengths_by
    from finetune30.modeling.source import locate

    with _held(data_dir, request["id"]) as (store, upload):
        config = _config_of(upload)
        found = data.find(config, VersionStore(data_dir))
        counter = counter_of(locate(config.model.name, config.model.revision))
        figures = analysis.analyze(found, config, lengths=lengths_by(counter))
        _write_figures(store.figures(upload), figures.to_dict())
        if request["work"] == "page":
            analysis.write_page(store.page(upload), figures, _inspected(found, config))
    return {}


def _repair(data_dir: Path, request: Mapping[str, Any]) -> dict[str, Any]:
    from finetune30 import data
    from finetune30.data.quality.repair import repair
    from finetune30.data.versions import VersionStore

    with _held(data_dir, request["id"]) as (store, upload):
        config = _config_of(upload)
        folder = store.repaired(upload)
        durable.remove(folder)  # of one that was broken off
        folder.mkdir()
        found = data.find(config, VersionStore(data_dir))
        return vars(repair(found, config, folder, f".{upload.format.partition('.')[0]}"))


def _write_figures(path: Path, figures: Mapping[str, Any]) -> None:
    staging = path.with_name(f".staging-{path.name}")
    try:
        staging.write_bytes(json.dumps(figures, ensure_ascii=False).encode("utf-8", "replace"))
        durable.put_in_place(staging, path)
    finally:
        staging.unlink(missing_ok=True)


def _diff(data_dir: Path, request: Mapping[str, Any]) -> dict[str, Any]:
    from finetune30.data.versions import VersionStore, compare

    store, most = VersionStore(data_dir), request["rows"]
    before, after = store.find(request["before"]), store.find(request["after"])
    found = compare(store.intact(before), store.intact(after))
    single: dict[str, list[Any]] = {"added": found.added, "removed": found.removed}
    pairs: dict[str, list[Any]] = {"relabelled": found.relabelled, "moved": found.moved}
    return {
        **{"before": before.id, "after": after.id, "unchanged": found.unchanged},
        "counts": {kind: len(rows) for kind, rows in {**single, **pairs}.items()},
        **{kind: [_row(row) for row in rows[:most]] for kind, rows in single.items()},
        **{kind: [[_row(old), _row(new)] for old, new in rows[:most]] for kind, rows in pairs.items()},
    }


def _row(row: Any) -> dict[str, Any]:
    told = {"place": row.place, "text": row.text, "text_pair": row.pair, "label": row.label}
    return {name: value and value[:_LONGEST_TEXT] for name, value in told.items()}


_WORK: dict[str, Callable[[Path, Mapping[str, Any]], dict[str, Any]]] = {
    "check": _check,
    "page": _page,
    "figures": _page,
    "diff": _diff,
    "repair": _repair,
}


def _config_of(upload: Upload) -> ExperimentConfig:
    """All rows of it, read as its card says; model and rules as a training that says nothing else."""
    from finetune30.config import ExperimentConfig, defaults
    from finetune30.data.naming import UPLOAD_PREFIX
    from finetune30.data.uploads import read_as

    plain = ExperimentConfig().data
    told = {"validation_rules": defaults().data.validation_rules, "max_length": defaults().data.max_length}
    data = plain.model_copy(update={"dataset_name": f"{UPLOAD_PREFIX}{upload.id}", **told})
    return read_as(defaults().model_copy(update={"data": data}), upload)


def _inspected(found: Found, config: ExperimentConfig) -> QualityReport:
    from finetune30.data import quality
    from finetune30.modeling.language import languages_of
    from finetune30.modeling.lengths import counter_of, longer_than
    from finetune30.modeling.source import locate

    try:
        source = locate(config.model.name, config.model.revision)
        longer, spoken = longer_than(counter_of(source), config.data.max_length), languages_of(source)
    except ModelError:  # the machine that receives need not have the model
        longer, spoken = None, None
    return quality.inspect(found, config, longer=longer, spoken=spoken)


def _write(report: QualityReport, path: Path) -> None:
    staging = path.with_name(f".staging-{path.name}")
    try:
        with staging.open("w", encoding="utf-8", errors="replace") as stream:
            report.write_json(stream)
        durable.put_in_place(staging, path)
    finally:
        staging.unlink(missing_ok=True)


def _told(report: QualityReport) -> dict[str, Any]:
    """The report with the first rows of each check: it stands on the card."""
    checks = [
        {
            **{"name": one.name, "status": str(one.status), "count": one.count, "found": one.found, "hint": one.hint},
            "rows": list(report.dataset.names(one.rows[:_FOUND_ROWS])),
        }
        for one in report.checks
    ]
    return report.summary() | {"source": report.source, "notes": list(report.notes)[:50], "checks": checks}


if __name__ == "__main__":
    sys.exit(main())
