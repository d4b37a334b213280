"""Versions of data under deletion, damage, kills and company: there whole or not at all, never lost while used."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.version_cases import again, frozen, plain, unused

from finetune30.data.versions import VersionStore, compare
from finetune30.errors import Finetune30Error, NotFound, StateError, StorageError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def store(tmp_path: Path) -> VersionStore:
    return VersionStore(tmp_path / "data")


def in_use(*ids: str):
    return lambda version_id: ["reviews_20260101_000000"] if version_id in ids else []


def leftovers(store: VersionStore) -> list[str]:
    """What is neither a version nor the tags nor the lock."""
    known = {version.id for version in store.list()}
    names = known | {f"{name}.json" for name in known} | {"tags.json", ".lock"}
    return [path.name for room in (store.datasets, store.metadata) for path in room.glob("*") if path.name not in names]


# Deleting ---------------------------------------------------------------------------------------


def test_a_version_that_runs_use_is_not_deleted(store: VersionStore) -> None:
    version = frozen(store, plain())

    with pytest.raises(StateError, match=f"version {version.short} is used by reviews_20260101_000000"):
        store.delete(version.short, in_use(version.id))

    assert again(store, f"version:{version.id}").fingerprint == version.id


def test_a_deleted_version_is_gone_with_its_tags(store: VersionStore) -> None:
    kept, version = frozen(store, plain(word="kept")), frozen(store, plain())
    store.tag(version.id, "gold")
    store.tag(kept.id, "kept")

    assert store.delete("gold", unused) == version

    assert [*store.list()] == [kept]
    assert store.tags() == {"kept": kept.id}
    assert leftovers(store) == []


def test_gc_keeps_used_and_tagged_versions_and_removes_the_others(store: VersionStore) -> None:
    used, tagged, lonely = (frozen(store, plain(word=word)) for word in ("used", "tagged", "lonely"))
    store.tag(tagged.id, "gold")

    assert store.gc(in_use(used.id), dry_run=True) == [lonely]
    assert len(store.list()) == 3
    assert store.gc(in_use(used.id), dry_run=False) == [lonely]

    assert {version.id for version in store.list()} == {used.id, tagged.id}
    assert leftovers(store) == []


def test_gc_sweeps_what_a_killed_process_left(store: VersionStore) -> None:
    kept, torn = frozen(store, plain(word="kept")), frozen(store, plain(word="torn"))
    (store.metadata / f"{torn.id}.json").unlink()
    for name in (f".staging-{torn.id}", f".staging-replaced-{torn.id}"):
        shutil.copytree(store.folder(torn.id), store.datasets / name)
    (store.metadata / ".staging-1-tags.json").write_text("{")
    foreign = store.datasets / "reviews"
    foreign.mkdir()

    store.gc(in_use(kept.id), dry_run=True)
    assert len(leftovers(store)) == 5
    store.gc(in_use(kept.id), dry_run=False)

    assert leftovers(store) == ["reviews"]  # never ours to remove
    assert [*store.list()] == [kept]


def test_gc_does_not_remove_what_a_run_that_has_recorded_its_rows_is_about_to_use(store: VersionStore) -> None:
    """The run records its hash first, then freezes; gc asks for the runs under the lock that freezing takes."""
    version = frozen(store, plain())
    recorded: list[str] = []
    asked, run_is_there = threading.Event(), threading.Event()

    def runs_of(version_id: str) -> Sequence[str]:
        answer = ["run"] if version_id in recorded else []
        asked.set()
        run_is_there.wait(30)  # the run records while gc is in the middle
        return answer

    swept = threading.Thread(target=store.gc, args=(runs_of,), kwargs={"dry_run": False})
    swept.start()
    asked.wait(30)
    recorded.append(version.id)
    freezing = threading.Thread(target=frozen, args=(store, plain()))
    freezing.start()
    run_is_there.set()
    swept.join(30)
    freezing.join(30)

    assert again(store, f"version:{version.id}").fingerprint == version.id
    store.gc(in_use(*recorded), dry_run=False)
    assert [one.id for one in store.list()] == [version.id]


# Damage -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "damage", ["", "{", "null", "[]", "{}", "[" * 100_000, "\0", b"\xff\xfe", "another id", "splits", "moment"]
)
def test_a_damaged_card_is_one_clear_error(store: VersionStore, damage: str | bytes) -> None:
    version = frozen(store, plain())
    path = store.metadata / f"{version.id}.json"
    card = json.loads(path.read_text())
    if damage == "another id":
        damage = json.dumps(card | {"id": "0" * 64})
    elif damage == "splits":
        damage = json.dumps(card | {"splits": {"train": 3}})
    elif damage == "moment":
        damage = json.dumps(card | {"created_at": None})
    path.write_bytes(damage if isinstance(damage, bytes) else damage.encode())

    for ask in (lambda: store.find(version.id), store.list, lambda: frozen(store, plain())):
        with pytest.raises(StorageError, match="card of a version cannot be read") as broken:
            ask()
        assert broken.value.where == str(path)


@pytest.mark.parametrize("damage", ["", "{", "null", "[]", "3", "[" * 100_000, b"\xff"])
def test_damaged_tags_are_one_clear_error(store: VersionStore, damage: str | bytes) -> None:
    version = frozen(store, plain())
    (store.metadata / "tags.json").write_bytes(damage if isinstance(damage, bytes) else damage.encode())

    for ask in (lambda: store.find("gold"), lambda: store.tag(version.id, "gold"), lambda: store.untag("gold")):
        with pytest.raises(StorageError, match="tags cannot be read"):
            ask()
    with pytest.raises(StorageError):  # who cannot know what is tagged removes nothing
        store.gc(unused, dry_run=False)
    assert store.folder(version.id).is_dir()


def test_damaged_rows_are_one_clear_error(store: VersionStore) -> None:
    version, other = frozen(store, plain(2_000)), frozen(store, plain(2_000, word="other"))
    path = store.folder(version.id) / "train.parquet"
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[pq.read_metadata(path).row_group(0).column(1).data_page_offset + 99] ^= 0xFF  # in the texts

    for damaged in (b"", whole[:-9], bytes(flipped), b"PAR1" + b"\0" * 99):
        path.write_bytes(damaged)
        with pytest.raises(Finetune30Error, match=r"train\.parquet"):
            again(store, f"version:{version.id}")
        with pytest.raises(StorageError, match=r"train\.parquet: the rows of a version cannot be read"):
            compare(store.folder(version.id), store.folder(other.id))


def test_rows_changed_behind_our_back_are_noticed_and_stored_again_by_the_next_run(store: VersionStore) -> None:
    version = frozen(store, plain(40))
    path = store.folder(version.id) / "train.parquet"
    table = pq.read_table(path)
    pq.write_table(table.slice(1), path)  # a whole file, with a row less

    with pytest.raises(StorageError, match="not those that were stored"):
        again(store, f"version:{version.id}")
    mended = frozen(store, plain(40))

    assert (mended.id, mended.created_at) == (version.id, version.created_at)
    assert again(store, f"version:{version.id}").fingerprint == version.id


def test_a_version_whose_rows_are_gone_is_not_found_and_can_be_stored_again(store: VersionStore) -> None:
    version = frozen(store, plain())
    shutil.rmtree(store.folder(version.id))

    assert [*store.list()] == []
    with pytest.raises(NotFound):
        store.find(version.id)
    frozen(store, plain())
    assert again(store, f"version:{version.id}").fingerprint == version.id


def test_a_data_folder_that_is_a_file_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("taken")
    store = VersionStore(tmp_path / "data")

    with pytest.raises(StorageError, match="DATA_DIR"):
        frozen(store, plain())
    with pytest.raises(StorageError, match="DATA_DIR"):
        store.list()


# Kills and company ------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from pathlib import Path
from pyarrow import parquet
from finetune30.data.versions import VersionStore
from tests.version_cases import frozen, plain

def fail_at(step):
    passed = 0
    def counted(call):
        def counting(*given, **named):
            nonlocal passed
            passed += 1
            if passed == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*given, **named)
        return counting
    for name in ("mkdir", "rename", "fsync", "unlink", "rmdir", "chmod", "close"):
        setattr(os, name, counted(getattr(os, name)))
    parquet.ParquetWriter.write_batch = counted(parquet.ParquetWriter.write_batch)

step, ended = 0, -1
while ended:
    step += 1
    store = VersionStore(Path(sys.argv[1]) / str(step))
    if sys.argv[2] == "rows without a card":
        (store.metadata / f"{frozen(store, plain()).id}.json").unlink()
    child = os.fork()
    if not child:
        fail_at(step)
        frozen(store, plain())
        os._exit(0)
    ended = os.waitpid(child, 0)[1]
"""


