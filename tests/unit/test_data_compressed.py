"""Compressed files are read as streams; bombs, nesting and damage end them while they are read (S70)."""

from __future__ import annotations

import gzip
import lzma
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.data_cases import configured
from tests.packed_cases import CSV, JSONL, PACK, TSV, found, tarred, texts, zipped, zstd

from finetune30.data.local import read_local
from finetune30.errors import DataError

pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize("kind", PACK)
@pytest.mark.parametrize(("ending", "content"), [(".csv", CSV), (".tsv", TSV), (".jsonl", JSONL)])
def test_a_compressed_text_file_is_read_like_the_file_itself(
    tmp_path: Path, kind: str, ending: str, content: bytes
) -> None:
    plain = found(tmp_path, f"rows{ending}", content)

    packed = found(tmp_path, f"rows{ending}{kind}", PACK[kind](content))

    assert texts(packed) == texts(plain)
    assert packed.tables["train"].labels == [*plain.tables["train"].labels]


@pytest.mark.parametrize("kind", PACK)
def test_several_streams_in_one_file_are_one_text_and_large_ones_are_whole(tmp_path: Path, kind: str) -> None:
    content = CSV + b"".join(b"text %d,%d\n" % (at, at % 7) for at in range(200_000))
    half = len(content) // 2
    packed = PACK[kind](content[:half]) + PACK[kind](content[half:])

    table = found(tmp_path, f"rows.csv{kind}", packed).tables["train"]

    assert (len(table.texts), table.texts[-1], table.place(200_001)) == (
        200_002,
        "text 199999",
        "line 200003 (row 200001)",
    )


def test_a_compressed_latin1_file_is_found_to_be_latin1(tmp_path: Path) -> None:
    table = found(tmp_path, "rows.csv.gz", gzip.compress("text,label\ncafé,1\n".encode("latin-1"))).tables["train"]

    assert table.texts == ["café"]
    assert any("Latin-1" in note for note in table.notes)


def test_compressed_files_of_a_folder_are_split_files(tmp_path: Path) -> None:
    (tmp_path / "train.csv.gz").write_bytes(gzip.compress(CSV))
    (tmp_path / "dev.tsv.zst").write_bytes(zstd(TSV))

    assert texts(read_local(str(tmp_path), configured(tmp_path))) == {"train": ["a", "b"], "validation": ["c"]}


SAME = b"text,label\n" + (b"a" * 999 + b",1\n") * 20_000


