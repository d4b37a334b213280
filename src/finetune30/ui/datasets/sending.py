"""A file is chosen, sent with its progress told, and kept; what is wrong with it is said beside it.

A second click sends nothing twice. Neighbours: ``client.upload`` sends, ``pages.data`` places this.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any

import streamlit as st

from finetune30.client.answers_more import Dataset
from finetune30.errors import Finetune30Error
from finetune30.ui import shell, shown
from finetune30.ui.shell import here, inert, say, show

ENDINGS = ("csv", "tsv", "jsonl", "parquet", "gz", "bz2", "xz", "zst", "zip", "tar", "tgz")
OPTIONS = ("text_column", "label_column", "text_pair_column", "label_separator", "encoding")
"""How a file is read, as ``data`` of a configuration names it; the rest is found by itself."""


def sending(key: str) -> Dataset | None:
    """The form; the dataset once its file was sent (it may still be being checked)."""
    with st.container(border=True, key=f"{key}_sending"):
        file = st.file_uploader(
            say("data.choose"),
            key=f"{key}_file",
            max_upload_size=shell.OPTIONS.upload_mb,
            help=say("data.choose_help", limit=shell.OPTIONS.upload_mb),
        )
        # Streamlit's own words about a file are English only: the kinds and the limit are told and looked at here.
        st.caption(say("data.limit", limit=shell.OPTIONS.upload_mb, kinds=", ".join(ENDINGS)))
        is_ours = file is not None and fits(file.name)
        with st.expander(say("data.read"), key=f"{key}_how"):
            options = reading(key, {})
        place = st.empty()
        pressed = st.button(
            say("data.send"),
            icon=":material/upload:",
            type="primary",
            key=f"{key}_send",
            disabled=not is_ours,
        )
        if not pressed or file is None:
            return None
        try:
            return _sent(file, options, key, place)
        except Finetune30Error as fault:
            place.empty()
            show(fault)
            return None


def fits(name: str) -> bool:
    """Whether the file is of a kind that is read; if not, that is said."""
    if PurePosixPath(name).suffix.lower().removeprefix(".") in ENDINGS:
        return True
    st.error(say("data.wrong_kind", name=inert(name), kinds=", ".join(ENDINGS)), icon=":material/error:")
    return False


def reading(key: str, before: dict[str, Any]) -> dict[str, str]:
    """Fields for how a file is read; those that were filled in."""
    st.caption(say("data.read_help"))
    given = {}
    for one, column in zip(OPTIONS, (columns := st.columns(3)) + columns, strict=False):
        given[one] = column.text_input(
            say(f"data.{one}"),
            str(before.get(one) or ""),
            key=f"{key}_{one}",
            placeholder=say("data.found_by_itself"),
            help=f"data.{one}".replace("_", "\\_"),
        ).strip()
    return {name: value for name, value in given.items() if value}


def _sent(file: Any, options: dict[str, str], key: str, place: Any) -> Dataset:
    """What was sent from here already is not sent again, whatever was clicked."""
    before: dict[Any, str] = st.session_state.setdefault(f"{key}_sent", {})
    this = (file.file_id, tuple(sorted(options.items())))
    client = here().client
    if this in before:
        return client.dataset(before[this])
    bar = place.progress(0.0, say("data.sending", sent=shown.size(0), total=shown.size(file.size)))

    def told(sent: int, total: int) -> None:
        text = say("data.sending", sent=shown.size(sent), total=shown.size(total))
        bar.progress(sent / max(1, total), inert(text))

    with tempfile.TemporaryDirectory(prefix="finetune30-") as folder:
        path = Path(folder) / "sent"
        with path.open("wb") as copy:
            shutil.copyfileobj(file, copy)
        file.seek(0)
        found = client.upload(path, name=file.name, told=told, **options)
    before[this] = found.dataset_id
    place.empty()
    return found
