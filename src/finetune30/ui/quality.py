"""What the checks say of a dataset, for people: may one train on it, what is in it, what is wrong and what to do.

Takes a report as the API gives it, with a dataset or of its own (every row named). What checks say holds names and
words of users, so it is shown as plain text or inert. Neighbours: ``pages.data`` and ``pages.submit`` show it; its
words, the checks' names among them, are ``words/quality.py``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import streamlit as st

from finetune30.ui import plots, shown
from finetune30.ui.findings import said
from finetune30.ui.shell import inert, say
from finetune30.ui.words import all_words

_ICONS = {"FAIL": ":material/error:", "WARN": ":material/warning:", "PASS": ":material/check_circle:"}
_COLOURS: Mapping[str, shown.Colour] = {"FAIL": "red", "WARN": "orange", "PASS": "green"}
_MENDED = ("empty", "too_short", "too_long", "html", "control_chars", "duplicate", "label_variant", "split_leak")
_LABELS_DRAWN = 20
_ROWS_SHOWN = 200
_EVEN = 1.5
_NAME_DRAWN = 22


def quality(
    report: Mapping[str, Any],
    key: str,
    texts: Mapping[str, str] | None = None,
    *,
    name: str = "",
    mend: Callable[[], None] | None = None,
) -> None:
    """The verdict, the figures, the labels, and each check that found something, the worst first.

    Args:
        key: One of its kind on the page; the widgets' keys begin with it.
        texts: What stands in some rows, by their names such as ``train:17``.
        name: The file's, instead of the id by which the report calls it.
        mend: Offers to repair what can be repaired; drawn where something can.
    """
    verdict(report)
    figures(report)
    labels(report, key)
    st.subheader(say("quality.checks"))
    if mend is not None and can_be_mended(report):
        mend()
    checks(report, key, texts or {}, name)


def can_be_mended(report: Mapping[str, Any]) -> bool:
    """Whether a repair would find something to do."""
    return any(one["name"] in _MENDED and one.get("status") != "PASS" for one in report.get("checks") or ())


def verdict(report: Mapping[str, Any]) -> None:
    """One box: whether a training would take it."""
    failed, warned = (_of(report, status) for status in ("FAIL", "WARN"))
    icon = _ICONS.get(str(report.get("status")))
    if not report.get("total_samples"):
        st.error(say("quality.no_rows"), icon=_ICONS["FAIL"])
    elif failed:
        st.error(say("quality.failed", names=_names_of(failed)), icon=icon)
    elif warned:
        st.warning(say("quality.warned", names=_names_of(warned)), icon=icon)
    else:
        st.success(say("quality.passed"), icon=icon)


def figures(report: Mapping[str, Any]) -> None:
    """Rows, labels, balance beside each other."""
    counts, splits = report.get("label_counts") or {}, report.get("splits") or {}
    rows, kinds, balance = st.columns(3)
    told = [f"{say_split(name)} {shown.number(size)}" for name, size in splits.items()]
    rows.metric(say("quality.rows"), shown.number(report.get("total_samples")))
    rows.caption(inert(" · ".join(told)))
    kinds.metric(say("quality.labels"), shown.number(len(counts)))
    kinds.caption(inert(shown.names(sorted(counts, key=lambda name: -counts[name]))))
    ratio = report.get("imbalance_ratio")
    if ratio is None or len(counts) < 2:
        balance.metric(say("quality.balance"), shown.NOTHING)
        return
    balance.metric(say("quality.balance"), f"{shown.number(ratio, 3)} : 1")
    balance.caption(_evenness(ratio, is_balanced=bool(report.get("is_balanced"))))


def _evenness(ratio: float, *, is_balanced: bool) -> str:
    if not is_balanced:
        return say("quality.unbalanced")
    return say("quality.balanced" if ratio <= _EVEN else "quality.rather_balanced")


def labels(report: Mapping[str, Any], key: str) -> None:
    """How many rows each label has: drawn, and as a table."""
    counts = sorted((report.get("label_counts") or {}).items(), key=lambda one: (-one[1], one[0]))
    if not counts:
        return
    st.subheader(say("quality.label_rows"))
    drawn = counts[:_LABELS_DRAWN]
    rows = say("quality.rows")
    alt = ", ".join(f"{name}: {count}" for name, count in drawn[:5])
    figure = plots.bars([middle(name) for name, _ in drawn], {rows: [count for _, count in drawn]}, x=rows)
    plots.draw(figure, f"{key}-labels", say("quality.label_alt", told=alt))
    if len(counts) > len(drawn):
        st.caption(say("quality.some_drawn", shown=len(drawn), count=len(counts)))
    with st.expander(say("quality.as_table", count=len(counts))):
        total = sum(count for _, count in counts) or 1
        table = {
            say("quality.label"): [name for name, _ in counts],
            rows: [count for _, count in counts],
            say("quality.share"): [shown.share(count / total, 1) for _, count in counts],
        }
        st.dataframe(table, hide_index=True, width="stretch", key=f"{key}-label-table")


def middle(name: str, most: int = _NAME_DRAWN) -> str:
    """A long name without its middle: names that begin alike are told apart by their ends."""
    return name if len(name) <= most else f"{name[: most // 2 - 1]}…{name[-(most - most // 2) :]}"


def checks(report: Mapping[str, Any], key: str, texts: Mapping[str, str], name: str = "") -> None:
    """Each check that found something in a box of its own, the worst first; then those that found nothing."""
    for status in ("FAIL", "WARN"):
        for one in _of(report, status):
            _check(one, key, texts)
    fine = _of(report, "PASS")
    with st.expander(say("quality.fine", count=len(fine)), icon=_ICONS["PASS"]):
        for one in fine:
            called, found = name_of(one["name"]), said(str(one.get("found") or ""))
            st.text(say("findings.of", name=called, text=found) if found else called)
    for note in report.get("notes") or ():
        st.caption(inert(named(said(str(note)), name)))


def named(text: str, name: str) -> str:
    """The text, which calls a file by its id, with the name it was sent by."""
    return re.sub(r"upload:ds-[0-9a-f]{16}", lambda _: name, text) if name else text


def name_of(check: str) -> str:
    """A check's name in the language of who looks; a newer server's checks by their own."""
    return _said(f"quality.check_{check}", check)


def say_split(split: str) -> str:
    """A split's name in the language of who looks."""
    return _said(f"quality.split_{split}", split)


