"""Opening data files: links, pipes, devices and pickles are refused, at once and by name."""

from __future__ import annotations

import io
import os
import pickle
import socket
import tempfile
import zipfile
from pathlib import Path

import pytest
from tests.data_cases import balanced, configured, read, write_tsv

from finetune30.data import load
from finetune30.data.reading.opening import open_entry
from finetune30.errors import DataError

# A reader that waits for a writer would hang for good: the clock ends it.
pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def real(tmp_path: Path) -> Path:
    return write_tsv(tmp_path / "real.tsv", balanced(20))


def test_s67_a_symbolic_link_to_a_file_is_refused_and_the_hint_names_the_real_one(real: Path) -> None:
    link = real.with_name("link.tsv")
    link.symlink_to(real)

    with pytest.raises(DataError, match="is a symbolic link") as refused:
        load(configured(link))

    assert str(real) in str(refused.value.hint)
    assert len(load(configured(real)).train) == 18


def test_s67_a_symbolic_link_to_a_folder_is_refused_even_with_a_slash_behind(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    write_tsv(folder / "train.tsv", balanced(20))
    (tmp_path / "link").symlink_to(folder)

    for name in ("link", "link/"):
        with pytest.raises(DataError, match="is a symbolic link"):
            load(configured(f"{tmp_path}/{name}"))


def test_s67_a_link_to_nowhere_is_called_a_link(tmp_path: Path) -> None:
    (tmp_path / "link.csv").symlink_to(tmp_path / "gone.csv")

    with pytest.raises(DataError, match="is a symbolic link"):
        load(configured(tmp_path / "link.csv"))


def test_s67_a_split_file_that_is_a_link_is_refused(real: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "train.tsv").symlink_to(real)

    with pytest.raises(DataError, match="is a symbolic link") as refused:
        load(configured(folder))

    assert refused.value.where == f"{folder}/train.tsv"


def test_s67_a_parent_folder_may_be_a_link(real: Path, tmp_path: Path) -> None:
    (tmp_path / "shortcut").symlink_to(real.parent)

    assert len(load(configured(tmp_path / "shortcut" / "real.tsv")).train) == 18


def test_s67_a_folder_swapped_while_it_is_read_does_not_lead_elsewhere(tmp_path: Path) -> None:
    for name, text in (("folder", "asked for"), ("other", "smuggled in")):
        (tmp_path / name).mkdir()
        write_tsv(tmp_path / name / "train.tsv", [(text, "x")])
    folder = open_entry(tmp_path / "folder", shown="folder")
    (tmp_path / "folder").rename(tmp_path / "moved")
    (tmp_path / "other").rename(tmp_path / "folder")

    file = open_entry(Path("train.tsv"), shown="folder/train.tsv", within=folder)
    content = os.read(file, 1000)
    os.close(file)
    os.close(folder)

    assert b"asked for" in content


def test_s68_a_named_pipe_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")

    with pytest.raises(DataError, match="is a named pipe, expected a regular file"):
        load(configured(tmp_path / "pipe.csv"))


def test_s68_a_named_pipe_as_split_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "train.csv")

    with pytest.raises(DataError, match="is a named pipe"):
        load(configured(tmp_path))


def test_s68_a_socket_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket may have 108 bytes only
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("rows.csv")

        with pytest.raises(DataError, match="is a socket"):
            load(configured("./rows.csv"))


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null"])
def test_s68_a_device_is_refused(device: str) -> None:
    with pytest.raises(DataError, match="is a device"):
        load(configured(device))


def test_s68_a_folder_called_like_a_split_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.csv").mkdir()

    with pytest.raises(DataError, match="is a folder, expected a file"):
        load(configured(tmp_path))


