"""A data file of this machine, sent to the server before the training that names it.

Neighbours: ``server`` submits, ``client`` sends.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetune30.errors import DataError

if TYPE_CHECKING:
    from finetune30.client import Client

_ENDINGS = (".csv", ".tsv", ".jsonl", ".json", ".parquet", ".txt", ".gz", ".zip", ".xz", ".bz2", ".zst")
# How a file is read, as the server is told when it is sent.
_OPTIONS = (
    *("text_column", "label_column", "text_pair_column", "label_separator", "encoding"),
    *("train_split", "validation_split", "test_split"),
)


def with_data_sent(client: Client, values: dict[str, Any], note: Callable[[str], object]) -> dict[str, Any]:
    """The configuration, where a file of this machine is replaced by what the server calls it.

    Raises: DataError for a path that is not there, a folder, or a file the server refuses; RemoteError.
    """
    data = dict(values["data"])
    name = data["dataset_name"]
    if not os.path.lexists(name):
        if name.startswith((".", "/", "~")) or name.lower().endswith(_ENDINGS):
            raise DataError("no such file", where=name, hint="a path is one of this machine, and is sent to the server")
        return values
    if Path(name).is_dir():
        raise DataError("is a folder, expected a file to send", where=name, hint="pack it: a .zip of the split files")
    note(f"sending {name} to {client.api_url}")
    given = {key: data[key] for key in _OPTIONS if data.get(key) is not None}
    sent = client.upload(name, told=_progress(), label_columns=data.get("label_columns"), **given)
    note(f"sent as {sent.dataset_name}; its checks run")
    checked = client.checked(sent.dataset_id)
    if checked.state != "ready":
        why = checked.error
        raise DataError(
            (why and why.message) or f"the server's checks say {checked.state}",
            where=name,
            hint=(why and why.hint) or "see: finetune30 data validate",
        )
    data["dataset_name"] = checked.dataset_name
    return {**values, "data": data}


def _progress() -> Callable[[int, int], object] | None:
    """Shows a person how much has been sent."""
    if not sys.stderr.isatty():
        return None

    def told(sent: int, total: int) -> None:
        end = "\n" if sent >= total else ""
        sys.stderr.write(f"\r{100 * sent // max(1, total)}% of {total / (1 << 20):.1f} MiB{end}")
        sys.stderr.flush()

    return told
