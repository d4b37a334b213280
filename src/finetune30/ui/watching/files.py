"""What a run left behind, to be kept: reports, the model, its answers, checkpoints.

A file is fetched from the API when somebody clicks, not before. Neighbours: ``client`` fetches.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import streamlit as st

from finetune30.client import Client
from finetune30.ui import shown
from finetune30.ui.shell import inert, say
from finetune30.ui.watching.look import Look

# What each is good for stands beside it; one that a newer server adds has only its name.
_TOLD = (
    "final_model.zip",
    "metrics.json",
    "config.yaml",
    "quality.json",
    "logs.txt",
    "progress.jsonl",
    "eval_predictions.parquet",
)
Fetch = Callable[[Path], Path]


def files(look: Look) -> None:
    """Everything that can be fetched, with its size."""
    id, client = look.run_id, look.client
    some = look.once("artifacts", lambda: client.artifacts(id))
    if not some:
        st.info(say("run.no_files"), icon=":material/folder_off:")
        return
    st.subheader(say("run.files"), anchor=False)
    for one in some:
        known = one.name.replace(".", "_")
        told = say(f"run.file_{known}") if one.name in _TOLD else ""
        _row(one.name, told, shown.size(one.bytes), partial(client.download, id, one.name), f"{id}-{one.name}")
        if one.name == "eval_predictions.parquet":
            for kind, ending in (("text/csv", "csv"), ("application/x-ndjson", "jsonl")):
                name = f"predictions.{ending}"
                fetch = partial(_predictions, client, id, kind)
                _row(name, say(f"run.file_predictions_{ending}"), "", fetch, f"{id}-{name}")
    _checkpoints(look)


def _checkpoints(look: Look) -> None:
    id, client = look.run_id, look.client
    kept = look.once("checkpoints", lambda: client.checkpoints(id))
    if not kept:
        return
    st.subheader(say("run.checkpoints"), anchor=False)
    for one in kept:
        roles = [say(f"run.role_{role}") if role in ("best", "last", "fastest") else role for role in one.roles]
        told = say(
            "run.checkpoint",
            step=shown.number(one.step),
            roles=shown.names(roles) if roles else shown.NOTHING,
            accuracy=shown.share(one.accuracy),
            time=shown.duration(one.train_seconds),
        )
        fetch = partial(client.download_checkpoint, id, one.archive)
        _row(one.archive, told, shown.size(one.bytes), fetch, f"{id}-{one.archive}")


def _row(name: str, told: str, size: str, fetch: Fetch, file_name: str) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"file_{name.replace('.', '_')}"):
        st.download_button(
            inert(name),
            partial(_bytes, fetch),
            file_name,
            "application/octet-stream",
            key=f"get_{name}",
            icon=":material/download:",
            on_click="ignore",
            width=270,
        )
        st.caption(inert(" · ".join(filter(None, (told, size)))))


def _bytes(fetch: Fetch) -> bytes:
    """The file; called away from the script, when its button was clicked."""
    with tempfile.TemporaryDirectory(prefix="finetune30-") as folder:
        return fetch(Path(folder)).read_bytes()


def _predictions(client: Client, id: str, kind: str, to: Path) -> Path:
    return client.download_predictions(id, to, kind=kind)
