"""What the tests of datasets share: files, and sending them.

Neighbours: ``service`` is the API they are sent to.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from tests.api.service import Person, Service

ROWS = 40
CSV = b"text,label\n" + b"".join(
    b"%s film of number %d,%s\n" % ((b"fine", row, b"good") if row % 2 else (b"dull", row, b"bad"))
    for row in range(ROWS)
)
WAIT = {"wait_s": 50}


def send(person: Person, content: bytes | Iterator[bytes], name: str = "train.csv", **options: Any) -> httpx.Response:
    """POST /datasets with the file as the body."""
    kind = {"Content-Type": options.pop("kind", "application/octet-stream")}
    headers = person.bearer | kind | options.pop("headers", {})
    return person.client.post("/datasets", params={"name": name, **options}, content=content, headers=headers)


def kept(person: Person, content: bytes = CSV, name: str = "train.csv", **options: Any) -> dict[str, Any]:
    """The dataset that was made of it, once it was checked."""
    answer = send(person, content, name, **WAIT, **options)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    assert found["state"] != "checking"
    return found


def on_disk(service: Service) -> list[str]:
    """What lies in the folder of uploads, but for its lock."""
    folder = service.settings.data_dir / "uploads"
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock") if folder.is_dir() else []


def tree(folder: Path) -> set[str]:
    """Every path below a folder."""
    return {str(path) for path in folder.rglob("*")}
