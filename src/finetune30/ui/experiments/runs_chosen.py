"""Which runs are chosen: by their ids, not by where they stand, so that a row that moves stays chosen, and so does one
on another page of the list.

Neighbours: ``runs_table`` shows and takes the marks.
"""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from finetune30.client import Experiment

_KEY = "runs_chosen"


def chosen() -> list[Experiment]:
    """Those, in the order they were chosen in."""
    return list(_kept().values())


def forget(*ids: str) -> None:
    """These are not chosen any more."""
    for one in ids:
        _kept().pop(one, None)


def clear() -> None:
    """None is."""
    _kept().clear()


def take(places: Sequence[int], rows: Sequence[Experiment]) -> None:
    """Marks were set in a table of these rows; what is not in it stays as it is."""
    marked = [rows[place] for place in places if place < len(rows)]
    ids = {one.id for one in marked}
    forget(*(one.id for one in rows if one.id not in ids))
    for one in marked:
        _kept().setdefault(one.id, one)


def refresh(rows: Sequence[Experiment]) -> None:
    """What is known newer of those that are chosen."""
    for one in rows:
        if one.id in _kept():
            _kept()[one.id] = one


def place(table: str, ids: Sequence[str]) -> None:
    """Before its table: put the marks where the chosen rows stand now."""
    wanted = [at for at, one in enumerate(ids) if one in _kept()]
    marks = st.session_state.get(table)
    there = sorted(marks["selection"]["rows"]) if marks else []
    if wanted != there:
        st.session_state[table] = {"selection": {"rows": wanted, "columns": [], "cells": []}}


def _kept() -> dict[str, Experiment]:
    found: dict[str, Experiment] = st.session_state.setdefault(_KEY, {})
    return found