@pytest.mark.parametrize(
    ("name", "content"),
    [
        *((f"a.csv{kind}", pack(SAME)) for kind, pack in PACK.items()),
        ("a.zip", zipped({"train.csv": SAME})),
        ("a.zip", zipped({"train.csv": SAME}, zipfile.ZIP_BZIP2)),
        ("a.tar.gz", gzip.compress(tarred({"train.csv": SAME}))),
        ("a.tar.xz", lzma.compress(tarred({"notes.txt": SAME, "train.csv": CSV}))),
    ],
)
def test_s70_a_bomb_is_refused_while_it_is_read(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    tracemalloc.start()

    with pytest.raises(DataError, match="it unpacks to more than 100 times its size"):
        read_local(str(path), configured(path))

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 << 20


def test_s70_more_than_the_quota_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetune30.data.reading.unpacking.MOST_BYTES", 1000)

    for name, content in (("a.csv.gz", gzip.compress(CSV * 100)), ("a.zip", zipped({"train.csv": CSV * 100}))):
        with pytest.raises(DataError, match="it unpacks to more than 0 GiB"):
            found(tmp_path, name, content)


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        (
            "a.zip",
            zipped({"train.csv": CSV, "inner.zip": zipped({"train.csv": CSV})}),
            "'inner.zip' in it is packed once",
        ),
        ("a.zip", zipped({"train.csv.gz": gzip.compress(CSV)}), "is packed once more"),
        ("a.zip", zipped({"train.csv": zipped({"train.csv": CSV})}), "the content is a zip archive"),
        ("a.tar", tarred({"train.csv": gzip.compress(CSV)}), "the content is compressed with gzip"),
        ("a.tgz", gzip.compress(gzip.compress(tarred({"train.csv": CSV}))), "tar file is damaged"),
        ("a.csv.gz", gzip.compress(gzip.compress(CSV)), "the content is compressed with gzip"),
        ("a.csv.gz.gz", gzip.compress(gzip.compress(CSV)), r"holds a \.gz file"),
        ("a.zip.gz", gzip.compress(zipped({"train.csv": CSV})), r"holds a \.zip file"),
        ("a.parquet.gz", gzip.compress(b"PAR1"), r"holds a \.parquet file"),
        ("a.pkl.gz", gzip.compress(b"x"), r"\.pkl files are not read"),
        ("a.gz", gzip.compress(CSV), "holds what its name does not tell"),
        ("a.zip", zipped({"train.parquet": b"PAR1"}), "a Parquet file in an archive is not read"),
        ("a.zip", zipped({"train.pkl": b"x"}), r"\.pkl files are not read"),
        ("a.zip", zipped({"one.csv": CSV, "two.csv": CSV}), "there is no train split"),
        ("a.zip", zipped({}), "there is no train split"),
        ("a.csv.gz", CSV, "the content is not .gz"),
        ("a.csv.zst", gzip.compress(CSV), "the content is not .zst"),
        ("a.zip", CSV, "the content is not .zip"),
        ("a.tgz", tarred({"train.csv": CSV}), "the content is not .gz"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_s70_archives_within_archives_and_wrong_names_are_refused(
    tmp_path: Path, name: str, content: bytes, fault: str
) -> None:
    with pytest.raises(DataError, match=fault):
        found(tmp_path, name, content)


@pytest.mark.parametrize("kind", PACK)
@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (lambda whole: whole[:-5], "is damaged"),
        (lambda whole: whole[: len(whole) // 2], "is damaged"),
        (lambda whole: whole[:12], "is damaged"),
        (lambda whole: whole + b"and more", "is damaged"),
    ],
    ids=["end missing", "half", "start only", "something follows"],
)
def test_s70_a_damaged_stream_is_an_error_and_never_half_a_data_set(
    tmp_path: Path, kind: str, damage: Callable[[bytes], bytes], fault: str
) -> None:
    content = b"text,label\n" + b"".join(b"text %d,%d\n" % (at * 7919 % 1009, at % 7) for at in range(500))

    with pytest.raises(DataError, match=fault):
        found(tmp_path, f"rows.csv{kind}", damage(PACK[kind](content)))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.zip", zipped({"train.csv": CSV})[:-5]),
        ("a.zip", zipped({"train.csv": CSV}) + b"and more"),
        ("a.zip", zipped({"train.csv": CSV}, zipfile.ZIP_STORED).replace(b"a,1", b"a,2")),
        ("a.tar", tarred({"train.csv": CSV})[:700]),
        ("a.tar", tarred({"train.csv": CSV})[:1024]),
        ("a.tar", tarred({"train.csv": CSV}) + b"and more"),
        ("a.tar", tarred({"train.csv": CSV}).replace(b"train.csv", b"train.tsv", 1)),
        ("a.tgz", gzip.compress(tarred({"train.csv": CSV}))[:-9]),
    ],
)
def test_s70_a_damaged_archive_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    with pytest.raises(DataError, match=r"file is damaged|file is cut short"):
        found(tmp_path, name, content)


@pytest.mark.parametrize("kind", [".gz", ".bz2", ".xz"])  # our zstd frames carry no checksum
def test_s70_a_changed_byte_in_a_stream_is_found(tmp_path: Path, kind: str) -> None:
    whole = bytearray(
        PACK[kind](b"text,label\n" + b"".join(b"text %d,%d\n" % (at * 7919, at % 7) for at in range(500)))
    )
    whole[len(whole) // 2] ^= 0xFF

    with pytest.raises(DataError, match="is damaged"):
        found(tmp_path, f"rows.csv{kind}", bytes(whole))
