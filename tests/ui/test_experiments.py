"""The list of runs: what it shows, finds, counts; what stays chosen; what is deleted. S105 and S106 for this page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from finetune30.client.answers import Progress
from finetune30.experiments import Status
from finetune30.ui.experiments import runs_chosen, runs_seen, runs_table, runs_wanted
from finetune30.ui.seats import Seat
from finetune30.ui.words import words
from tests.api.service import Service
from tests.registered import succeed

Look = Callable[..., AppTest]


def start(seat: Seat, *names: str, **changes: Any) -> list[str]:
    """Trainings of these names, submitted and waiting."""
    return [seat.client.train({"experiment_name": name, **changes}).task_id for name in names]


def figures(accuracy: float, runtime_s: float) -> dict[str, Any]:
    """Those of a run that ended."""
    return {"eval": {"accuracy": accuracy}, "train": {"runtime_s": runtime_s}}


def rows(page: AppTest) -> list[str]:
    """Names in the table of runs, as they stand there."""
    return [name for table in page.dataframe if "now" in table.value for name in table.value["name"]]


def cells(page: AppTest) -> Any:
    """The table of runs."""
    return next(table.value for table in page.dataframe if "now" in table.value)


def mark(page: AppTest, *places: int) -> AppTest:
    """Mark rows, as a click in the table tells it."""
    from finetune30.ui.experiments.runs_table import KEY

    some = page.session_state["runs_seen"].page.items
    page.session_state[KEY] = {"selection": {"rows": list(places), "columns": [], "cells": []}}
    page.session_state["runs_chosen"] = {some[place].id: some[place] for place in places}
    return page.run()


def said(page: AppTest) -> str:
    """All words of the page."""
    kinds = (page.title, page.subheader, page.markdown, page.caption, page.text, page.info, page.warning, page.error)
    return "\n".join(str(one.value) for kind in kinds for one in kind)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every look asks the API."""
    monkeypatch.setattr(runs_seen, "_NEW_S", {True: -1.0, False: -1.0})
    return


def test_a_newcomer_is_shown_three_steps_and_a_way_to_each(ana: Seat, run_page: Look) -> None:
    page = run_page("experiments", ana)

    assert not page.exception
    assert not page.error
    assert not page.dataframe
    assert {"runs_go_data", "runs_go_start", "runs_go_see"} <= {button.key for button in page.button}
    page.button(key="runs_go_start").click().run()
    assert page.title[0].value != words("shell.experiments", "en")


def test_every_run_is_in_the_table_and_counted(ana: Seat, bo: Seat, service: Service, run_page: Look) -> None:
    first, second, third = start(ana, "one", "two", "three")
    start(bo, "of somebody else")
    service.ended(first, **figures(0.9, 4.0))
    service.ended(second, Status.FAILURE)

    page = run_page("experiments", ana)

    assert rows(page) == ["three", "two", "one"]
    shown = cells(page)
    assert list(shown["accuracy"])[2] == 90.0
    assert list(shown["id"]) == [third, second, first]
    assert [state[0] for state in shown["state"]] == ["○ Waiting", "✕ Failed", "✓ Done"]
    assert next(iter(shown["now"])).startswith(("place ", "#"))
    tiles = {tile.label: tile.value for tile in page.metric}
    assert (tiles["Runs"], tiles["Waiting"], tiles["Best, any data"]) == ("3", "1", "90.0 %")
    assert "of somebody else" not in said(page)
    assert not page.exception


def test_where_a_run_stands_fits_its_cell(ana: Seat) -> None:
    (id,) = start(ana, "one")
    run, task = ana.client.experiment(id), ana.client.task(id)
    waiting = task.model_copy(update={"position": 12, "starts_in_s": 1800.0})
    running = task.model_copy(
        update={"status": "STARTED", "progress": Progress(step=48, total=100, eta_s=50 * 60.0 + 17)}
    )

    assert runs_table.where_it_stands(run, waiting) == "#12, ~30 min"
    assert runs_table.where_it_stands(run, running) == "48 %, 50 min left"


