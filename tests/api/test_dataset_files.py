"""Files made to do harm, sent over HTTP: each ends with a clear word, and with nothing left behind (S67 to S78)."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from finetune30.api.checking import Allowance
from tests.api.datasets import CSV, WAIT, kept, on_disk, send
from tests.api.service import Service, refused, serving
from tests.packed_cases import tarred, zipped

MIB = 1 << 20


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One over SQLite: what is in a file does not depend on the database."""
    with serving(tmp_path_factory.mktemp("files"), {"UPLOADS_PER_USER": 0}) as found:
        yield found


def members(*made: tuple[str, bytes, bytes, str]) -> bytes:
    """A tar of members: name, type, content, link."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, kind, content, link in made:
            member = tarfile.TarInfo(name)
            member.type, member.size, member.linkname = kind, len(content), link
            tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


def tree(home: Path) -> set[Path]:
    """What lies there, but for where data is kept and what an audited change writes."""
    return {
        path for path in home.rglob("*") if path.name != "audit.anchor" and home / "data" not in (path, *path.parents)
    }


def much_from_little() -> bytes:
    import pyarrow as pa

    rows = 600_000
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array(["x" * 1000]))
    return parquet(text=texts, label=[0, 1] * (rows // 2))


def linked_zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        link = zipfile.ZipInfo("train.csv")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        made.writestr(link, "/etc/passwd")
    return out.getvalue()


def twice_zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        made.writestr("train.csv", CSV)
        with pytest.warns(UserWarning, match="Duplicate name"):
            made.writestr("train.csv", CSV)
    return out.getvalue()


def parquet(**columns: Any) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet as writer

    out = io.BytesIO()
    writer.write_table(pa.table(columns), out)
    return out.getvalue()


def objects(*rows: object) -> bytes:
    return "".join(f"{json.dumps(row)}\n" for row in rows).encode()


GOOD = [{"text": f"a film {row}", "label": row % 2} for row in range(20)]
REG, SYM, HARD, DEVICE = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE
BOMB = b"text,label\n" + b"a,b\n" * (2 * MIB)
ARCHIVES = {
    "tar with ../": ("a.tar", members(("../../train.csv", REG, CSV, "")), 422),
    "tar with a whole path": ("a.tar", members(("/tmp/train.csv", REG, CSV, "")), 422),
    "zip with ../": ("a.zip", zipped({"../../train.csv": CSV}), 422),
    "tar with a symlink": ("a.tar", members(("train.csv", SYM, b"", "/etc/passwd")), 422),
    "zip with a symlink": ("a.zip", linked_zip(), 422),
    "tar with a hard link": ("a.tar", members(("train.csv", HARD, b"", "/etc/passwd")), 422),
    "tar with a device": ("a.tar", members(("train.csv", DEVICE, b"", "")), 422),
    "zip with a name twice": ("a.zip", None, 422),
    "zip with many": ("a.zip", zipped({f"{number}.txt": b"" for number in range(30_000)}, zipfile.ZIP_STORED), 422),
    "archive within one": ("a.zip", zipped({"train.zip": zipped({"train.csv": CSV})}), 422),
    "bomb in gzip": ("a.csv.gz", gzip.compress(b"text,label\n" + b"a,b\n" * (2 * MIB)), 413),
    "bomb in zip": ("a.zip", zipped({"train.csv": BOMB}), 413),
    "bomb in tar.gz": ("a.tar.gz", gzip.compress(tarred({"train.csv": BOMB})), 413),
}


@pytest.mark.parametrize("case", ARCHIVES)
def test_s67_s69_s70_archives_made_to_do_harm_are_refused_and_leave_nothing(
    service: Service, tmp_path: Path, case: str
) -> None:
    ana, (name, content, status) = service.person(), ARCHIVES[case]
    outside, temporary = tree(service.home), set(Path("/tmp").glob("train*"))

    found = kept(ana, content if content is not None else twice_zip(), name)

    assert (found["state"], found["error"]["status"], found["version"]) == ("refused", status, None)
    assert found["error"]["where"].startswith(found["dataset_name"])
    assert str(service.home) not in json.dumps(found)
    ana.delete(f"/datasets/{found['dataset_id']}")
    assert tree(service.home) == outside
    assert set(Path("/tmp").glob("train*")) == temporary
    assert on_disk(service) == []


ROWS = {
    "a quote that never closes": ("a.csv", b'text,label\nfine,1\n"never closed,0\n', "line"),
    "a row too long": ("a.csv", b"text,label\nfine,1,2,3\n", "line 2"),
    "a NUL": ("a.csv", b"text,label\nfine,1\nno\0pe,0\n", "line 3"),
    "mixed encodings": ("a.csv", "text,label\ncaf\u00e9,1\n".encode() + b"caf\xe9,0\n" * 3, ""),
    "a cell without end": ("a.csv", b"text,label\n" + b"x" * (20 * MIB) + b",1\n", "line 2"),
    "many columns": ("a.csv", b",".join(b"c%d" % one for one in range(300_000)) + b"\n", ""),
    "no such columns": ("a.csv", b"one,two\na,b\n", ""),
    "one line without end": ("a.jsonl", b'{"text": "' + b"x" * (30 * MIB) + b'", "label": 1}\n', "line 1"),
    "rows that are no objects": ("a.jsonl", objects(*GOOD, [1, 2]), "line 21"),
    "half a character": ("a.jsonl", objects(*GOOD) + b'{"text": "\\ud800", "label": 1}\n', ""),
    "deep": ("a.jsonl", objects(*GOOD) + b'{"text": ' + b"[" * 10_000 + b"]" * 10_000 + b', "label": 1}\n', "line 21"),
    "no rows": ("a.csv", b"text,label\n", ""),
    "no label": ("a.csv", b"text,label\n" + b"a film,\n" * 20, ""),
    "only one label": ("a.csv", b"text,label\n" + b"".join(b"a film %d,1\n" % row for row in range(20)), ""),
    "a cut footer": ("a.parquet", parquet(text=["a", "b"], label=[0, 1])[:-6], ""),
    "a footer of noise": ("a.parquet", b"PAR1" + b"\xff" * 200 + b"PAR1", ""),
    "columns of another type": ("a.parquet", parquet(text=[{"a": 1}], label=[1]), ""),
    "much from little": ("a.parquet", None, ""),
}


@pytest.mark.parametrize("case", ROWS)
def test_s71_s73_s74_s75_bad_rows_are_named(service: Service, case: str) -> None:
    ana, (name, content, place) = service.person(), ROWS[case]
    memory = psutil.Process().memory_info().rss

    found = kept(ana, content if content is not None else much_from_little(), name)

    error = found["error"]
    assert (found["state"], error["status"] in (413, 422)) == ("refused", True), found["report"]
    assert place in (error["where"] or "") + error["message"], error
    assert psutil.Process().memory_info().rss - memory < 150 * MIB
    ana.delete(f"/datasets/{found['dataset_id']}")
    assert on_disk(service) == []


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        (b"\xef\xbb\xbf" + CSV, 40),
        (CSV.replace(b"\n", b"\r"), 40),
        (CSV.decode().replace("film", "電影").encode("big5"), 40),
    ],
    ids=["a mark before", "lone carriage returns", "big5"],
)
def test_s71_odd_but_whole_files_are_read(service: Service, content: bytes, rows: int) -> None:
    found = kept(service.person(), content)

    assert found["report"]["total_samples"] == rows


class Harm:
    """What a pickle may do."""

    def __reduce__(self) -> Any:
        return (print, ("harm was done",))


@pytest.mark.parametrize("name", ["a.pkl", "a.pickle", "a.pt", "a.npy", "a.joblib", "a.csv.pkl", "a.h5", "a.bin"])
def test_s78_files_that_only_unpickling_reads_are_refused_at_once(
    service: Service, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    ana, before = service.person(), on_disk(service)
    harm = pickle.dumps(Harm())

    refused(send(ana, harm, name), 422, "data_invalid")
    refused(send(ana, harm, "a.csv"), 422, "data_invalid")
    refused(send(ana, harm, "a.parquet"), 422, "data_invalid")
    refused(send(ana, b"\x93NUMPY\x01\x00", "a.csv"), 422, "data_invalid")
    refused(send(ana, zipped({"a": harm}), "a.csv"), 422, "data_invalid")

    assert on_disk(service) == before
    assert "harm was done" not in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    "name",
    [
        "hf://a/b",
        "s3://bucket/key",
        "zip://a::http://b",
        "**/*",
        "~/x",
        "upload:ds-0123456789abcdef",
        "file:///etc/passwd",
    ],
)
def test_s76_s77_addresses_are_no_names_of_data(service: Service, name: str) -> None:
    ana = service.person()

    refused(ana.post("/train", {"data": {"dataset_name": name}}), 422, "config_invalid")
    refused(send(ana, CSV, name), 422)  # none of them ends like a file we read


def test_s74_a_check_that_takes_too_much_is_ended_and_may_be_asked_for_again(service: Service) -> None:
    ana, checks = service.person(), service.services.checks
    usual = checks.allowance
    for little in (Allowance(wall_s=0.05), Allowance(memory_bytes=64 * MIB), Allowance(cpu_s=0)):
        checks.allowance = little
        found = kept(ana)
        checks.allowance = usual

        assert (found["state"], found["error"]["code"]) == ("refused", "check_failed"), found
        again = ana.post(f"/datasets/{found['dataset_id']}/check", params=WAIT).json()
        assert (again["state"], again["error"]) == ("ready", None)


def test_a_check_that_was_broken_off_is_done_at_the_next_start_but_not_for_ever(tmp_path: Path) -> None:
    with serving(tmp_path, {}) as service:
        ana, store = service.person(), service.services.checks.uploads
        once, ever = kept(ana)["dataset_id"], kept(ana)["dataset_id"]
    store.update(once, state="checking", version=None, checks=1)
    store.update(ever, state="checking", version=None, checks=3)

    with serving(tmp_path, {}) as service:
        for dataset in (once, ever):
            service.services.checks.submit(dataset).result(60)
        assert store.get(once).state == "ready"
        assert store.get(once).version
        assert store.get(ever).state == "refused"
        assert "three times" in store.get(ever).error["message"]


def test_s113_a_check_knows_no_secret(service: Service) -> None:
    from finetune30.api.checking import _without_secrets

    given = {
        "JWT_SECRET": "a",
        "AUDIT_KEY": "b",
        "DATABASE_URL": "c",
        "BROKER_URL": "d",
        "HF_TOKEN": "e",
        "PATH": "/bin",
    }

    assert _without_secrets(given) == {"PATH": "/bin"}
