"""Where a SQLite file may lie: not on a network file system, whose locks do not hold.

"WAL does not work over a network filesystem" (sqlite.org/wal.html): two machines would each believe
they hold the only lock, and lose each other's jobs. Standard library only.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from finetune30.errors import StorageError

MOUNTS = Path("/proc/self/mountinfo")
NETWORK = frozenset(
    {
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "afs",
        "9p",
        "ceph",
        "glusterfs",
        "fuse.glusterfs",
        "fuse.sshfs",
        "fuse.s3fs",
        "fuse.gcsfuse",
        "fuse.rclone",
        "fuse.mount-s3",
        "fuse.juicefs",
        "juicefs",
        "lustre",
        "beegfs",
        "gpfs",
        "ocfs2",
        "gfs2",
        "davfs",
        "ncpfs",
    }
)


def refuse_network(file: Path, mounts: Path = MOUNTS) -> None:
    """Refuse a database file on a network file system; where the system does not tell, it is allowed.

    Args:
        mounts: Table of mounts in the form of Linux's mountinfo; elsewhere there is none.
    Raises: StorageError naming the mount.
    """
    with suppress(OSError):
        mount, kind = _mount_of(file.absolute(), mounts.read_text(encoding="utf-8", errors="replace"))
        if kind in NETWORK:
            raise StorageError(
                f"SQLite cannot be kept on a network file system ({kind} at {mount}): its locks do not hold there",
                where=str(file),
                hint="set DATABASE_URL to a PostgreSQL server, or to sqlite:////a/local/disk/experiments.db",
            )


def _mount_of(file: Path, table: str) -> tuple[str, str]:
    """Place and kind of the mount that holds ``file``; the latest of equals lies on top."""
    with suppress(OSError, RuntimeError):
        file = file.resolve()
    best = ("", "")
    for line in table.splitlines():
        place, _, rest = line.partition(" - ")
        fields = place.split()
        if len(fields) < 5 or not rest:
            continue
        mount = fields[4].encode().decode("unicode_escape")  # a space is written as \\040
        if file.is_relative_to(mount) and len(mount) >= len(best[0]):
            best = (mount, rest.split()[0])
    return best
