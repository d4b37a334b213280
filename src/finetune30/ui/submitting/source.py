"""The dataset of a training: built in, one's own, a file sent right here, or by its name.

Neighbours: ``given`` tells what is known of a file, ``draft`` holds the choice.
"""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import streamlit as st

from finetune30.client.answers_more import Dataset
from finetune30.errors import DataError, Refused, RemoteError
from finetune30.ui import shell, shown
from finetune30.ui.datasets.sending import ENDINGS, fits
from finetune30.ui.seats import Seat
from finetune30.ui.shell import act, inert, say
from finetune30.ui.submitting import fields, given
from finetune30.ui.submitting.draft import DATASET, OF_THE_DATA, Draft, Form

NAME, PART = DATASET, "data.dataset_config"
MODES = ("sample", "mine", "upload", "named")
_MOST = 100


def source(seat: Seat, form: Form, draft: Draft, faults: Mapping[str, str]) -> Dataset | None:
    """Choose it, look at it; the file, where it is one."""
    if st.session_state.get("source.mode") is None:
        st.session_state["source.mode"] = _mode_of(draft.values.get(NAME))
    st.segmented_control(
        say("submit.source"),
        MODES,
        format_func=lambda mode: say(f"submit.{mode}"),
        key="source.mode",
        required=True,
        on_change=act(_mode_changed, form, draft),
    )
    {"sample": _sample, "mine": _mine, "upload": _upload, "named": _named}[st.session_state["source.mode"]](
        seat, form, draft
    )
    if not draft.values.get(NAME):
        return None
    found = _file_of(seat, draft)
    if found is None or found.state == "ready":
        fields.fault(faults.get(NAME))
        fields.meant(faults.get(NAME), NAME, draft.values)
    if found is not None:
        given.about(seat, found, draft, partial(_copied, draft))
    return found


def part_is_asked(draft: Draft) -> bool:
    """Whether the part of a dataset of the hub is asked for beside its name."""
    return st.session_state.get("source.mode") == "named" and bool(draft.values.get(NAME))


def forget() -> None:
    """Let the choice show the draft again."""
    for key in [key for key in st.session_state if isinstance(key, str) and key.startswith("source.")]:
        del st.session_state[key]


def upload_id(name: object) -> str | None:
    """The id of an upload that is one file, None for other data."""
    found = re.fullmatch(r"upload:([a-z0-9_-]{1,80})", str(name))
    return found[1] if found else None


def suggested_name(file: str) -> str:
    """A name for a training on this file."""
    words = re.sub(r"[^\w .-]+|_", " ", Path(file).stem).strip(" .-")
    return re.sub(r"\.\.+", ".", re.sub(r"\s+", " ", words))[:60].strip(" .-")


def _mode_of(name: object) -> str:
    kind = str(name).partition(":")[0]
    return {"builtin": "sample", "upload": "mine", "version": "mine"}.get(kind, "named") if name else "mine"


def _mode_changed(form: Form, draft: Draft) -> None:
    """Another way to choose: what was chosen that way before, or nothing yet."""
    mode, last = st.session_state["source.mode"], st.session_state.setdefault("source.last", {})
    if draft.values.get(NAME):
        last[_mode_of(draft.values[NAME])] = {path: draft.values.get(path) for path in (NAME, *OF_THE_DATA)}
    usual = next((one for one in form.choices.datasets if one.startswith("builtin:")), "")
    draft.choose_data(usual if mode == "sample" else "")
    draft.values |= last.get(mode, {})
    relabel()
    fields.forget()


def relabel() -> None:
    """Let choices be drawn anew: Streamlit knows them by labels, which have changed."""
    for key in ("source.sample", "source.mine", "source.named", "source.named_there"):
        st.session_state.pop(key, None)


def _pick(draft: Draft, key: str, files: Mapping[str, str] | None = None) -> None:
    name = str(st.session_state[key] or "").strip()
    draft.choose_data(name)
    draft.call(suggested_name((files or {}).get(name) or (name if ":" not in name else _of_sample(name))))
    if key == "source.named_there":
        st.session_state["source.named"] = draft.values[NAME]
    fields.forget()


def _of_sample(name: str) -> str:
    kind, _, rest = name.partition(":")
    return rest if kind == "builtin" else ""


def _sample(_: Seat, form: Form, draft: Draft) -> None:
    options = [one for one in form.choices.datasets if one.startswith("builtin:")]
    now = draft.values.get(NAME)
    st.selectbox(
        say("submit.sample_label"),
        options if now in options else [now, *options],
        index=options.index(now) if now in options else 0,
        format_func=_sample_name,
        key="source.sample",
        on_change=act(_pick, draft, "source.sample"),
    )