def test_s106_nobody_sees_what_another_one_has_whatever_the_address_says(ana: Seat, bo: Seat, run_page: Look) -> None:
    start(ana, "a secret")
    start(bo, "bos own")

    for query in ({"owner": ana.person.name}, {"owner": "*"}, {"q": f"owner = {ana.person.name} OR status = PENDING"}):
        page = run_page("experiments", bo, **query)
        assert "a secret" not in said(page) + str(rows(page))
        assert rows(page) == ["bos own"]


def test_an_admin_sees_everybodys_and_may_ask_for_one(ana: Seat, root: Seat, run_page: Look) -> None:
    start(ana, "of ana")

    page = run_page("experiments", root)
    assert "of ana" in rows(page)
    assert "owner" in cells(page)
    page = run_page("experiments", root, owner=ana.person.name)
    assert rows(page) == ["of ana"]
    page = run_page("experiments", root, owner="me")
    assert rows(page) == []
    assert page.selectbox(key="runs_owner").value == "me"


def test_paused_runs_are_a_state_of_their_own_and_not_among_those_that_wait(ana: Seat, run_page: Look) -> None:
    waiting, paused = start(ana, "waiting", "paused")
    ana.client.pause(paused)

    for state, found in (("PENDING", ["waiting"]), ("PAUSED", ["paused"]), ("", ["paused", "waiting"])):
        page = run_page("experiments", ana, state=state, q=f"id IN ({waiting}, {paused})")
        assert rows(page) == found, state
        assert page.selectbox(key="runs_state").value == state
    page = run_page("experiments", ana, state="PAUSED")
    assert "‖ Paused" in page.selectbox(key="runs_state").options
    assert [state[0] for state in cells(page)["state"]] == ["‖ Paused"]


def test_filters_stand_in_the_address_and_narrow_the_list(ana: Seat, service: Service, run_page: Look) -> None:
    good, bad, waiting = start(ana, "good film", "bad film", "good book")
    service.ended(good, **figures(0.9, 60.0))
    service.ended(bad, **figures(0.4, 600.0))

    for query, found in (
        ({"find": "FILM"}, ["bad film", "good film"]),
        ({"state": "PENDING"}, ["good book"]),
        ({"sort": "best"}, ["good film", "bad film", "good book"]),
        ({"sort": "name"}, ["bad film", "good book", "good film"]),
        ({"accuracy": "50"}, ["good film"]),
        ({"minutes": "2"}, ["good film"]),
        ({"model": "builtin:minilm", "state": "SUCCESS"}, ["bad film", "good film"]),
        ({"data": "reviews", "q": "accuracy < 0.5 OR name = 'good book'"}, ["good book", "bad film"]),
        ({"from": "2000-01-01", "to": "2000-01-02"}, []),
        ({"sort": "no such order", "accuracy": "much", "from": "yesterday"}, ["good book", "bad film", "good film"]),
    ):
        page = run_page("experiments", ana, **query)
        assert rows(page) == found, query
        assert not page.exception
        assert not page.error
    assert waiting


def test_what_is_typed_goes_into_the_address_and_can_be_cleared(ana: Seat, run_page: Look) -> None:
    start(ana, "one", "two")
    page = run_page("experiments", ana)

    page.text_input(key="runs_find").set_value("tw").run()
    assert rows(page) == ["two"]
    assert page.query_params["find"] == "tw"
    page.text_input(key="runs_find").set_value("nothing like it").run()
    assert rows(page) == []
    assert words("experiments.none_fits", "en") in said(page)
    page.button(key="runs_clear_all").click().run()
    assert rows(page) == ["two", "one"]
    assert "find" not in page.query_params


def test_a_faulty_filter_is_named_by_its_own_characters_and_stays(ana: Seat, run_page: Look) -> None:
    start(ana, "one")

    page = run_page("experiments", ana, q="acuracy > 0.5", data="reviews")

    assert "character 1" in page.error[0].value.replace("\\", "")
    assert "accuracy" in page.info[0].value
    assert page.text_input(key="runs_q").value == "acuracy > 0.5"
    page.text_input(key="runs_q").set_value("accuracy IS NULL").run()
    assert rows(page) == ["one"]
    assert not page.error


