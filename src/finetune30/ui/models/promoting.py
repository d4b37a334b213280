"""Aliases: which version is in use, promoted, moved back, taken away; each move is confirmed before it is made.

A move is made from what the person saw: where somebody else moved the alias in between, nothing happens and that is
said. Neighbours: ``client.point`` and its like compare and swap, ``model`` places this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import streamlit as st

from finetune30.client.answers_more import Alias, Model, ModelVersion
from finetune30.errors import Conflict, Finetune30Error, NotFound
from finetune30.ui import shown
from finetune30.ui.pages import page_of
from finetune30.ui.shell import act, guarded, here, inert, say, show

_USUAL = "champion"
_PLAN = "models_plan"


@dataclass(frozen=True)
class Plan:
    """A move that waits for a yes.

    Attributes:
        kind: ``point``, ``rollback`` or ``drop``.
        before: Where the alias pointed when it was planned; 0: nowhere.
        after: Where it is to point.
    """

    kind: str
    model: str
    alias: str
    before: int
    after: int | None = None
    note: str = ""

    @property
    def address(self) -> str:
        """What others ask for."""
        return f"{self.model}@{self.alias}"


def plan(kind: str, model: str, alias: str, before: int, after: int | None = None, note: str = "") -> None:
    """Let the dialog ask for a yes when the page is drawn next."""
    st.session_state[_PLAN] = Plan(kind, model, alias, before, after, note)


def aliases(one: Model, versions: Sequence[ModelVersion], *, mine: bool) -> None:
    """Each alias with where it points; promoting and moving back, for who may."""
    st.subheader(say("models.in_use"), anchor=False)
    if not one.aliases:
        st.info(say("models.no_alias"), icon=":material/flag:")
    accuracy = {each.version: each.eval_accuracy for each in versions}
    for name in sorted(one.aliases):
        try:
            _alias(one, here().client.alias(one.name, name), accuracy, mine=mine)
        except NotFound:
            continue  # taken away since the model was asked for
    if mine and versions:
        with st.popover(say("models.promote"), icon=":material/flag:", key="promote"):
            _promote(one, versions)


def _alias(one: Model, alias: Alias, accuracy: dict[int, float | None], *, mine: bool) -> None:
    with st.container(border=True, key=f"alias_{alias.alias.replace('.', '_')}", gap="small"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.badge(inert(alias.alias), icon=":material/flag:", color="green")
            st.markdown(
                f"**{say('models.points_at', version=alias.version)}** · "
                f"{inert(shown.share(accuracy.get(alias.version)))}"
            )
            st.caption(inert(say("models.moved_by", time=shown.moment(alias.moved_at), who=alias.moved_by)))
        if not mine:
            return
        with st.container(horizontal=True):
            if alias.previous is not None:
                st.button(
                    say("models.rollback", version=alias.previous),
                    icon=":material/undo:",
                    key=f"rollback_{alias.alias}",
                    on_click=act(plan, "rollback", one.name, alias.alias, alias.version, alias.previous),
                )
            st.button(
                say("models.drop"),
                icon=":material/close:",
                key=f"drop_{alias.alias}",
                type="tertiary",
                on_click=act(plan, "drop", one.name, alias.alias, alias.version),
            )


def _promote(one: Model, versions: Sequence[ModelVersion]) -> None:
    known = sorted({*one.aliases, _USUAL}, key=lambda name: (name != _USUAL, name))
    alias = st.selectbox(
        say("models.alias"),
        known,
        key=f"promote_alias_{one.name}",
        accept_new_options=True,
        help=say("models.alias_help"),
    )
    numbers = [each.version for each in versions]
    told = {each.version: f"{each.version} · {shown.share(each.eval_accuracy)} · {each.note}" for each in versions}
    number = st.selectbox(
        say("models.version"), numbers, key=f"promote_version_{one.name}", format_func=told.__getitem__
    )
    note = st.text_input(say("models.note"), key=f"promote_note_{one.name}", max_chars=500)
    st.button(
        say("models.promote_to", version=number),
        key="promote_plan",
        type="primary",
        icon=":material/flag:",
        disabled=one.aliases.get(alias or "") == number,
        on_click=act(plan, "point", one.name, (alias or "").strip(), one.aliases.get(alias or "", 0), number, note),
    )


def dialog(versions: Sequence[ModelVersion]) -> None:
    """Asks for a yes, where something is planned."""
    planned: Plan | None = st.session_state.get(_PLAN)
    if planned is None:
        return
    ask = st.dialog(say("models.confirm"), icon=":material/flag:", on_dismiss=act(_forget))(
        guarded(partial(_asked, planned, versions))
    )
    ask()


def _asked(planned: Plan, versions: Sequence[ModelVersion]) -> None:
    kind = "new" if planned.kind == "point" and not planned.before else planned.kind
    told = {"alias": planned.alias, "address": planned.address, "before": planned.before, "after": planned.after}
    st.markdown(say(f"models.sure_{kind}", **{name: inert(str(value)) for name, value in told.items()}))
    _compared(planned, versions)
    yes, no = st.columns(2)
    if no.button(say("models.no"), key="plan_no", width="stretch"):
        _forget()
        st.rerun()
    if not yes.button(say(f"models.yes_{planned.kind}"), key="plan_yes", type="primary", width="stretch"):
        return
    try:
        _make(planned)
    except (Conflict, NotFound) as fault:
        _overtaken(planned, fault)
        return
    except Finetune30Error as fault:
        show(fault)
        return
    _forget()
    done = "drop" if planned.kind == "drop" else "point"
    st.toast(inert(say(f"models.done_{done}", alias=planned.address, version=planned.after)), icon=":material/check:")
    st.rerun()


def _compared(planned: Plan, versions: Sequence[ModelVersion]) -> None:
    """How good the two are, where both are known, and the way to all of it."""
    by_number = {each.version: each for each in versions}
    before, after = by_number.get(planned.before), by_number.get(planned.after or 0)
    if before is None or after is None:
        return
    change, same = None, same_data(before.dataset_hash, after.dataset_hash)
    if not same:
        st.warning(say("models.other_data"), icon=":material/warning:")
    if before.eval_accuracy is not None and after.eval_accuracy is not None:
        change = say("models.change_points", change=f"{100 * (after.eval_accuracy - before.eval_accuracy):+.2f}")
    left, right = st.columns(2)
    name = say("models.accuracy")
    left.metric(f"{name} · {before.version}", shown.share(before.eval_accuracy))
    moved = same and before.eval_accuracy != after.eval_accuracy
    right.metric(
        f"{name} · {after.version}",
        shown.share(after.eval_accuracy),
        change,
        delta_color="normal" if moved else "off",
        delta_arrow="auto" if moved else "off",
    )
    ids = f"{before.experiment_id},{after.experiment_id}"
    st.page_link(
        page_of("compare"), label=inert(say("models.compare")), icon=":material/compare:", query_params={"ids": ids}
    )


def same_data(before: str | None, after: str | None) -> bool:
    """Whether two were trained and measured on the same rows, as far as that is known."""
    return before is not None and before == after


def _make(planned: Plan) -> None:
    client, expected = here().client, planned.before
    if planned.kind == "point" and planned.after is not None:
        client.point(planned.model, planned.alias, planned.after, expected=expected, note=planned.note)
    elif planned.kind == "rollback":
        client.rollback(planned.model, planned.alias, expected=expected)
    else:
        client.drop_alias(planned.model, planned.alias, expected=expected)


def _overtaken(planned: Plan, fault: Finetune30Error) -> None:
    try:
        now: int | None = here().client.alias(planned.model, planned.alias).version
    except NotFound:
        now = None
    if (now or 0) == planned.before:  # not for that
        show(fault)
        return
    where = say("models.nothing") if now is None else say("models.points_at", version=now)
    st.warning(say("models.conflict", alias=inert(planned.alias), now=where), icon=":material/sync_problem:")
    st.button(say("models.look_again"), key="plan_again", icon=":material/refresh:", on_click=act(_look_again))


def _look_again() -> None:
    """A new look at all of the page follows."""
    _forget()
    st.session_state["models_looked"] = st.session_state.get("models_looked", 0) + 1


def _forget() -> None:
    st.session_state.pop(_PLAN, None)
