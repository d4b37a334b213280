"""A repaired copy of a dataset over HTTP: what was fixed is told, and it is a file like any that is sent."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from tests.api.datasets import CSV, ROWS, WAIT, kept, on_disk
from tests.api.service import Person, Service, refused, serving

FAULTY = CSV + b"fine film of number 1,good\n,good\n<b>a strange</b> film,GOOD\n"
NOBODYS = "ds-0123456789abcdef"


def test_what_can_be_mended_is_mended_in_a_copy(service: Service, ana: Person) -> None:
    sent = kept(ana, FAULTY, "my films.csv")
    assert sent["report"]["status"] == "FAIL"

    answer = ana.post(f"/datasets/{sent['dataset_id']}/repair", params=WAIT)

    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert made["fixes"] == {"empty": 1, "html": 1, "duplicate": 1, "label_variant": 1}
    assert made["rows"] == {"train": ROWS + 1}
    copy = made["dataset"]
    assert answer.headers["Location"] == f"/datasets/{copy['dataset_id']}"
    assert (copy["name"], copy["owner"], copy["state"]) == ("my films-repaired.csv", ana.name, "ready")
    assert copy["report"]["label_counts"] == {"bad": ROWS // 2, "good": ROWS // 2 + 1}
    assert copy["report"]["status"] != "FAIL"
    assert ana.get(f"/datasets/{sent['dataset_id']}/file").content == FAULTY
    folder = service.settings.data_dir / "uploads" / sent["dataset_id"]
    assert not (folder / "repaired").exists()
    (row,) = (row for row in service.audit() if row.action == "dataset.repair")
    assert (row.target, row.detail["repaired"]) == (copy["dataset_id"], sent["dataset_id"])


def test_nothing_to_mend_makes_nothing(service: Service, ana: Person) -> None:
    sent = kept(ana)
    before = on_disk(service)

    refused(ana.post(f"/datasets/{sent['dataset_id']}/repair"), 409, "state_conflict")

    assert on_disk(service) == before


def test_what_could_not_be_read_is_not_repaired(ana: Person) -> None:
    sent = kept(ana, b"a,b\n1,2\n")

    refused(ana.post(f"/datasets/{sent['dataset_id']}/repair"), 409, "state_conflict")


def test_several_splits_stay_several(ana: Person) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as pack:
        pack.writestr("train.csv", FAULTY)
        pack.writestr("test.csv", "text,label\na fine one,good\na dull one,bad\n")
    sent = kept(ana, packed.getvalue(), "films.zip")

    made = ana.post(f"/datasets/{sent['dataset_id']}/repair", params=WAIT).json()

    assert made["rows"] == {"train": ROWS + 1, "test": 2}
    assert made["dataset"]["state"] == "ready"
    assert made["dataset"]["report"]["splits"] == {"train": ROWS + 1, "test": 2}


def test_s26_anothers_is_not_repaired_and_an_admins_copy_is_the_owners(ana: Person, bo: Person, admin: Person) -> None:
    sent = kept(ana, FAULTY)
    path = f"/datasets/{sent['dataset_id']}/repair"

    refused(bo.post(path), 403)
    refused(bo.post(f"/datasets/{NOBODYS}/repair"), 404)
    made = admin.post(path, params=WAIT).json()
    assert made["dataset"]["owner"] == ana.name


def test_a_copy_counts_as_a_file_that_is_sent(tmp_path: Path) -> None:
    with serving(tmp_path, {"UPLOADS_PER_USER": 1}) as service:
        ana = service.person()
        sent = kept(ana, FAULTY)

        refused(ana.post(f"/datasets/{sent['dataset_id']}/repair"), 429, "upload_quota")

        assert on_disk(service) == [sent["dataset_id"]]
        folder = service.settings.data_dir / "uploads" / sent["dataset_id"]
        assert not (folder / "repaired").exists()
