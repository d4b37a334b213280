"""A repaired copy of an upload, made in the process with limits and kept as any file that is sent: counted, in the log.

The copy is its owner's, whoever asked for it. Neighbours: ``examine`` makes it, ``receiving`` keeps.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from starlette.requests import Request

from finetune30.access import User
from finetune30.api import receiving, services
from finetune30.experiments.opened import open_plain
from finetune30.web.problems import Problem

if TYPE_CHECKING:
    from finetune30.data.uploads import Upload

_PART = 1 << 20


def kept(request: Request, user: User, upload: Upload, made: Mapping[str, Any]) -> Upload:
    """The copy as an upload of its own.

    Args:
        made: What the process answered.
    Raises: Problem 404, 409; what a file that is sent may meet: 413, 507.
    """
    if not made["fixes"]:
        hint = "what the checks found is for people to decide: GET /datasets/{dataset_id}/report names the rows"
        raise Problem(409, "state_conflict", "there is nothing that a repair could mend", hint=hint)
    store = services.of(request).checks.uploads
    path = store.repaired(upload) / f"data.{made['format']}"
    source = open_plain(path)
    if source is None:
        raise Problem(404, "not_found", "there is no such dataset", hint="GET /datasets lists yours")
    with closing(source):
        name = name_of(upload.name, made["format"])
        expected = source.bytes
        with receiving.place(request, upload.owner, name, made["format"], upload.purpose, expected) as arriving:
            while part := source.file.read(_PART):
                arriving.write(part)
            card = {"options": made["options"]}
            return receiving.keep(request, user, arriving, card, {"repaired": upload.id, "fixes": made["fixes"]})


def name_of(name: str, form: str) -> str:
    """That of the file, saying that it was repaired."""
    file = PurePosixPath(name.replace("\\", "/")).name
    stem = file.partition(".")[0] or "data"
    return f"{stem[:200]}-repaired.{form}"
