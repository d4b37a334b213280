"""The files of an experiment: whole or not there, and nothing outside its folder."""

from __future__ import annotations

import json
import math
import os
import resource
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text

from finetune30 import database
from finetune30.config import ExperimentConfig
from finetune30.errors import DiskFull, NotFound, StateError, StorageError
from finetune30.experiments import ExperimentFolder, ExperimentStore, check_results_dir, open_store
from finetune30.experiments.folder import is_run_folder, storage_faults
from finetune30.experiments.garbage import Kind, find_garbage, remove_garbage
from finetune30.settings import Settings

ID = "reviews_20260101_000000"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results"


def a_run(results: Path, id: str = ID) -> ExperimentFolder:
    folder = ExperimentFolder.create(results, id)
    folder.write_text(folder.config_yaml, "seed: 1\n")
    folder.logs_txt.write_text("began\n")
    return folder


def tree(path: Path) -> set[str]:
    return {str(place.relative_to(path)) for place in path.rglob("*")}


def test_a_folder_that_exists_is_refused(results: Path) -> None:
    folder = a_run(results)

    with pytest.raises(StorageError, match="exists already"):
        ExperimentFolder.create(results, ID)
    assert folder.config_yaml.read_text() == "seed: 1\n"


def test_a_later_attempt_goes_on_in_its_folder_and_no_other_run_does(results: Path) -> None:
    ExperimentFolder.claim(results, ID, 1_790_000_000.125, attempt=1)
    mine = ExperimentFolder.claim(results, ID, 1_790_000_000.125, attempt=1)
    assert mine.artifacts.is_dir()

    for attempt in (1, 2):  # the same id in another database, made in the same second
        with pytest.raises(StateError, match="belongs to another run"):
            ExperimentFolder.claim(results, ID, 1_790_000_000.5, attempt)


def test_a_folder_from_before_folders_were_marked_is_its_runs(results: Path) -> None:
    a_run(results)
    with pytest.raises(StateError, match="belongs to another run"):
        ExperimentFolder.claim(results, ID, 1.0, attempt=1)
    assert ExperimentFolder.claim(results, ID, 1.0, attempt=2).config_yaml.is_file()


@pytest.mark.parametrize("id", ["../x", "..", "", "a/b", "/abs", "A", "a\n", "a" * 81, "a\0"])
def test_s63_no_user_string_becomes_a_path(results: Path, id: str) -> None:
    with pytest.raises(NotFound):
        ExperimentFolder(results, id)


def test_a_file_is_replaced_whole_and_a_failed_write_leaves_the_old_one(results: Path) -> None:
    folder = a_run(results)
    folder.write_json(folder.metrics_json, {"loss": 1.0})
    program = (
        "import signal, sys; from pathlib import Path; from finetune30.experiments import ExperimentFolder\n"
        f"folder = ExperimentFolder(Path(sys.argv[1]), {ID!r})\n"
        "folder.write_text(folder.metrics_json, 'x' * 1_000_000)\n"
    )

    def small_files() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # the write fails instead
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    done = subprocess.run(
        [sys.executable, "-c", program, str(results)], capture_output=True, text=True, preexec_fn=small_files
    )

    assert "StorageError" in done.stderr
    assert "File too large" in done.stderr
    assert json.loads(folder.metrics_json.read_text()) == {"loss": 1.0}
    assert tree(folder.path) == {"artifacts", "config.yaml", "logs.txt", "metrics.json"}


def test_json_is_strict(results: Path) -> None:
    folder = a_run(results)

    folder.write_json(folder.metrics_json, {"loss": math.nan, "name": "情感", "steps": (1, 2)})

    text = folder.metrics_json.read_text(encoding="utf-8")
    assert json.loads(text, parse_constant=pytest.fail) == {"loss": None, "name": "情感", "steps": [1, 2]}


def test_progress_is_one_line_of_strict_json_a_step(results: Path) -> None:
    folder = a_run(results)

    for loss in (0.5, math.inf):
        folder.append_json(folder.progress_jsonl, {"loss": loss, "note": "a\nb"})

    lines = folder.progress_jsonl.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["loss"] for line in lines] == [0.5, None]


def test_others_may_read_what_a_run_wrote(results: Path) -> None:
    before = os.umask(0o022)
    try:
        folder = a_run(results)
        folder.write_json(folder.metrics_json, {})
    finally:
        os.umask(before)

    assert [path.stat().st_mode & 0o777 for path in (folder.metrics_json, folder.config_yaml)] == [
        0o644,
        0o644,
    ]
    assert [path.stat().st_mode & 0o777 for path in (folder.path, folder.artifacts)] == [0o755, 0o755]


