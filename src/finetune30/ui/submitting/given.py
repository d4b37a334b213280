"""What is known of the file a training was given: being checked, refused with the reason, its report, its first rows.

Where the form reads it in another way than its checks did, it is checked again. Neighbours: ``source`` is the choice,
``quality`` shows a report, ``pages.data`` has all there is to do with data.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import streamlit as st

from finetune30.client.answers_more import Dataset
from finetune30.errors import Finetune30Error, RemoteError
from finetune30.ui import shell
from finetune30.ui.datasets import repairing
from finetune30.ui.findings import said
from finetune30.ui.quality import named, quality
from finetune30.ui.seats import Seat
from finetune30.ui.shell import guarded, inert, say
from finetune30.ui.submitting.draft import Draft

READING = ("text_column", "text_pair_column", "label_column", "label_separator", "label_columns", "encoding")
"""Keys of ``data`` that decide how a file is read; its checks read it so, too."""


def about(seat: Seat, dataset: Dataset, draft: Draft, copied: Callable[[Dataset], None]) -> None:
    """What is known of the file, and what to do about it.

    Args:
        copied: Goes on with a repaired copy of it.
    """
    repairing.told(dataset)
    if dataset.is_checking:
        _wait(seat, dataset.dataset_id)
    elif dataset.state == "refused":
        _refused(dataset)
    if not dataset.is_checking and dataset.report:
        with st.expander(
            say("submit.quality"), icon=":material/fact_check:", expanded=dataset.report.get("status") == "FAIL"
        ):
            mend = partial(repairing.offer, dataset, "source.repair", copied)
            quality(
                dataset.report, "source.quality", name=dataset.name, mend=mend if dataset.state == "ready" else None
            )
    if dataset.state == "ready":
        _preview(seat, dataset)
    if not dataset.is_checking:
        _again(seat, dataset, draft)


def reading(draft: Draft) -> dict[str, Any]:
    """How a file is read, as far as the draft says it."""
    found = {key: draft.values.get(f"data.{key}") for key in READING}
    return {key: value for key, value in found.items() if value is not None}


def _wait(seat: Seat, dataset_id: str) -> None:
    def look() -> None:
        try:
            if not seat.client.dataset(dataset_id).is_checking:
                st.rerun()
        except RemoteError:
            pass  # away for a moment; the next look may find it
        st.info(say("submit.checking"), icon=":material/hourglass_top:")

    st.fragment(guarded(look), run_every=1)()


def _refused(dataset: Dataset) -> None:
    if dataset.error is None:
        return
    where = dataset.error.where if dataset.error.where != dataset.dataset_name else None
    message = named(said(dataset.error.message or ""), dataset.name)
    st.error(inert(": ".join(filter(None, (where, message)))), icon=":material/error:")
    if dataset.error.hint:
        st.info(inert(named(said(dataset.error.hint), dataset.name)), icon=":material/lightbulb:")
    st.caption(say("submit.refused_next"))


def _preview(seat: Seat, dataset: Dataset) -> None:
    box = st.expander(say("submit.preview"), icon=":material/table_rows:", key="source.preview", on_change="rerun")
    with box:
        if box.open:
            rows = seat.client.preview(dataset.dataset_id, rows=5)
            said = [name for name in rows[0] if any(row[name] is not None for row in rows)] if rows else []
            st.dataframe([{name: row[name] for name in said} for row in rows], width="stretch", hide_index=True)


def _again(seat: Seat, dataset: Dataset, draft: Draft) -> None:
    """Where the form reads the file in another way than its checks did."""
    wanted = reading(draft)
    if {key: value for key, value in dataset.options.items() if value is not None and key in READING} == wanted:
        return
    st.caption(say("submit.read_otherwise"))
    if st.button(say("submit.check_again"), key="source.again", icon=":material/refresh:"):
        columns = wanted.pop("label_columns", None)
        try:
            seat.client.check_dataset(
                dataset.dataset_id, **wanted, label_columns=None if columns is None else ",".join(columns)
            )
        except Finetune30Error as fault:
            shell.show(fault)
        else:
            st.rerun()
