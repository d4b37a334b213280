"""The files of one experiment: ``results/<id>/``.

Promises: a file is there whole or not at all (temporary name, flushed, renamed), readable by those
who serve it, JSON is strict, and only an id made by ``record`` ever becomes a path.
Neighbours: ``pipeline`` writes, the command line reads and deletes. The row is ``store``'s.

    results/<id>/
        config.yaml  environment.json  quality.json  metrics.json  logs.txt  progress.jsonl
        artifacts/   final_model/  eval_predictions.parquet  checkpoint-*/
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from finetune30.durable import flush
from finetune30.errors import DiskFull, Finetune30Error, NotFound, StateError, StorageError
from finetune30.experiments.record import ID_PATTERN, ID_SHAPE, portable

TRASH = ".trash-"
MARK = ".made"  # in the artifacts: says which row a folder belongs to
_FULL = {errno.ENOSPC, errno.EDQUOT}


@dataclass(frozen=True)
class ExperimentFolder:
    """The folder of one experiment; it need not exist.

    Raises: NotFound if ``id`` is no experiment's id.
    """

    results_dir: Path
    id: str

    def __post_init__(self) -> None:
        if not ID_PATTERN.fullmatch(self.id):  # no user string becomes a path
            raise NotFound(f"{self.id!r} is no experiment's id", hint="see: finetune30 runs list")

    @classmethod
    def create(cls, results_dir: Path, experiment_id: str) -> ExperimentFolder:
        """Make the folder and its ``artifacts``.

        Raises: StorageError if it exists or cannot be made; DiskFull.
        """
        folder = cls(results_dir, experiment_id)
        make_results_dir(results_dir)
        with storage_faults(folder.path):
            folder.path.mkdir()
            folder.artifacts.mkdir()
            flush(results_dir)
        return folder

    @classmethod
    def claim(cls, results_dir: Path, experiment_id: str, made_at: float, attempt: int) -> ExperimentFolder:
        """Make the folder, or go on in the one that an earlier attempt made.

        Args:
            made_at: When the row was made: a folder of the same name that belongs to a row of another
                database, whose checkpoints would be somebody else's, is refused.
            attempt: Of the row; the folder of a run that began before folders were marked is taken by a later one.
        Raises: StateError if it is somebody else's; StorageError if it cannot be made; DiskFull.
        """
        folder, mine = cls(results_dir, experiment_id), f"{made_at!r}\n"
        with storage_faults(folder.path):
            if not folder.path.exists():
                cls.create(results_dir, experiment_id)
                folder.write_text(folder.artifacts / MARK, mine)
                return folder
            folder.artifacts.mkdir(exist_ok=True)
            marked = (folder.artifacts / MARK).read_text("utf-8") if (folder.artifacts / MARK).is_file() else None
        if marked != mine and not (marked is None and attempt > 1):
            raise StateError(
                "exists already and belongs to another run",
                where=str(folder.path),
                hint="move it away, or set RESULTS_DIR: two databases must not share one results folder",
            )
        return folder

    @property
    def path(self) -> Path:
        """The folder itself."""
        return self.results_dir / self.id

    @property
    def config_yaml(self) -> Path:
        """The full configuration: enough to run it again."""
        return self.path / "config.yaml"

    @property
    def environment_json(self) -> Path:
        """Versions, commit, device, seed, hash of the data."""
        return self.path / "environment.json"

    @property
    def metrics_json(self) -> Path:
        """The final figures."""
        return self.path / "metrics.json"

    @property
    def quality_json(self) -> Path:
        """What the checks of the data found, every row named."""
        return self.path / "quality.json"

    @property
    def logs_txt(self) -> Path:
        """What happened, line by line, for people."""
        return self.path / "logs.txt"

    @property
    def progress_jsonl(self) -> Path:
        """One object a logging step, for programs."""
        return self.path / "progress.jsonl"

    @property
    def artifacts(self) -> Path:
        """Checkpoints and what the run leaves behind."""
        return self.path / "artifacts"

    @property
    def final_model(self) -> Path:
        """The adapter, as ``peft`` alone can load it."""
        return self.artifacts / "final_model"

    @property
    def eval_predictions(self) -> Path:
        """Row, label, prediction and probabilities of the validation split."""
        return self.artifacts / "eval_predictions.parquet"

    def write_text(self, path: Path, text: str) -> None:
        """Put ``text`` into ``path``, one of this folder's, in one step that survives a power cut.

        Raises: DiskFull; StorageError.
        """
        with self.writing(path) as file:
            file.write(text)

    @contextmanager
    def writing(self, path: Path) -> Iterator[TextIO]:
        """A file that takes the place of ``path``, one of this folder's, when it is whole.

        Raises: DiskFull; StorageError.
        """
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        with storage_faults(path):
            try:
                with temporary.open("w", encoding="utf-8", newline="\n") as file:  # 0644 under umask 022
                    yield file
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(path)
            except BaseException:  # whatever it is, no half file stays; it goes on its way
                temporary.unlink(missing_ok=True)
                raise
            flush(path.parent)

    def write_json(self, path: Path, value: object) -> None:
        """Like ``write_text``, as strict JSON: NaN and Infinity become null."""
        self.write_text(path, json.dumps(portable(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")

    def append_json(self, path: Path, value: object) -> None:
        """Add ``value`` to ``path`` as one line of strict JSON; not flushed to disk, lines come often.

        Raises: DiskFull; StorageError.
        """
        line = json.dumps(portable(value), ensure_ascii=False, allow_nan=False)
        with storage_faults(path), path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(line + "\n")

    def size_bytes(self) -> int:
        """Bytes of all files in the folder, 0 where there is none."""
        return size_bytes(self.path)

    def delete(self) -> int:
        """Remove the folder with everything in it; nothing happens where there is none.

        It is renamed first: a kill in between leaves trash that ``garbage`` knows to be trash, not a
        run with half its files.

        Returns: Bytes freed.
        Raises: StorageError.
        """
        trash = self.results_dir / f"{TRASH}{self.id}"
        with storage_faults(self.path):
            freed = remove(trash)  # of an earlier delete that was interrupted
            if os.path.lexists(self.path):
                self.path.rename(trash)
                freed += remove(trash)
        return freed


def is_run_folder(path: Path) -> bool:
    """True for a folder that is surely a run's: named like one, with its configuration and log."""
    return (
        bool(ID_SHAPE.fullmatch(path.name))
        and path.is_dir()
        and not path.is_symlink()
        and (path / "config.yaml").is_file()
        and (path / "logs.txt").is_file()
    )


