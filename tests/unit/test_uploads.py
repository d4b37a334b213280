"""The store of uploads: whole or not at all, counted exactly, found again by whoever trains on them (S67, S79)."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tests.data_cases import configured

from finetune30.data import find
from finetune30.data.uploads import Upload, UploadStore
from finetune30.data.versions import VersionStore
from finetune30.errors import (
    DiskFull,
    Finetune30Error,
    NotFound,
    StateError,
    StorageError,
    TooLarge,
    UploadCount,
    UploadSpace,
)

CSV = b"text,label\n" + b"".join(b"a film of number %d,%d\n" % (row, row % 2) for row in range(20))
MIB = 1 << 20
FREE = {"limit_bytes": 0, "quota_bytes": 0, "quota_files": 0}


@pytest.fixture
def store(tmp_path: Path) -> UploadStore:
    return UploadStore(tmp_path)


def sent(store: UploadStore, content: bytes = CSV, *, owner: str = "ana", files: int = 0, most: int = 0) -> Upload:
    with store.receive(
        owner, "train.csv", "csv", purpose="dataset", limit_bytes=0, quota_bytes=most, quota_files=files
    ) as arriving:
        arriving.write(content)
        return arriving.finish()


def left(store: UploadStore) -> list[str]:
    """What lies in the folder, but for its lock."""
    return sorted(path.name for path in store.folder.iterdir() if path.name != ".lock")


def test_what_was_finished_is_there_with_its_sum(store: UploadStore) -> None:
    upload = sent(store)

    assert store.list() == [upload] == store.list("ana")
    assert store.list("bo") == []
    assert store.file(upload).read_bytes() == CSV
    assert (upload.bytes, upload.sha256, upload.state) == (len(CSV), hashlib.sha256(CSV).hexdigest(), "checking")
    assert left(store) == [upload.id]
    assert sorted(path.name for path in (store.folder / upload.id).iterdir()) == ["card.json", "data.csv"]


def test_what_was_not_finished_leaves_nothing(store: UploadStore) -> None:
    with store.receive("ana", "a", "csv", purpose="dataset", **FREE) as arriving:
        arriving.write(CSV)

    assert left(store) == []


def test_s79_a_file_over_its_limit_is_refused_with_its_first_byte_too_many(store: UploadStore) -> None:
    with store.receive("ana", "a", "csv", purpose="dataset", **FREE | {"limit_bytes": 100}) as arriving:
        arriving.write(b"x" * 100)
        with pytest.raises(TooLarge):
            arriving.write(b"x")

    assert left(store) == []


def test_s79_what_the_sender_says_is_refused_before_a_byte(store: UploadStore) -> None:
    limits = {"limit_bytes": 0, "quota_bytes": 100, "quota_files": 0}
    with pytest.raises(UploadSpace), store.receive("ana", "a", "csv", purpose="d", expected_bytes=101, **limits):
        pytest.fail("nothing is to be sent")

    assert left(store) == []


def test_s79_the_number_of_files_counts_those_on_their_way(store: UploadStore) -> None:
    limits = {"limit_bytes": 0, "quota_bytes": 0, "quota_files": 2}
    sent(store, files=2)
    with store.receive("ana", "a", "csv", purpose="dataset", **limits):
        with pytest.raises(UploadCount):
            sent(store, files=2)
        sent(store, owner="bo", files=2)

    sent(store, files=2)


def test_s79_many_at_once_at_the_edge_of_the_quota_never_overshoot(store: UploadStore) -> None:
    quota, one = 10 * MIB, 3 * MIB
    outcomes: list[str] = []

    def send(number: int) -> None:
        try:
            with store.receive(
                "ana", "a", "csv", purpose="dataset", limit_bytes=0, quota_bytes=quota, quota_files=0,
                expected_bytes=one if number % 2 else 0,
            ) as arriving:  # fmt: skip
                for _ in range(one // (1 << 18)):
                    arriving.write(b"x" * (1 << 18))
                arriving.finish()
            outcomes.append("kept")
        except UploadSpace:
            outcomes.append("refused")

    threads = [threading.Thread(target=send, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(outcomes) == 8
    assert sum(upload.bytes for upload in store.list("ana")) == one * outcomes.count("kept") <= quota
    assert outcomes.count("kept") >= 1
    assert len(left(store)) == outcomes.count("kept")


RECEIVES = """
import sys, time
from pathlib import Path
from finetune30.data.uploads import UploadStore
store = UploadStore(Path(sys.argv[1]))
with store.receive("ana", "a", "csv", purpose="dataset", limit_bytes=0, quota_bytes=0, quota_files=0) as arriving:
    arriving.write(b"x" * 100)
    print("receiving", flush=True)
    time.sleep(60)
