"""One dataset: its state, what the checks found, its figures, its rows, and what can be done with it.

Neighbours: ``quality`` shows the checks, ``analysis`` the figures, ``pages.data`` the list.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import streamlit as st

from finetune30.client import Client
from finetune30.client.answers_more import Dataset
from finetune30.errors import Finetune30Error, LoginNeeded, NotFound, Refused
from finetune30.ui import shown
from finetune30.ui.datasets import repairing
from finetune30.ui.datasets.analysis import analysis
from finetune30.ui.datasets.sending import reading
from finetune30.ui.fetching import bytes_of, fetched
from finetune30.ui.findings import said
from finetune30.ui.pages import page_of
from finetune30.ui.quality import named, quality, say_split
from finetune30.ui.shell import act, guarded, here, inert, say, show, told
from finetune30.ui.submitting import fields
from finetune30.ui.submitting.draft import ON_FAIL, Draft

_LOOK_EVERY_S = 2.0
_SIGNS = {"checking": "…", "ready": "✓", "refused": "✕"}
_BADGES: Mapping[str, tuple[str, shown.Colour]] = {
    "checking": ("hourglass_top", "blue"),
    "ready": ("check_circle", "green"),
    "refused": ("block", "red"),
}
_FAILED: tuple[str, shown.Colour] = ("report", "red")
_VIEWS = ("checks", "figures", "rows", "reading")
_MOST_ROWS = 200
_TEXTS = ("csv", "tsv", "jsonl")
_LINES_SHOWN, _LONGEST_LINE = 10, 200
_MOST_SHOWN_BYTES = 2 << 20


def open_one(dataset_id: str) -> None:
    """Go to it; the table that was clicked forgets its selection."""
    st.session_state["data_table"] = st.session_state.get("data_table", 0) + 1
    st.query_params.from_dict({"id": dataset_id})
    st.rerun()


def state_of(one: Dataset) -> str:
    """For a cell: sign and name; with the verdict, once there is one."""
    name = say(f"data.state_{one.state}") if one.state in _SIGNS else one.state
    status = (one.report or {}).get("status")
    if fails(one):
        return f"! {say('quality.FAIL')}"
    verdict = f" · {say(f'quality.{status}')}" if one.state == "ready" and status == "WARN" else ""
    return f"{_SIGNS.get(one.state, '?')} {name}{verdict}"


def fails(one: Dataset) -> bool:
    """Whether it can be read, and a training would refuse it all the same."""
    return one.state == "ready" and (one.report or {}).get("status") == "FAIL"


def page(dataset_id: str) -> None:
    """The dataset of ``?id=``."""
    st.button(say("data.back"), icon=":material/arrow_back:", key="data_back", on_click=act(_back), type="tertiary")
    try:
        one = here().client.dataset(dataset_id)
    except (Refused, NotFound) as fault:
        st.title(say("shell.data"))
        if isinstance(fault, LoginNeeded):
            show(fault)
        else:
            st.error(say("data.not_there"), icon=":material/search_off:")
        return
    except Finetune30Error as fault:
        st.title(say("shell.data"))
        show(fault)
        return
    st.title(inert(one.name), anchor=False)
    _head(one)
    repairing.told(one)
    if one.is_checking:
        st.fragment(guarded(partial(_checking, dataset_id)), run_every=_LOOK_EVERY_S)()
    elif one.state == "refused":
        _refused(one)
    else:
        _ready(one)


def _head(one: Dataset) -> None:
    icon, colour = _FAILED if fails(one) else _BADGES.get(one.state, ("help", "gray"))
    with st.container(horizontal=True, vertical_alignment="center", key="data_head"):
        name = say(f"data.state_{one.state}") if one.state in _SIGNS else one.state
        st.badge(say("quality.FAIL") if fails(one) else inert(name), icon=f":material/{icon}:", color=colour)
        facts = [one.format.upper(), shown.size(one.bytes), shown.moment(one.created_at)]
        st.caption(inert(" · ".join([*facts, *([one.owner] if here().is_admin else [])])))
    with st.container(horizontal=True, key="data_actions"):
        if one.state == "ready":
            _train(one)
        file = PurePosixPath(one.name.replace("\\", "/")).name or one.dataset_id
        client = here().client
        fetched(say("data.get_file"), partial(file_of, client, one.dataset_id), file, "data_get_file")
        if one.report is not None:
            page_file = partial(page_of_report, client, one.dataset_id)
            fetched(say("data.get_report"), page_file, f"{one.dataset_id}.html", "data_get_report", "text/html")
        with st.popover(say("data.delete"), icon=":material/delete:", key="data_delete"):
            st.write(say("data.delete_sure", size=shown.size(one.bytes)))
            st.button(
                say("data.delete_yes"), key="data_delete_yes", type="primary", on_click=act(_delete, one, at="data")
            )
    told("data")
    with st.expander(say("data.names"), icon=":material/code:", key="data_names"):
        st.caption(say("data.names_help"))
        st.code(f"data:\n  dataset_name: {one.dataset_name}\n", language="yaml")
        if one.version:
            st.code(f"data:\n  dataset_name: version:{one.version}\n", language="yaml")


def _train(one: Dataset) -> None:
    """Go to the form with it; where a training would refuse it, only who says so takes it all the same."""
    query = {"data": one.dataset_name}
    if not fails(one):
        if st.button(say("data.train"), key="data_train", icon=":material/model_training:", type="primary"):
            st.switch_page(page_of("submit"), query_params=query)
    elif st.button(
        say("data.train_anyway"), key="data_train_anyway", icon=":material/warning:", help=say("data.train_anyway_help")
    ):
        # A form that was begun with this data goes on, as the address would not change it.
        draft = st.session_state.get("draft")
        if isinstance(draft, Draft):
            draft.go_on_whatever()
            fields.forget()
        st.switch_page(page_of("submit"), query_params={**query, "set": f'{ON_FAIL}="warn"'})


def _checking(dataset_id: str) -> None:
    if not here().client.dataset(dataset_id).is_checking:
        st.rerun(scope="app")
    st.info(say("data.checking"), icon=":material/hourglass_top:")


def _refused(one: Dataset) -> None:
    fault = one.error
    message = said((fault and fault.message) or "") or say("data.state_refused")
    st.error(inert(named(message, one.name)), icon=":material/block:")
    if fault and fault.hint:
        hint = inert(named(said(fault.hint), one.name))
        st.info(say("data.hint", hint=hint), icon=":material/lightbulb:")
    _first_lines(one)
    if one.report is not None:
        quality(one.report, "data_quality", name=one.name)
    st.subheader(say("data.view_reading"), anchor=False)
    _reading(one)


def _first_lines(one: Dataset) -> None:
    """How the file begins, as it stands there: of one that could not be read as a table there are no rows to show."""
    if one.format not in _TEXTS or one.bytes > _MOST_SHOWN_BYTES:
        return
    kept: tuple[str, str] | None = st.session_state.get("data_lines")
    if kept is None or kept[0] != one.dataset_id:
        content = bytes_of(partial(file_of, here().client, one.dataset_id))
        lines = content.decode(errors="replace").splitlines()[:_LINES_SHOWN]
        kept = (one.dataset_id, "\n".join(line[:_LONGEST_LINE] for line in lines))
        st.session_state["data_lines"] = kept
    if kept[1].strip():
        st.caption(say("data.first_lines", count=_LINES_SHOWN))
        st.code(kept[1], language=None, line_numbers=True)


def _ready(one: Dataset) -> None:
    given = st.query_params.get("view")
    st.session_state.setdefault("data_view", given if given in _VIEWS else "checks")
    view = st.segmented_control(
        say("data.view"),
        _VIEWS,
        key="data_view",
        format_func={name: say(f"data.view_{name}") for name in _VIEWS}.__getitem__,
        label_visibility="collapsed",
        required=True,
    )
    # Written down only where it says something: each change of the address is a step of the browser's way back.
    if view != st.query_params.get("view", _VIEWS[0]):
        st.query_params["view"] = str(view)
    if view == "figures":
        analysis(_figures(one), "data_analysis")
    elif view == "rows":
        _rows(one)
    elif view == "reading":
        _reading(one)
    elif one.report is not None:
        quality(one.report, "data_quality", _texts(one), name=one.name, mend=partial(_mend, one))


def _mend(one: Dataset) -> None:
    repairing.offer(one, "data_repair", lambda copy: open_one(copy.dataset_id))


def _figures(one: Dataset) -> Mapping[str, Any]:
    """Kept for as long as the same rows are read in the same way; making them takes seconds."""
    this = (one.dataset_id, one.version, tuple(sorted(map(str, one.options.items()))))
    kept: tuple[Any, Mapping[str, Any]] | None = st.session_state.get("data_figures")
    if kept is None or kept[0] != this:
        with st.spinner(say("data.counting")):
            kept = (this, here().client.dataset_analysis(one.dataset_id))
        st.session_state["data_figures"] = kept
    return kept[1]


def _preview(one: Dataset) -> list[dict[str, Any]]:
    this = (one.dataset_id, one.version)
    kept: tuple[Any, list[dict[str, Any]]] | None = st.session_state.get("data_preview")
    if kept is None or kept[0] != this:
        kept = (this, here().client.preview(one.dataset_id, rows=_MOST_ROWS))
        st.session_state["data_preview"] = kept
    return kept[1]


def _texts(one: Dataset) -> dict[str, str]:
    """What stands in the rows that the checks may name: those of the first rows."""
    splits = (one.report or {}).get("splits") or {}
    # Rows a run puts aside for validation are still named by the split they came from.
    return {f"{row['split'] if row['split'] in splits else 'train'}:{row['row']}": row["text"] for row in _preview(one)}


def _rows(one: Dataset) -> None:
    rows = _preview(one)
    wanted = st.text_input(say("data.search_rows"), key="data_search_rows", icon=":material/search:").casefold()
    fits = [row for row in rows if wanted in f"{row['text']} {row.get('text_pair') or ''} {row['label']}".casefold()]
    column = st.column_config
    pair = {"pair": column.TextColumn(say("data.pair"))} if any(row.get("text_pair") for row in rows) else {}
    table = [
        {
            "split": say_split(row["split"]),
            "row": row["row"],
            "label": row["label"] if isinstance(row["label"], str) else ", ".join(row["label"]),
            "text": row["text"],
            **({"pair": row.get("text_pair") or ""} if pair else {}),
        }
        for row in fits
    ]
    st.dataframe(
        table,
        key="data_rows",
        hide_index=True,
        width="stretch",
        column_config={
            "split": column.TextColumn(say("data.split"), width="small"),
            "row": column.NumberColumn(say("quality.row"), width="small"),
            "label": column.TextColumn(say("quality.label"), width="small"),
            "text": column.TextColumn(say("quality.text"), width="large"),
            **pair,
        },
        alt=say("data.rows_alt", count=len(fits)),
    )
    st.caption(say("data.rows_told", count=len(fits), of=len(rows), most=_MOST_ROWS))


def _reading(one: Dataset) -> None:
    with st.form("data_reading", border=False):
        options = reading("data_again", one.options)
        pressed = st.form_submit_button(say("data.check_again"), icon=":material/refresh:", key="data_check_again")
    if pressed:
        try:
            here().client.check_dataset(one.dataset_id, **options)
        except Finetune30Error as fault:
            show(fault)
            return
        st.rerun()


def _delete(one: Dataset) -> None:
    """Before the page is drawn again: the list then, or the refusal."""
    here().client.delete_dataset(one.dataset_id)
    st.toast(say("data.deleted", size=shown.size(one.bytes)), icon=":material/delete:")
    _back()


def _back() -> None:
    st.query_params.clear()


def file_of(client: Client, dataset_id: str, folder: Path) -> Path:
    return client.download_dataset(dataset_id, folder / "file")


def page_of_report(client: Client, dataset_id: str, folder: Path) -> Path:
    return client.download_report(dataset_id, folder / "page.html")