def test_deleting_says_the_bytes_freed_and_follows_no_link(results: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x" * 1000)
    folder = a_run(results)
    (folder.artifacts / "weights").write_bytes(b"x" * 5000)
    (folder.artifacts / "link").symlink_to(outside)
    size = folder.size_bytes()

    assert 5000 < size < 6000
    assert folder.delete() == size
    assert tree(results) == set()
    assert (outside / "precious").exists()
    assert folder.delete() == 0


def test_deleting_also_removes_the_trash_of_an_interrupted_delete(results: Path) -> None:
    trash = results / f".trash-{ID}"
    trash.mkdir(parents=True)
    (trash / "half").write_bytes(b"x" * 10)

    assert ExperimentFolder(results, ID).delete() == 10
    assert tree(results) == set()


def test_a_folder_is_a_runs_only_with_name_configuration_and_log(results: Path, tmp_path: Path) -> None:
    assert is_run_folder(a_run(results).path)

    photos = a_run(results, "my-photos").path
    no_log = ExperimentFolder.create(results, f"{ID}_2").path
    link = results / f"{ID}_3"
    link.symlink_to(results / ID)
    assert not any(map(is_run_folder, (photos, no_log, link, results / "missing")))


def test_a_full_disk_is_named_as_such(results: Path) -> None:
    with pytest.raises(DiskFull, match="disk is full"), storage_faults(results):
        raise OSError(28, "No space left on device", str(results))


# An unusable results folder ---------------------------------------------------------------------


def test_checking_makes_nothing(results: Path) -> None:
    check_results_dir(results / "deep" / "er", needed_bytes=1)

    assert not results.exists()


def test_a_results_folder_that_is_a_file_is_refused(results: Path) -> None:
    results.write_text("not a folder")

    for path in (results, results / "below"):
        with pytest.raises(StorageError, match="is no folder") as caught:
            check_results_dir(path, needed_bytes=0)
        assert "RESULTS_DIR" in (caught.value.hint or "")
    for create in (True, False):
        with pytest.raises(StorageError):
            open_store(Settings(results_dir=results), create=create)


def test_a_results_folder_that_points_nowhere_is_refused(results: Path) -> None:
    results.symlink_to(results.parent / "gone")

    with pytest.raises(StorageError, match="is no folder"):
        check_results_dir(results, needed_bytes=0)


def test_too_little_space_is_refused_with_both_sizes(results: Path) -> None:
    with pytest.raises(StorageError, match=r"MiB are free, expected at least 1,099,511,627,776 MiB"):
        check_results_dir(results, needed_bytes=2**60)


def test_an_unwritable_results_folder_is_refused(results: Path) -> None:
    results.mkdir()
    if os.geteuid() == 0:
        _refused_on_a_read_only_disk(results)
        return
    results.chmod(0o555)
    for check in (lambda: check_results_dir(results, 0), lambda: open_store(Settings(results_dir=results))):
        with pytest.raises(StorageError, match="not writable"):
            check()


def _refused_on_a_read_only_disk(results: Path) -> None:
    """Root may write anywhere but on a disk mounted read-only."""
    program = (
        "import sys; from pathlib import Path; from finetune30.errors import StorageError\n"
        "from finetune30.experiments import check_results_dir, open_store\n"
        "from finetune30.settings import Settings\n"
        "results = Path(sys.argv[1])\n"
        "opening = lambda: open_store(Settings(results_dir=results))\n"
        "for act in (lambda: check_results_dir(results, 0), opening):\n"
        "    try: act()\n"
        "    except StorageError as error: print(error.message)\n"
    )
    mounted = f"mount -t tmpfs -o ro,size=1m none '{results}' || exit 77; exec \"$@\""
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", mounted, "sh", sys.executable, "-c", program, str(results)],
        capture_output=True,
        text=True,
    )
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip(f"no mount namespace here: {done.stderr.strip()}")
    assert (done.stderr, done.stdout.count("is not writable")) == ("", 2)


@pytest.mark.parametrize(
    "content", [b"this is not a database, not at all" * 100, b"SQLite format 3\0" + b"\xff" * 5000]
)
def test_a_database_file_that_is_none_is_refused(results: Path, content: bytes) -> None:
    results.mkdir()
    (results / "experiments.db").write_bytes(content)

    for create in (True, False):
        with pytest.raises(StorageError) as caught:
            open_store(Settings(results_dir=results), create=create)
        assert caught.value.hint
        assert "experiments.db" in (caught.value.where or "")
    assert (results / "experiments.db").read_bytes() == content


