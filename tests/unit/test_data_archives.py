"""An archive is read like a folder, without being unpacked; one that could do harm is refused whole (S69)."""

from __future__ import annotations

import gc
import gzip
import io
import stat
import struct
import tarfile
import time
import tracemalloc
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from tests.data_cases import configured
from tests.packed_cases import ARCHIVE, CSV, TSV, found, tarred, texts, zipped

from finetune30.data.local import read_local
from finetune30.errors import DataError

pytestmark = pytest.mark.timeout(60)


def descriptors() -> int:
    """Files and pipes; connections of other tests' servers come and go."""
    gc.collect()  # those of earlier tests are closed now, and not between two counts
    found = 0
    for one in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found += not str(one.readlink()).startswith(("socket:", "anon_inode:"))
    return found


@pytest.mark.parametrize("ending", ARCHIVE)
@pytest.mark.parametrize("top", ["", "./", "data/", f"{'long' * 30}/é{'x' * 120}/"])
def test_an_archive_is_read_like_a_folder_of_split_files(tmp_path: Path, ending: str, top: str) -> None:
    files = {f"{top}dev.tsv": TSV, f"{top}train.csv": CSV, f"{top}README.md": b"hello"}
    if top.count("/") == 2:  # one folder is looked into, not two
        files = {name.replace("/", "_", 1): content for name, content in files.items()}
    name = f"rows{ending}"

    one = found(tmp_path, name, ARCHIVE[ending](files))

    assert texts(one) == {"train": ["a", "b"], "validation": ["c"]}
    assert one.tables["validation"].where == f"{tmp_path}/{name}/dev.tsv"
    assert one.notes == (f"ignored in {tmp_path}/{name}: README.md; only split files count",)


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_usual_kind_of_tar_is_read(tmp_path: Path, kind: int) -> None:
    files = {f"{'y' * 60}/{'x' * 70}/train.csv"[-120:]: b"x", "train.csv": CSV, "dev.tsv": TSV}

    assert texts(found(tmp_path, "rows.tar", tarred(files, kind))) == {"train": ["a", "b"], "validation": ["c"]}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_every_usual_kind_of_zip_is_read(tmp_path: Path, method: int) -> None:
    assert texts(found(tmp_path, "rows.zip", zipped({"train.csv": CSV}, method))) == {"train": ["a", "b"]}


def test_a_single_data_file_in_an_archive_is_train_and_what_macos_adds_is_nothing(tmp_path: Path) -> None:
    files = {"data/spam.csv": CSV, "__MACOSX/data/spam": b"\0", ".DS_Store": b"\0"}

    assert texts(found(tmp_path, "rows.zip", zipped(files))) == {"train": ["a", "b"]}


def linked(kind: bytes, name: str = "train.csv") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as made:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, "/etc/passwd"
        made.addfile(member)
    return out.getvalue()