@pytest.mark.parametrize("before", ["nothing", "rows without a card"])
def test_a_freeze_killed_at_any_step_leaves_no_version_or_a_whole_one(tmp_path: Path, before: str) -> None:
    """SIGKILL before each call that changes the disk, until the process ends by itself."""
    ran = subprocess.run([sys.executable, "-W", "ignore", "-c", KILLED, str(tmp_path), before], cwd=ROOT, timeout=120)

    assert ran.returncode == 0
    outcomes = []
    for step in range(1, len([*tmp_path.iterdir()]) + 1):
        store = VersionStore(tmp_path / str(step))
        found = [*store.list()]
        outcomes.append(len(found))
        for version in found:
            assert pq.read_table(store.folder(version.id) / "train.parquet")["text"].to_pylist() == plain().train.texts
            store.tag(version.id, "whole")  # the lock is free, the tags can be written
        version = frozen(store, plain())
        assert compare(store.folder(version.id), store.folder(version.id)).unchanged == len(plain().train) + 2
        store.gc(in_use(version.id), dry_run=False)
        assert leftovers(store) == []
    assert outcomes == sorted(outcomes)
    assert set(outcomes) == {0, 1}
    assert len(outcomes) > 15


FREEZE = """
import sys
from pathlib import Path
from finetune30.data.versions import VersionStore
from tests.version_cases import frozen, plain
store = VersionStore(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
for word in sys.argv[2:]:
    print(frozen(store, plain(word=word)).id, flush=True)
"""


def process(store: VersionStore, *words: str) -> subprocess.Popen[str]:
    """A process that freezes once a line is written to it."""
    program = [sys.executable, "-c", FREEZE, str(store.datasets.parent), *words]
    return subprocess.Popen(program, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_processes_that_freeze_at_once_all_succeed(store: VersionStore) -> None:
    words = ["same", "same", "other"]
    running = [process(store, *(f"{word} {at}" for at in range(5))) for word in words]
    for one in running:
        assert one.stdout
        one.stdout.readline()
    for one in running:
        assert one.stdin
        one.stdin.write("go\n")
        one.stdin.flush()

    ended = [one.communicate(timeout=60) for one in running]

    assert [one.returncode for one in running] == [0, 0, 0], ended
    assert ended[0][0] == ended[1][0]
    ids = {id_of for out, _ in ended for id_of in out.split()}
    assert {version.id for version in store.list()} == ids
    assert len(ids) == 10
    assert leftovers(store) == []