def test_a_database_that_is_a_folder_is_refused(results: Path) -> None:
    (results / "experiments.db").mkdir(parents=True)

    with pytest.raises(StorageError, match="unable to open"):
        open_store(Settings(results_dir=results))


def test_a_database_server_that_does_not_answer_is_refused_without_its_password(results: Path) -> None:
    settings = Settings(results_dir=results, database_url="postgresql://ana:s3cret@127.0.0.1:1/runs")

    with pytest.raises(StorageError) as caught:
        open_store(settings)
    assert "s3cret" not in str(caught.value)
    assert caught.value.hint


def test_a_mere_look_makes_nothing(results: Path) -> None:
    store = open_store(Settings(results_dir=results), create=False)

    assert store.find() == []
    assert not results.exists()


def test_a_commit_survives_a_power_cut_and_writers_wait(results: Path) -> None:
    store = open_store(Settings(results_dir=results))
    with database.read(store._engine) as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }

    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 20_000}


def test_who_reads_and_then_writes_waits_for_its_turn(results: Path) -> None:
    store = open_store(Settings(results_dir=results))
    id = store.create(ExperimentConfig(), owner="ana", tz="UTC").id

    def count(_: int) -> None:
        for _ in range(10):
            with database.write(store._engine) as connection:
                attempt = connection.scalar(text("SELECT attempt FROM experiments"))
                connection.execute(text("UPDATE experiments SET attempt = :next"), {"next": (attempt or 0) + 1})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(count, range(4)))

    assert store.get(id).attempt == 40


def test_a_folder_with_odd_letters_holds_the_database(tmp_path: Path) -> None:
    results = tmp_path / "50% ?of#all 情感"

    open_store(Settings(results_dir=results)).close()

    assert [path.name for path in results.iterdir()] == ["experiments.db"]


# Garbage ----------------------------------------------------------------------------------------


@pytest.fixture
def store(results: Path) -> ExperimentStore:
    return open_store(Settings(results_dir=results))


def create(store: ExperimentStore, results: Path) -> ExperimentFolder:
    return a_run(results, store.create(ExperimentConfig(), owner="ana", tz="UTC").id)


def staging(folder: ExperimentFolder) -> Path:
    place = folder.artifacts / ".staging-checkpoint-5"
    place.mkdir()
    (place / "half").write_bytes(b"x" * 7)
    return place


def test_garbage_is_what_no_experiment_owns(results: Path, store: ExperimentStore) -> None:
    idle, running = create(store, results), create(store, results)
    store.claim(running.id, "w1")
    staging(running)
    orphan, trash = a_run(results).path, results / f".trash-{ID}_9"
    trash.mkdir()

    found = find_garbage(results, store, store_is_here=True)

    assert {(one.path, one.kind) for one in found} == {(orphan, Kind.ORPHAN), (trash, Kind.TRASH)}
    half = staging(idle)
    assert half in {one.path for one in find_garbage(results, store, store_is_here=True)}


def test_what_is_not_surely_ours_is_never_garbage(results: Path, store: ExperimentStore) -> None:
    create(store, results)
    (results / "notes.txt").write_text("mine")
    (results / "photos").mkdir()
    (results / ".trash-bin").mkdir()
    (results / f"{ID}_5").mkdir()  # named like a run, but without its files
    (results / f"{ID}_6").symlink_to(results.parent)

    assert find_garbage(results, store, store_is_here=True) == []


def test_a_foreign_database_makes_no_run_an_orphan(results: Path, store: ExperimentStore, tmp_path: Path) -> None:
    mine = create(store, results)
    foreign = open_store(Settings(results_dir=results, database_url=f"sqlite:///{tmp_path}/other.db"))
    assert find_garbage(results, foreign, store_is_here=False) == []

    shared = a_run(results, foreign.create(ExperimentConfig(experiment_name="x"), owner="ana", tz="UTC").id)
    found = find_garbage(results, foreign, store_is_here=False)
    assert [one.path for one in found] == [mine.path]
    assert shared.path.exists()


def test_removed_garbage_is_gone_and_counted(results: Path, store: ExperimentStore) -> None:
    orphan = a_run(results)
    size = orphan.size_bytes()

    (found,) = find_garbage(results, store, store_is_here=True)

    assert (found.size_bytes, remove_garbage(found)) == (size, size)
    assert not orphan.path.exists()


def test_no_results_folder_holds_no_garbage(tmp_path: Path) -> None:
    store = open_store(Settings(results_dir=tmp_path / "none"), create=False)

    assert find_garbage(tmp_path / "none", store, store_is_here=True) == []
