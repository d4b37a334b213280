"""Runs side by side: which ones, in which order, and what each is called wherever they stand beside each other.

The order is that of the address (``?ids=a,b``): the first is what the others are compared with. One alone is compared
with the run before it; without any, the newest that succeeded is. Neighbours: ``pages.compare`` shows what ``choose``
says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from finetune30.client import Experiment
from finetune30.errors import Refused
from finetune30.ui import shown
from finetune30.ui.seats import Seat
from finetune30.ui.shell import say, show

LEAST, MOST = 2, 5
_LISTED = 100
_BASE, _OTHERS, _SEEN = "compare_base", "compare_others", "compare_address"


@dataclass(frozen=True)
class Side:
    """One of the runs.

    Attributes:
        letter: A, B, …: short, and different where names are not.
    """

    letter: str
    run: Mapping[str, Any]

    @property
    def id(self) -> str:
        """Of the run."""
        return str(self.run["id"])

    @property
    def title(self) -> str:
        """``A · name``; plain text of somebody else's."""
        return f"{self.letter} · {self.run['name']}"


def sides_of(comparison: Mapping[str, Any]) -> list[Side]:
    """The runs of an answer of ``Client.compare``."""
    return [Side("ABCDE"[at], run) for at, run in enumerate(comparison["runs"])]


def choose(seat: Seat) -> list[str]:
    """Show the choice; the ids of what is chosen, less than two where that is not enough yet."""
    listed = seat.client.experiments_page(limit=_LISTED, **({} if seat.is_admin else {"owner": "me"})).items
    known = {one.id: one for one in listed}
    _arrive(seat, known)
    if len(known) < LEAST:
        return []
    labels = _labels(known.values(), with_owner=seat.is_admin)
    first, rest = st.columns([2, 3])
    base = first.selectbox(
        say("compare.base"), list(known), key=_BASE, format_func=labels.__getitem__, help=say("compare.base_help")
    )
    others = [one for one in known if one != base]
    st.session_state[_OTHERS] = [one for one in st.session_state.get(_OTHERS, []) if one in others]
    chosen = rest.multiselect(
        say("compare.others"),
        others,
        key=_OTHERS,
        format_func=labels.__getitem__,
        max_selections=MOST - 1,
        placeholder=say("compare.others_hint"),
    )
    ids = [base, *chosen]
    _write(ids)
    return ids


def _arrive(seat: Seat, known: dict[str, Experiment]) -> None:
    """Another address than the one this page wrote last is where somebody wants to go."""
    told = st.query_params.get("ids", "")
    if told == st.session_state.get(_SEEN) and _BASE in st.session_state:
        _look_up(seat, [st.session_state[_BASE], *st.session_state.get(_OTHERS, [])], known)
        return
    asked = list(dict.fromkeys(one.strip() for one in told.split(",") if one.strip()))[:MOST]
    ids = _look_up(seat, asked, known)
    if not asked:
        ids = ([one.id for one in known.values() if one.status == "SUCCESS"] or list(known))[:1]
    if ids and len(asked) < LEAST:
        ids = [*_before(seat, known[ids[0]], known), *ids]
    if ids:
        st.session_state[_BASE], st.session_state[_OTHERS] = ids[0], ids[1:]


def _look_up(seat: Seat, ids: Sequence[str], known: dict[str, Experiment]) -> list[str]:
    """Those of the ids that may be seen; why the others may not is shown."""
    for one in ids:
        if one not in known:
            try:
                known[one] = seat.client.experiment(one)
            except Refused as fault:
                show(fault)
    return [one for one in ids if one in known]


def _before(seat: Seat, run: Experiment, known: dict[str, Experiment]) -> list[str]:
    """The run before this one: the newest older one of its owner that succeeded on the same data.

    On the same rows where there is one; on other data none could be called better or worse.
    """
    owner = run.owner if seat.is_admin else "me"
    words = f"created_at < {run.created_at:.6f} AND id != {run.id}"
    found = seat.client.experiments_page(limit=_LISTED, owner=owner, status="SUCCESS", q=words).items
    same = [one for one in found if one.dataset == run.dataset]
    rows = [one for one in same if run.dataset_hash and one.dataset_hash == run.dataset_hash]
    if not same:
        st.info(say("compare.no_before"))
    for one in (rows or same)[:1]:
        known.setdefault(one.id, one)
        return [one.id]
    return []


def _write(ids: Sequence[str]) -> None:
    told = ",".join(ids)
    st.session_state[_SEEN] = told
    if st.query_params.get("ids") != told:
        st.query_params["ids"] = told


def _labels(runs: Iterable[Experiment], *, with_owner: bool) -> dict[str, str]:
    """One text for each, no two alike."""
    made = {one.id: _label(one, with_owner=with_owner) for one in runs}
    count = Counter(made.values())
    return {id: label if count[label] == 1 else f"{label} · {id}" for id, label in made.items()}


def _label(run: Experiment, *, with_owner: bool) -> str:
    parts = [
        run.name,
        shown.share(run.eval_accuracy, 1) if run.eval_accuracy is not None else shown.state(run.status).name,
        shown.moment(run.created_at),
        *([run.owner] if with_owner else []),
    ]
    return " · ".join(parts)