def _check(one: Mapping[str, Any], key: str, texts: Mapping[str, str]) -> None:
    name, status = str(one["name"]), str(one["status"])
    with st.container(border=True, key=f"{key}-{name}", gap="small"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            told = f"{say(f'quality.{status}')} · {inert(name_of(name))}"
            st.badge(told, icon=_ICONS[status], color=_COLOURS[status])
            st.caption(_said(f"quality.about_{name}", ""))
        st.text(said(str(one.get("found") or "")))
        if one.get("hint"):
            st.caption(f":material/lightbulb: {inert(said(str(one['hint'])))}")
        _rows(one, f"{key}-{name}", texts)


def _rows(one: Mapping[str, Any], key: str, texts: Mapping[str, str]) -> None:
    rows: Sequence[str] = one.get("rows") or ()
    if not rows:
        return
    some = rows[:_ROWS_SHOWN]
    with st.expander(say("quality.rows_named", count=shown.number(_named(one)))):
        table = {say("quality.row"): list(some)}
        if any(row in texts for row in some):
            table[say("quality.text")] = [texts.get(row, "") for row in some]
        st.dataframe(table, hide_index=True, width="stretch", key=f"{key}-rows")
        st.caption(say("quality.rows_from_0"))
        if _named(one) > len(some):
            st.caption(say("quality.rows_first", count=len(some)))


def _named(one: Mapping[str, Any]) -> int:
    """Rows of the check; a short report names the first of them (leaks count fewer than they name)."""
    return max(len(one.get("rows") or ()), int(one.get("count") or 0))


def _of(report: Mapping[str, Any], status: str) -> list[Mapping[str, Any]]:
    return [one for one in report.get("checks") or () if one.get("status") == status]


def _names_of(some: Sequence[Mapping[str, Any]]) -> str:
    return inert(shown.names([name_of(str(one["name"])) for one in some], 4))


def _said(key: str, otherwise: str) -> str:
    return say(key) if key in all_words() else otherwise
