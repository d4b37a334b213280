"""A page to come."""

from __future__ import annotations

import streamlit as st

from finetune30.ui.quality import quality
from finetune30.ui.shell import here


def page() -> None:
    """To come."""
    st.title("data")
    client = here().client
    for one in client.datasets():
        if one.report and one.dataset_id == st.query_params.get("id", one.dataset_id):
            quality(client.dataset_report(one.dataset_id), "q")
            break