def _sample_name(name: str) -> str:
    known = {"builtin:reviews": "submit.reviews", "builtin:reviews-zh": "submit.reviews_zh"}
    return f"{name} – {say(known[name])}" if name in known else name


def _mine(seat: Seat, _: Form, draft: Draft) -> None:
    files = list(seat.client.datasets(limit=_MOST))
    versions = list(seat.client.data_versions(limit=_MOST))
    # Streamlit knows a choice by what is shown of it: so that says nothing that changes, and no two say the same.
    named = {one.dataset_name: f"{one.name} · {shown.moment(one.created_at, seconds=True)}" for one in files}
    known = {one.version for one in files}
    named |= {
        f"version:{one.version}": say("submit.version", name=one.dataset_name, rows=shown.number(one.rows))
        for one in versions
        if one.version not in known
    }
    twice = {label for label, count in Counter(named.values()).items() if count > 1}
    named = {name: f"{label} · {name[-8:]}" if label in twice else label for name, label in named.items()}
    if not named:
        st.info(say("submit.no_files"), icon=":material/upload_file:")
        return
    now = draft.values.get(NAME) or None
    if now and now not in named:
        named = {str(now): str(now), **named}
    if now is None and "source.mine" not in st.session_state:
        now = next((one.dataset_name for one in files if one.state == "ready"), next(iter(named)))
        _named_so(draft, now, files)
        st.rerun()
    st.selectbox(
        say("submit.mine_label"),
        list(named),
        index=list(named).index(str(now)) if now else None,
        format_func=lambda name: named.get(name, name),
        key="source.mine",
        on_change=act(_pick, draft, "source.mine", {one.dataset_name: one.name for one in files}),
    )


def _named_so(draft: Draft, name: str, files: list[Dataset]) -> None:
    """Choose data, and call the training after it unless it has a name."""
    draft.choose_data(name)
    file = next((one.name for one in files if one.dataset_name == name), "")
    draft.call(suggested_name(file))
    fields.forget()


def _named(_: Seat, form: Form, draft: Draft) -> None:
    now = draft.values.get(NAME) or None
    options = [one for one in form.choices.datasets if not one.startswith("builtin:")]
    # A field of text: a choice that can be typed into loses what is typed while the page is drawn again.
    st.session_state.setdefault("source.named", str(now or ""))
    st.text_input(
        say("submit.named_label"),
        placeholder=say("submit.named_placeholder"),
        help=say("submit.named_help"),
        key="source.named",
        on_change=act(_pick, draft, "source.named"),
    )
    if options:
        st.pills(
            say("submit.named_there"),
            options,
            key="source.named_there",
            on_change=act(_pick, draft, "source.named_there"),
        )
    if part_is_asked(draft):
        fields.show(form.fields[PART], draft.values, {})


def _upload(seat: Seat, _: Form, draft: Draft) -> None:
    file = st.file_uploader(
        say("submit.upload_label"),
        key="source.file",
        help=say("submit.upload_help"),
        max_upload_size=shell.OPTIONS.upload_mb,
    )
    st.caption(say("data.limit", limit=shell.OPTIONS.upload_mb, kinds=", ".join(ENDINGS)))
    st.caption(say("submit.upload_shape"))
    if file is None or not fits(file.name):
        return
    failed = st.session_state.get("source.failed")
    if failed is not None and failed[0] == file.file_id:
        shell.show(failed[1])
        return
    bar = st.progress(0.0, say("submit.sending", name=inert(file.name)))
    try:
        sent = _sent(seat, file, draft, lambda done, all_of_it: bar.progress(min(1.0, done / max(1, all_of_it))))
    except (RemoteError, DataError) as fault:
        bar.empty()
        if getattr(fault, "status", None) is not None:
            st.session_state["source.failed"] = (file.file_id, fault)
        shell.show(fault)
        return
    forget()
    _named_so(draft, sent.dataset_name, [sent])
    st.rerun()


def _sent(seat: Seat, file: Any, draft: Draft, told: Any) -> Dataset:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data"
        path.write_bytes(file.getbuffer())
        return seat.client.upload(path, name=file.name, told=told, **given.reading(draft))


def _file_of(seat: Seat, draft: Draft) -> Dataset | None:
    found = upload_id(draft.values.get(NAME))
    try:
        return seat.client.dataset(found) if found else None
    except Refused:
        return None  # the server's fault stands beside the choice


def _copied(draft: Draft, copy: Dataset) -> None:
    """Go on with a repaired copy."""
    draft.choose_data(copy.dataset_name)
    forget()
    fields.forget()
    st.rerun()
