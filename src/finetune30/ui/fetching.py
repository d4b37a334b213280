"""A button that fetches a file from the API when it is clicked, not before.

Neighbours: ``client`` fetches; pages of data and of models place it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import streamlit as st

Fetch = Callable[[Path], Path]


def fetched(label: str, fetch: Fetch, file_name: str, key: str, mime: str = "application/octet-stream") -> None:
    """The button. What is fetched is named by the browser as ``file_name``.

    Args:
        label: Markdown, so names of others in it are inert.
        fetch: Puts the file into the folder it is told and says where.
    """
    st.download_button(
        label, partial(bytes_of, fetch), file_name, mime, key=key, icon=":material/download:", on_click="ignore"
    )


def bytes_of(fetch: Fetch) -> bytes:
    """What is fetched; called away from the script, when the button was clicked."""
    with tempfile.TemporaryDirectory(prefix="finetune30-") as folder:
        return fetch(Path(folder)).read_bytes()