def test_texts_of_filters_are_quoted(ana: Seat, run_page: Look) -> None:
    start(ana, "one")

    for text in ('a" OR name ~ "', "back\\slash", 'tab\tand "quote\\"', "'"):
        page = run_page("experiments", ana, data=text)
        assert rows(page) == [], text
        assert not page.error, text


def test_chosen_rows_stay_chosen_while_rows_move(ana: Seat, run_page: Look, quick: None) -> None:
    first, *_ = start(ana, "one", "two")
    page = mark(run_page("experiments", ana), 1)
    assert "1 chosen: one" in said(page)

    start(ana, "three")
    page.run()

    assert rows(page) == ["three", "two", "one"]
    assert list(page.session_state["runs_table"]["selection"]["rows"]) == [2]
    assert list(page.session_state["runs_chosen"]) == [first]


def test_marks_are_taken_by_id_and_those_of_other_pages_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    state: dict[str, Any] = {}
    monkeypatch.setattr(runs_chosen.st, "session_state", state)
    one, two, three = (Fake(name) for name in ("one", "two", "three"))

    runs_chosen.take([0], [one, two])  # type: ignore[list-item]
    runs_chosen.take([0], [three])  # type: ignore[list-item]
    assert [run.id for run in runs_chosen.chosen()] == ["one", "three"]
    runs_chosen.take([7, 1], [one, two])  # type: ignore[list-item]
    assert [run.id for run in runs_chosen.chosen()] == ["three", "two"]


class Fake:
    """Something with an id."""

    def __init__(self, id: str) -> None:
        self.id = id


def test_buttons_say_what_can_be_done_with_so_many(ana: Seat, run_page: Look) -> None:
    start(ana, *"abcdef")
    page = run_page("experiments", ana)

    def enabled() -> set[str]:
        names, shown = ("open", "compare", "again", "delete"), {one.key: one.disabled for one in page.button}
        return {name for name in names if shown.get(f"runs_{name}_chosen") is False}

    assert enabled() == set()
    mark(page, 0)
    assert enabled() == {"open", "compare", "again", "delete"}
    mark(page, 0, 1, 2, 3, 4)
    assert enabled() == {"compare", "delete"}
    mark(page, *range(6))
    assert enabled() == {"delete"}
    assert "At most 5" in said(page)


def test_opening_and_comparing_carry_the_ids(ana: Seat, run_page: Look) -> None:
    first, second = start(ana, "one", "two")

    page = mark(run_page("experiments", ana), 0)
    page.button(key="runs_open_chosen").click().run()
    assert page.query_params["id"] == second
    page = mark(run_page("experiments", ana), 0, 1)
    page.button(key="runs_compare_chosen").click().run()
    assert page.query_params["ids"] == f"{first},{second}"
    page = mark(run_page("experiments", ana), 1)
    page.button(key="runs_again_chosen").click().run()
    assert page.query_params["from"] == first


def test_deleting_asks_says_what_it_frees_and_keeps_what_runs(ana: Seat, service: Service, run_page: Look) -> None:
    done, waiting = start(ana, "done one", "waits")
    service.ended(done, **figures(0.5, 1.0))
    folder = service.settings.results_dir / done
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.json").write_bytes(b" " * 3000)
    page = mark(run_page("experiments", ana), 0, 1)

    page.button(key="runs_delete_chosen").click().run()
    asked = said(page)
    assert "2.9 KiB" in asked
    assert "waits" in asked
    assert done in asked
    page.button(key="runs_delete_no").click().run()
    assert len(rows(page)) == 2
    page.button(key="runs_delete_chosen").click().run()
    page.button(key="runs_delete_yes").click().run()

    assert not page.exception
    assert rows(page) == ["waits"]
    assert not folder.exists()
    assert not page.warning
    assert "Deleted: 1; 2.9 KiB are free again." in [toast.value for toast in page.toast]
    assert list(page.session_state["runs_chosen"]) == [waiting]


def test_what_refuses_to_be_deleted_stays_and_says_why(ana: Seat, service: Service, run_page: Look) -> None:
    (done,) = start(ana, "done")
    succeed(service.services.jobs.store, service.settings.results_dir, done)
    ana.client.register("films", done)
    page = mark(run_page("experiments", ana), 0)
    page.button(key="runs_delete_chosen").click().run()

    page.button(key="runs_delete_yes").click().run()

    assert "done stays" in page.warning[0].value
    assert "films" in page.warning[0].value
    assert "done" in rows(page)