def zip_with_mode(mode: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        member = zipfile.ZipInfo("train.csv")
        member.external_attr = mode << 16
        made.writestr(member, "/etc/passwd")
    return out.getvalue()


def zip_twice() -> bytes:
    one = zipped({"train.csv": CSV, "train.cs_": CSV})
    return one.replace(b"train.cs_", b"train.csv")


def with_password() -> bytes:
    made = bytearray(zipped({"train.csv": CSV}, zipfile.ZIP_STORED))
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        made[made.index(mark) + at] |= 1
    return bytes(made)


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("a.zip", zipped({"../train.csv": CSV}), "leads elsewhere"),
        ("a.zip", zipped({"train.csv": CSV, "/etc/cron.d/x": b""}), "leads elsewhere"),
        ("a.zip", zipped({"a\\..\\train.csv": CSV}), "leads elsewhere"),
        ("a.zip", zipped({"C:/train.csv": CSV}), "leads elsewhere"),
        ("a.zip", zip_with_mode(stat.S_IFLNK | 0o777), "'train.csv' in it is a symbolic link"),
        ("a.zip", zip_with_mode(stat.S_IFIFO | 0o777), "'train.csv' in it is no plain file"),
        ("a.zip", zip_with_mode(stat.S_IFCHR | 0o777), "'train.csv' in it is no plain file"),
        ("a.zip", zip_twice(), "is in it twice"),
        ("a.zip", zipped({"train.csv": CSV, "./train.csv": CSV}), "is in it twice"),
        ("a.zip", with_password(), "has a password"),
        ("a.zip", zipped({"train.csv": CSV}, zipfile.ZIP_LZMA), "packed in a way we do not read"),
        ("a.zip", zipped({f"{at}.csv": b"" for at in range(1001)}), "more than 1,000 files"),
        ("a.tar", tarred({"../train.csv": CSV}), "leads elsewhere"),
        ("a.tar", tarred({"/train.csv": CSV}), "leads elsewhere"),
        ("a.tar", tarred({"data/../../train.csv": CSV}), "leads elsewhere"),
        ("a.tar", linked(tarfile.SYMTYPE), "'train.csv' in it is a symbolic link"),
        ("a.tar", linked(tarfile.LNKTYPE), "'train.csv' in it is a hard link"),
        ("a.tar", linked(tarfile.CHRTYPE), "'train.csv' in it is a device"),
        ("a.tar", linked(tarfile.BLKTYPE), "'train.csv' in it is a device"),
        ("a.tar", linked(tarfile.FIFOTYPE), "'train.csv' in it is a named pipe"),
        ("a.tar", linked(b"Z"), "'train.csv' in it is neither a file nor a folder"),
        ("a.tar", tarred({"train.csv": CSV})[:1024] + tarred({"train.csv": CSV}), "is in it twice"),
        ("a.tgz", gzip.compress(tarred({f"{at}.csv": b"" for at in range(1001)})), "more than 1,000 files"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_s69_an_archive_with_a_member_that_does_harm_is_refused_whole(
    tmp_path: Path, name: str, content: bytes, fault: str
) -> None:
    before = descriptors()

    with pytest.raises(DataError, match=fault) as refused:
        found(tmp_path, name, content)

    assert refused.value.where == f"{tmp_path}/{name}"
    assert [entry.name for entry in tmp_path.iterdir()] == [name]
    assert descriptors() == before


def crowded(count: int, told: int, *, zip64: bool) -> bytes:
    """A zip whose directory lists ``count`` empty files and whose end tells of ``told``."""
    local = struct.pack("<4s5H3I2H", b"PK\x03\x04", 20, 0, 0, 0, 0, 0, 0, 0, 1, 0) + b"a"
    entry = struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 20, 20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    directory = entry * count
    if not zip64:
        return local + directory + struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, told, told, len(directory), 31, 0)
    end = struct.pack("<4sQ2H2I4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, told, told, len(directory), 31)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, 31 + len(directory), 1)
    small = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 1, 1, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return local + directory + end + locator + small


@pytest.mark.parametrize(
    "content",
    [crowded(1_000_000, 1, zip64=False), crowded(1_000_000, 1_000_000, zip64=True), crowded(1_000_000, 1, zip64=True)],
    ids=["told as one", "zip64", "zip64 told as one"],
)
def test_s69_a_zip_of_a_million_files_is_refused_before_they_are_listed(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(content)
    began = time.monotonic()
    tracemalloc.start()

    with pytest.raises(DataError, match="more than 1,000 files"):
        read_local(str(path), configured(path))

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20 << 20
    assert time.monotonic() - began < 1


def test_s69_members_of_a_zip_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    one = bytearray(zipped({"train.csv": CSV, "test_.csv": CSV}))
    second = one.index(b"PK\x01\x02", one.index(b"PK\x01\x02") + 1)
    one[second + 42 : second + 46] = bytes(4)

    with pytest.raises(DataError, match="its members overlap"):
        found(tmp_path, "a.zip", bytes(one))


def pax(content: bytes, *, size: int | None = None) -> bytes:
    """A tar file that begins with this extended header."""
    header = tarfile.TarInfo("header")
    header.type, header.size = tarfile.XHDTYPE, len(content) if size is None else size
    return header.tobuf(tarfile.USTAR_FORMAT) + content.ljust(512, b"\0") + tarred({"train.csv": CSV})


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (pax(b"28 GNU.sparse.map=0,1,2,3,4\n"), "a file with holes"),
        (pax(b"11 path=..\n"), "leads elsewhere|cannot be read"),
        (pax(b"9 path=x\n", size=1 << 20), "a header of 1,048,576 bytes"),
        (pax(b"99 path=x\n"), "a header cannot be read"),
        (pax(b"nonsense"), "a header cannot be read"),
        (pax(b"12 size=-512\n"), "is damaged|is in it twice|leads elsewhere"),
        (pax(b"20 size=99999999999\n"), "is cut short|unpacks to more"),
    ],
)
def test_s69_extended_headers_of_a_tar_do_not_lead_astray(tmp_path: Path, content: bytes, fault: str) -> None:
    with pytest.raises(DataError, match=fault):
        found(tmp_path, "a.tar", content)