"""


def test_what_a_killed_process_was_receiving_is_swept_and_what_a_living_one_receives_is_not(store: UploadStore) -> None:
    receiver = subprocess.Popen([sys.executable, "-c", RECEIVES, str(store.folder.parent)], stdout=subprocess.PIPE)
    with receiver:
        assert receiver.stdout is not None
        receiver.stdout.readline()
        alive = store.sweep()
        there = left(store)
        receiver.send_signal(signal.SIGKILL)
        receiver.wait()

    assert alive == []
    assert len(there) == 1
    assert store.sweep() == there
    assert left(store) == []


FILLS = """
import resource, sys
from pathlib import Path
from finetune30.data.uploads import UploadStore
from finetune30.errors import DiskFull
store = UploadStore(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
try:
    with store.receive("ana", "a", "csv", purpose="dataset", limit_bytes=0, quota_bytes=0, quota_files=0) as arriving:
        for _ in range(20):
            arriving.write(b"x" * 100_000)
        arriving.finish()
except DiskFull:
    print("full")
"""


def test_a_disk_that_fills_up_leaves_nothing(store: UploadStore) -> None:
    done = subprocess.run([sys.executable, "-c", FILLS, str(store.folder.parent)], capture_output=True, text=True)

    assert done.stdout == "full\n", done.stderr
    assert left(store) == []


def test_a_disk_that_is_nearly_full_is_not_filled(store: UploadStore) -> None:
    limits = {"limit_bytes": 0, "quota_bytes": 0, "quota_files": 0}

    with pytest.raises(DiskFull), store.receive("ana", "a", "csv", purpose="d", expected_bytes=1 << 60, **limits):
        pytest.fail("there is no such disk")


def test_what_a_task_needs_is_not_deleted(store: UploadStore) -> None:
    upload = sent(store)

    with pytest.raises(StateError, match="first_20260101"):
        store.delete(upload.id, lambda _: ["first_20260101_000000"])
    assert store.list() == [upload]

    store.delete(upload.id, lambda _: ())
    assert (store.list(), left(store)) == ([], [])


def test_a_deletion_that_is_taken_back_took_nothing(store: UploadStore) -> None:
    upload = sent(store)

    def fails() -> None:
        with store.deleting(upload.id, lambda _: ()):
            assert store.list() == []
            assert store.sweep() == []
            raise KeyError

    with pytest.raises(KeyError):
        fails()

    assert store.list() == [upload]
    assert sorted(path.name for path in (store.folder / upload.id).iterdir()) == ["card.json", "data.csv"]


@pytest.mark.parametrize("reference", ["../../etc", "ds-0", "ds-0000000000000000", "", "/etc/passwd", "x" * 300])
def test_s63_what_is_no_id_is_never_a_path(store: UploadStore, tmp_path: Path, reference: str) -> None:
    assert store.find(reference) is None
    with pytest.raises(NotFound):
        find(configured(f"upload:{reference}"), VersionStore(tmp_path))


def test_upload_is_read_as_its_card_says_unless_the_configuration_says_otherwise(
    store: UploadStore, tmp_path: Path
) -> None:
    content = b"one,two,kind\n" + b"".join(b"left %d,right %d,%d\n" % (row, row, row % 2) for row in range(20))
    upload = sent(store, content)
    store.update(upload.id, options={"text_column": "one", "label_column": "kind"})
    named = f"upload:{upload.id}"

    as_card = find(configured(named), VersionStore(tmp_path))
    otherwise = find(configured(named, text_column="two"), VersionStore(tmp_path))

    assert as_card.tables["train"].texts[0] == "left 0"
    assert otherwise.tables["train"].texts[0] == "right 0"
    assert as_card.source == named


def test_errors_about_an_upload_name_its_id_and_no_path(store: UploadStore, tmp_path: Path) -> None:
    upload = sent(store, b'text,label\nfine,1\n"never closed,0\n')

    with pytest.raises(Finetune30Error) as caught:
        find(configured(f"upload:{upload.id}"), VersionStore(tmp_path))

    assert f"upload:{upload.id}" in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


def test_s67_a_link_in_the_place_of_an_upload_is_not_followed(store: UploadStore, tmp_path: Path) -> None:
    upload = sent(store)
    (tmp_path / "secret.csv").write_bytes(CSV)
    store.file(upload).unlink()
    store.file(upload).symlink_to(tmp_path / "secret.csv")

    with pytest.raises(Finetune30Error, match="link"):
        find(configured(f"upload:{upload.id}"), VersionStore(tmp_path))


@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_s68_what_is_no_file_in_the_place_of_an_upload_is_refused_at_once(
    store: UploadStore, tmp_path: Path, kind: str
) -> None:
    upload = sent(store)
    store.file(upload).unlink()
    os.mkfifo(store.file(upload)) if kind == "pipe" else store.file(upload).mkdir()

    with pytest.raises(Finetune30Error):  # a pipe that is waited for never ends
        find(configured(f"upload:{upload.id}"), VersionStore(tmp_path))


def test_one_damaged_card_hides_no_other(store: UploadStore) -> None:
    kept, damaged = sent(store), sent(store)
    (store.folder / damaged.id / "card.json").write_text("{")

    assert UploadStore(store.folder.parent).list() == store.list() == [kept]
    with pytest.raises(StorageError, match="card"):
        store.find(damaged.id)


def test_a_change_by_another_process_is_seen(store: UploadStore) -> None:
    upload = sent(store)
    assert store.find(upload.id) == upload

    changed = UploadStore(store.folder.parent).update(upload.id, state="ready")

    assert store.find(upload.id) == changed
    assert store.list() == [changed]