def test_long_lists_have_pages_and_the_place_is_in_the_address(
    ana: Seat, run_page: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs_seen, "PAGE_ROWS", 2)
    ids = start(ana, *"abcde")
    page = run_page("experiments", ana)

    page.button(key="runs_next").click().run()
    assert rows(page) == ["c", "b"]
    assert page.query_params["after"] == ids[3]
    assert rows(run_page("experiments", ana, after=ids[3])) == ["c", "b"]
    page.button(key="runs_next").click().run()
    assert rows(page) == ["a"]
    assert page.button(key="runs_next").disabled
    page.button(key="runs_previous").click().run()
    page.button(key="runs_previous").click().run()
    assert rows(page) == ["e", "d"]
    assert "after" not in page.query_params
    page.button(key="runs_next").click().run()
    page.text_input(key="runs_find").set_value("e").run()
    assert rows(page) == ["e"]
    assert rows(run_page("experiments", ana, after="no_such_run")) == ["e", "d"]


def test_an_api_that_is_away_is_told_calmly_and_the_last_list_stays(
    ana: Seat, service: Service, cut_off: Seat, run_page: Look, quick: None
) -> None:
    page = run_page("experiments", cut_off, find="kept")
    assert words("shell.away", "en") in said(page)
    assert not page.exception
    assert page.text_input(key="runs_find").value == "kept"

    start(ana, "one")
    page = run_page("experiments", ana)
    ours, ana.client = ana.client, cut_off.client
    page.run()
    assert rows(page) == ["one"]
    assert "The server does not answer just now" in page.warning[0].value
    ana.client = ours
    page.run()
    assert rows(page) == ["one"]
    assert not page.warning


def test_clicks_ask_the_api_nothing_new(ana: Seat, cut_off: Seat, run_page: Look) -> None:
    start(ana, "one")
    page = run_page("experiments", ana)

    ana.client, ours = cut_off.client, ana.client
    mark(page, 0)
    assert rows(page) == ["one"]
    assert not page.warning
    ana.client = ours


def test_s105_what_somebody_wrote_is_no_markup(ana: Seat, run_page: Look) -> None:
    name = "__bold__ -x- 1. a_b_c"
    start(ana, name)

    page = mark(run_page("experiments", ana), 0)

    assert rows(page) == [name]
    assert "\\_\\_bold\\_\\_" in said(page)
    assert "__bold__" not in said(page)


def test_in_chinese(service: Service, seat_of: Callable[..., Seat], run_page: Look) -> None:
    seat = seat_of(service.person(), "zh-TW")
    assert "三個步驟" in said(run_page("experiments", seat))
    start(seat, "評論")
    page = run_page("experiments", seat)

    assert page.title[0].value == "實驗"
    assert [state[0] for state in cells(page)["state"]] == ["○ 等待中"]
    assert page.selectbox(key="runs_sort").options[0] == "最新優先"


def test_days_begin_and_end_where_the_page_is() -> None:
    from datetime import date

    from finetune30.ui import shell
    from finetune30.ui.options import Options

    before = shell.OPTIONS
    shell.configure(Options(tz="Asia/Taipei"))
    try:
        assert runs_wanted._moment(date(2026, 1, 31)) == "2026-01-31T00:00:00+08:00"
        assert runs_wanted._moment(date(2026, 1, 31), ends=True) == "2026-01-31T23:59:59.999999+08:00"
        assert runs_wanted._moment(None) is None
    finally:
        shell.configure(before)


def test_the_address_without_a_path_leads_to_the_list(ana: Seat, run_page: Look) -> None:
    page = run_page("home", ana)

    assert not page.exception
    assert page.title[0].value == words("shell.experiments", "en")


def test_what_can_be_done_is_shown_once_something_is_chosen(ana: Seat, run_page: Look) -> None:
    start(ana, "one")
    page = run_page("experiments", ana)
    assert "runs_open_chosen" not in {one.key for one in page.button}

    page = mark(page, 0)

    assert {"runs_open_chosen", "runs_delete_chosen"} <= {one.key for one in page.button}