def descriptors() -> int:
    """How many files this process has open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="only Linux lists open files there")
def test_s68_refused_files_leave_no_descriptor_open(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "train.csv")
    (tmp_path / "rows.csv").symlink_to("train.csv")
    before = descriptors()

    for name in (tmp_path, tmp_path / "rows.csv"):
        with pytest.raises(DataError):
            load(configured(name))

    assert descriptors() == before


@pytest.mark.parametrize("ending", ["pkl", "pickle", "pt", "pth", "bin", "joblib", "npy", "npz", "h5", "ckpt", "PKL"])
def test_s78_pickles_and_their_kin_are_refused_by_name(tmp_path: Path, ending: str) -> None:
    path = write_tsv(tmp_path / f"rows.{ending}", balanced(20))

    with pytest.raises(DataError, match=r"files are not read, expected a \.csv"):
        load(configured(path))


def test_s78_a_pickle_alone_in_a_folder_is_refused_as_a_pickle(tmp_path: Path) -> None:
    (tmp_path / "train.pkl").write_bytes(pickle.dumps([1]))

    with pytest.raises(DataError, match=r"\.pkl files are not read"):
        load(configured(tmp_path))


class Canary:
    """Unpickling this makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_s78_a_renamed_pickle_is_refused_and_never_run(tmp_path: Path, ending: str, protocol: int) -> None:
    canary = tmp_path / "canary"
    path = tmp_path / f"rows.{ending}"
    path.write_bytes(pickle.dumps(Canary(canary), protocol=protocol))

    # Protocols 0 and 1 have no mark: they are read as the text they are, and are no table.
    no_table = "the columns are|not valid JSON|not a Parquet file"
    with pytest.raises(DataError, match="the content is a Python pickle" if protocol >= 2 else no_table):
        load(configured(path))

    assert not canary.exists()


def archive() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        made.writestr("data.pkl", b"rows")
    return out.getvalue()


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"\x93NUMPY\x01\x00v\x00", "a NumPy array"),
        (b"\x89HDF\r\n\x1a\n" + b"\x00" * 9, "an HDF5 file"),
        (archive(), "a zip archive"),
        (b"\x1f\x8b\x08\x00" + b"\x00" * 9, "compressed with gzip"),
        (b"\x28\xb5\x2f\xfd" + b"\x00" * 9, "compressed with zstd"),
    ],
)
def test_s78_other_binary_files_are_told_by_their_first_bytes(content: bytes, kind: str) -> None:
    with pytest.raises(DataError, match=f"the content is {kind}"):
        read(content, ".csv")


def test_a_parquet_file_and_its_name_must_agree() -> None:
    with pytest.raises(DataError, match=r"the content is a Parquet file, not \.csv"):
        read(b"PAR1" + b"\x00" * 20, ".csv")
    with pytest.raises(DataError, match="the content is not a Parquet file"):
        read("text,label\n", ".parquet")


@pytest.mark.parametrize("name", ["rows.csv.lz4", "rows.7z", "rows.tar.rar"])
def test_other_compressed_files_are_refused_with_the_way_out(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x")

    with pytest.raises(DataError, match="compressed files of this kind are not read") as refused:
        load(configured(tmp_path / name))

    assert refused.value.hint == "unpack it first"


@pytest.mark.parametrize("name", ["rows.txt", "rows.json", "rows.xlsx", "rows"])
def test_an_unknown_ending_is_refused_and_the_known_ones_are_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("text,label\n")

    with pytest.raises(DataError, match=r"expected a \.csv, \.tsv, \.jsonl or \.parquet file"):
        load(configured(tmp_path / name))


def test_a_file_without_permission_says_so() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = write_tsv(Path(folder) / "rows.tsv", balanced(20))
        Path(folder).chmod(0o755)
        path.chmod(0)
        user = os.geteuid()
        if user == 0:  # root may read everything, so be nobody for a moment
            os.seteuid(65534)
        try:
            with pytest.raises(DataError, match="may not be read by this user"):
                load(configured(path))
        finally:
            os.seteuid(user)
