"""Where a run is registered: its versions of models, told with a link to each.

Neighbours: ``results`` shows them, ``controls`` tells before a run is deleted that they stand in the way.
"""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from finetune30.client import Client
from finetune30.client.answers_more import ModelVersion
from finetune30.ui.pages import page_of
from finetune30.ui.shell import inert
from finetune30.ui.watching.look import Look

_MOST_MODELS, _MOST_VERSIONS = 10, 200


def versions(look: Look) -> list[ModelVersion]:
    """Those made of this run; asked for once."""
    return look.once("versions", lambda: versions_of(look.client, look.run_id))


def versions_of(client: Client, run_id: str) -> list[ModelVersion]:
    """Those made of a run."""
    return [
        version
        for model in client.models(experiment_id=run_id, limit=_MOST_MODELS)
        for version in client.model_versions(model.name, limit=_MOST_VERSIONS)
        if version.experiment_id == run_id
    ]


def links(some: Sequence[ModelVersion]) -> None:
    """A way to each."""
    with st.container(horizontal=True, gap="small"):
        for one in some:
            st.page_link(
                page_of("models"),
                label=inert(one.address),
                icon=":material/inventory_2:",
                query_params={"name": one.model, "version": str(one.version)},
            )
