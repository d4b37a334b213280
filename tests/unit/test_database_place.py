"""A SQLite file on a network file system is refused, by the table of mounts that the system gives."""

from __future__ import annotations

from pathlib import Path

import pytest

from finetune30.database.place import refuse_network
from finetune30.errors import StorageError

TABLE = r"""21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
40 21 0:44 / /mnt/team rw,relatime shared:22 - nfs4 server:/export rw,vers=4.2
41 40 8:2 / /mnt/team/scratch rw - xfs /dev/sdb1 rw
42 21 0:45 / /mnt/with\040space rw - cifs //server/share rw
43 21 0:46 / /mnt/over rw - nfs server:/x rw
44 21 8:3 / /mnt/over rw - ext4 /dev/sdc1 rw
nonsense
"""


@pytest.fixture
def mounts(tmp_path: Path) -> Path:
    (tmp_path / "mountinfo").write_text(TABLE)
    return tmp_path / "mountinfo"


@pytest.mark.parametrize(
    ("file", "kind"),
    [("/mnt/team/results/experiments.db", "nfs4"), ("/mnt/with space/experiments.db", "cifs")],
)
def test_a_network_file_system_is_refused_and_named(mounts: Path, file: str, kind: str) -> None:
    with pytest.raises(StorageError, match=f"network file system \\({kind} at /mnt/") as refused:
        refuse_network(Path(file), mounts)
    assert refused.value.where == file
    assert "PostgreSQL" in str(refused.value.hint)


@pytest.mark.parametrize("file", ["/home/ana/x.db", "/mnt/team/scratch/x.db", "/mnt/teams/x.db", "/mnt/over/x.db"])
def test_a_local_disk_is_fine(mounts: Path, file: str) -> None:
    refuse_network(Path(file), mounts)


def test_where_the_system_does_not_tell_it_is_allowed(tmp_path: Path) -> None:
    refuse_network(tmp_path / "x.db", tmp_path / "absent")
    refuse_network(tmp_path / "x.db")