def size_bytes(path: Path) -> int:
    """Bytes of a file, or of all files below a folder; links are not followed, what vanishes is 0."""
    total = path.lstat().st_size if path.is_file() and not path.is_symlink() else 0
    for folder, _, names in os.walk(path):
        for name in names:
            with suppress(FileNotFoundError):
                total += Path(folder, name).lstat().st_size
    return total


def remove(path: Path) -> int:
    """Delete ``path`` and all below it; a link is removed, never followed.

    Returns: Bytes freed, 0 where there was nothing.
    """
    freed = size_bytes(path)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    return freed


def make_results_dir(path: Path) -> None:
    """Make the results folder where it is missing.

    Raises: StorageError if it cannot be made or written into.
    """
    check_results_dir(path, needed_bytes=0)
    with storage_faults(path):
        path.mkdir(parents=True, exist_ok=True)


def check_results_dir(path: Path, needed_bytes: int) -> None:
    """Refuse a results folder that could not take a run. Makes nothing.

    Args:
        path: The folder; where it does not exist its nearest existing parent is judged.
        needed_bytes: Free space the run will need.
    Raises: StorageError if it is no folder, not writable, or has less space left.
    """
    elsewhere = "set RESULTS_DIR to a folder this user can write to"
    with storage_faults(path):
        place = next(place for place in (path, *path.absolute().parents) if os.path.lexists(place))
        if not place.is_dir():
            raise StorageError("is no folder, expected the results folder", where=str(place), hint=elsewhere)
        if not os.access(place, os.W_OK | os.X_OK):
            raise StorageError("is not writable, expected a folder for results", where=str(place), hint=elsewhere)
        free = shutil.disk_usage(place).free
    if free < needed_bytes:
        raise StorageError(
            f"{free / 2**20:,.0f} MiB are free, expected at least {needed_bytes / 2**20:,.0f} MiB",
            where=str(place),
            hint="free some space (finetune30 runs gc, runs delete) or set RESULTS_DIR to another disk",
        )


@contextmanager
def storage_faults(path: Path) -> Iterator[None]:
    """Turns what the operating system refuses into our errors, naming ``path``."""
    try:
        yield
    except OSError as cause:
        raise _explained(cause, path) from cause


def _explained(cause: OSError, path: Path) -> Finetune30Error:
    where = str(cause.filename or path)
    if cause.errno in _FULL:
        return DiskFull("the disk is full", where=where, hint="free some space: finetune30 runs gc")
    if cause.errno == errno.EEXIST:
        return StorageError("exists already, expected a free name", where=where, hint="move it away")
    return StorageError(
        f"cannot be used: {cause.strerror}", where=where, hint="check RESULTS_DIR, its owner and its disk"
    )
