"""Every run there is: found, counted, watched, chosen to open, compare, run again or delete.

Neighbours: ``runs_wanted`` has the filters, ``runs_seen`` what the API says, ``runs_table`` the rows, ``runs_done``
what can be done with those that are chosen.
"""

from __future__ import annotations

import streamlit as st

from finetune30.client import Statistics
from finetune30.errors import Finetune30Error, NotFound, Refused
from finetune30.ui import shown
from finetune30.ui.experiments import runs_chosen, runs_deleted, runs_done, runs_pages, runs_seen, runs_wanted
from finetune30.ui.experiments.runs_seen import LOOK_EVERY_S, Seen
from finetune30.ui.experiments.runs_table import table
from finetune30.ui.experiments.runs_wanted import Wanted
from finetune30.ui.pages import page_of
from finetune30.ui.seats import Seat
from finetune30.ui.shell import act, guarded, here, inert, say, show
from finetune30.ui.tiles import tiles


def page() -> None:
    """The page."""
    st.title(say("shell.experiments"))
    runs_deleted.dialog()
    st.fragment(guarded(_live), run_every=LOOK_EVERY_S)()


def _live() -> None:
    """All that changes, drawn anew every few seconds."""
    seat = here()
    wanted = runs_wanted.wanted(seat)
    seen = _seen(seat, wanted)
    if isinstance(seen, Finetune30Error):
        runs_wanted.controls(seat, (), ())
        show(seen)
    elif not seen.figures.total and wanted.is_everything(seat):
        _newcomer()
    else:
        runs_wanted.controls(seat, [one.base_model for one in seen.figures.by_base_model], seen.people)
        _list(seat, wanted, seen)
        # Below: what one comes for is the list, also on a phone.
        _tiles(seen.figures, seen.paused)
        _by_model(seen.figures)


def _seen(seat: Seat, wanted: Wanted) -> Seen | Finetune30Error:
    try:
        return runs_seen.look(seat, wanted, runs_pages.cursor(wanted))
    except (NotFound, Refused) as fault:
        if runs_pages.cursor(wanted) is None:
            return fault
    except Finetune30Error as fault:
        return fault
    # The run at which this page of the list began is gone.
    runs_pages.restart(wanted)
    return _seen(seat, wanted)


def _list(seat: Seat, wanted: Wanted, seen: Seen) -> None:
    rows = seen.page.items
    runs_chosen.refresh(rows)
    st.subheader(say("experiments.list"))
    if seen.fault is not None:
        st.warning(say("experiments.stale", time=shown.moment(seen.told_at, seconds=True)), icon=":material/cloud_off:")
    if not rows:
        st.info(say("experiments.none_fits"), icon=":material/search_off:")
        st.button(say("experiments.clear"), key="runs_clear_all", on_click=act(runs_wanted.clear))
        return
    runs_done.actions()
    clicked = table(rows, seen.tasks, with_owner=seat.is_admin)
    runs_pages.buttons(wanted, seen.page)
    if clicked is not None:
        st.switch_page(page_of("run"), query_params={"id": clicked.id})


def _tiles(figures: Statistics, paused: int) -> None:
    count = figures.by_status
    told = {
        "total": f"{figures.total:,}",
        "running": f"{count.get('STARTED', 0):,}",
        "waiting": f"{max(0, count.get('PENDING', 0) - paused):,}",
        "paused": f"{paused:,}",
        "best": shown.share(figures.eval_accuracy.max, 1),
        "time": shown.duration(figures.train_runtime.total),
    }
    tiles("runs_tiles", [(say(f"experiments.tile_{name}"), value, None) for name, value in told.items()])
    ended = [f"{shown.state(one).cell}: {count.get(one, 0):,}" for one in ("SUCCESS", "FAILURE", "REVOKED")]
    mean = f"{say('experiments.tile_mean')}: {shown.share(figures.eval_accuracy.mean, 1)}"
    st.caption(inert(" · ".join([*ended, mean])))


def _by_model(figures: Statistics) -> None:
    with st.expander(say("experiments.by_model"), icon=":material/leaderboard:", key="runs_by_model"):
        _models(figures)


def _models(figures: Statistics) -> None:
    column = st.column_config
    st.dataframe(
        [
            {"model": one.base_model, "count": one.count, "best": one.best_accuracy, "mean": one.mean_accuracy}
            for one in figures.by_base_model
        ],
        key="runs_models",
        hide_index=True,
        width="stretch",
        placeholder=shown.NOTHING,
        column_config={
            "model": column.TextColumn(say("experiments.model")),
            "count": column.NumberColumn(say("experiments.tile_total")),
            "best": column.NumberColumn(say("experiments.tile_best"), format="percent"),
            "mean": column.NumberColumn(say("experiments.tile_mean"), format="percent"),
        },
        alt=say("experiments.by_model"),
    )


def _newcomer() -> None:
    """What to do first, for somebody without any run."""
    st.markdown(say("experiments.welcome"))
    steps = (("data", "data", "upload_file"), ("start", "submit", "play_arrow"), ("see", "try", "chat"))
    for column, (step, target, icon) in zip(st.columns(3), steps, strict=True):
        with column.container(border=True, height="stretch", key=f"runs_step_{step}"):
            st.subheader(say(f"experiments.{step}_title"))
            st.markdown(say(f"experiments.{step}_text"))
            first = step == "start"  # the one thing that cannot be skipped
            if st.button(
                say(f"experiments.{step}_go"),
                key=f"runs_go_{step}",
                type="primary" if first else "secondary",
                icon=f":material/{icon}:",
            ):
                st.switch_page(page_of(target))
