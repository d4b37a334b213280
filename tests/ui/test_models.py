"""Pages of models, their versions and aliases, against the real API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import update

from finetune30.experiments import tables
from finetune30.ui.seats import Seat
from finetune30.ui.words import words
from tests.api.service import Service
from tests.registered import trained

Run = Callable[..., Any]
Trained = Callable[..., str]
MARKUP = "**b** ![x](http://evil/p.png) <script>alert(1)</script> [a](javascript:alert(1))"


@pytest.fixture
def run_of(service: Service) -> Trained:
    """The id of a run of somebody's that has succeeded."""

    def made(seat: Seat, accuracy: float = 0.9, name: str = "films") -> str:
        store, results = service.services.jobs.store, service.settings.results_dir
        return trained(store, results, owner=seat.person.name, accuracy=accuracy, name=name)

    return made


@pytest.fixture
def films(ana: Seat, run_of: Trained) -> str:
    """A model of ana's with two versions; champion is the second, and was the first."""
    name = f"m-{ana.person.name}"
    ana.client.register(name, run_of(ana, 0.8), alias="champion", note=MARKUP, description=MARKUP)
    ana.client.register(name, run_of(ana, 0.9))
    ana.client.point(name, "champion", 2, expected=1)
    return name


def pressed(page: Any, key: str) -> Any:
    return page.button(key=key).click().run()


def points_at(seat: Seat, name: str, alias: str = "champion") -> int | None:
    return seat.client.model(name).aliases.get(alias)


def test_a_newcomer_is_shown_the_way_to_a_model(ana: Seat, run_page: Run) -> None:
    page = run_page("models", ana)

    assert not page.exception
    assert any("No model yet" in one.value for one in page.markdown)
    assert page.button(key="models_to_runs")


def test_the_list_holds_what_one_may_use(ana: Seat, bo: Seat, films: str, run_page: Run) -> None:
    told = run_page("models", ana).dataframe[0].value
    assert (list(told["name"]), list(told["aliases"])) == ([films], ["champion → 2"])
    assert not run_page("models", bo).dataframe
    ana.client.change_model(films, visibility="team")
    page = run_page("models", bo)
    assert films in list(page.dataframe[0].value["name"])
    page.text_input(key="models_search").set_value("no-such").run()
    assert not page.dataframe
    assert page.info


def test_s105_what_others_wrote_of_a_model_is_inert(ana: Seat, films: str, run_page: Run) -> None:
    page = run_page("models", ana, name=films, version="1")

    assert not page.exception
    read = [str(one.value) for kind in ("markdown", "caption", "title", "info") for one in page.get(kind)]
    for raw in ("![x]", "<script>", "[a]("):
        assert not any(raw in one for one in read)
    assert page.text[0].value == MARKUP


def test_a_version_tells_where_it_comes_from(ana: Seat, films: str, run_page: Run) -> None:
    page = run_page("models", ana, name=films, version="1")

    assert not page.exception
    assert page.metric[0].value == "80.00 %"
    told = [one.value for one in page.text]
    assert any(f"{films}/2" in one for one in told)  # what else was trained on these rows
    assert any(len(one) == 64 for one in told)


def test_a_version_is_promoted_after_a_yes_and_moved_back(ana: Seat, films: str, run_page: Run) -> None:
    page = run_page("models", ana, name=films, version="1")

    page = pressed(page, "version_promote")
    assert points_at(ana, films) == 2  # nothing without a yes
    assert any("points at version 2 now" in one.value for one in page.markdown)
    page = pressed(page, "plan_yes")
    assert not page.exception
    assert points_at(ana, films) == 1

    page = pressed(page, "rollback_champion")
    page = pressed(page, "plan_no")
    assert points_at(ana, films) == 1
    page = pressed(page, "rollback_champion")
    page = pressed(page, "plan_yes")
    assert points_at(ana, films) == 2


def test_a_move_that_was_overtaken_does_nothing_and_says_so(
    ana: Seat, films: str, run_of: Trained, run_page: Run
) -> None:
    page = pressed(run_page("models", ana, name=films, version="1"), "version_promote")
    ana.client.register(films, run_of(ana, 0.95), alias="champion")

    page = pressed(page, "plan_yes")

    assert not page.exception
    (told,) = [one.value for one in page.warning if "Nothing was done" in one.value]
    assert "version 3" in told
    assert points_at(ana, films) == 3
    page = pressed(page, "plan_again")
    assert not any("Nothing was done" in one.value for one in page.warning)


def test_an_alias_is_made_and_taken_away(ana: Seat, films: str, run_page: Run) -> None:
    page = run_page("models", ana, name=films)
    page.selectbox(key=f"promote_alias_{films}").set_value("champion")
    page.selectbox(key=f"promote_version_{films}").select(1)
    page.text_input(key=f"promote_note_{films}").set_value("calmer")
    page = pressed(page.run(), "promote_plan")
    page = pressed(page, "plan_yes")
    assert points_at(ana, films) == 1
    assert next(ana.client.alias_history(films, "champion")).note == "calmer"

    page = pressed(page, "drop_champion")
    page = pressed(page, "plan_yes")
    assert not page.exception
    assert points_at(ana, films) is None


def test_a_run_is_registered_and_a_refusal_keeps_what_was_typed(ana: Seat, run_of: Trained, run_page: Run) -> None:
    run, name = run_of(ana, 0.75, "first"), f"new-{ana.person.name}"
    ana.client.register(name, run_of(ana))
    page = run_page("models", ana, register=run)
    assert not page.exception
    assert "75.00" in page.markdown[0].value.replace("\\", "")

    page.selectbox(key="register_name").set_value(name)
    page.text_input(key="register_alias").set_value("No Such Alias!")
    page = pressed(page, "register_yes")
    assert words("models.alias_rule", "en") in [one.value for one in page.error]
    assert "body" not in "".join(one.value for one in page.error)
    assert page.text_input(key="register_alias").value == "No Such Alias!"
    page.text_input(key="register_alias").set_value("champion")
    page = pressed(page, "register_yes")

    assert not page.exception
    assert page.query_params["name"] in (name, [name])
    assert points_at(ana, name) == 2


def test_a_run_of_other_data_is_registered_after_a_warning(
    ana: Seat, service: Service, run_of: Trained, run_page: Run
) -> None:
    name, other = f"new-{ana.person.name}", run_of(ana)
    ana.client.register(name, run_of(ana), alias="champion")
    store = service.services.jobs.store
    with store.engine.begin() as connection:  # as if it had been trained on other rows
        connection.execute(update(tables.experiments).where(tables.experiments.c.id == other).values(dataset_hash="c"))
    page = run_page("models", ana, register=other)
    page.selectbox(key="register_name").set_value(name)

    page = pressed(page, "register_yes")
    assert "other data" in page.warning[0].value
    assert ana.client.model(name).versions == 1
    page = pressed(page, "register_yes")

    assert not page.exception
    assert ana.client.model(name).versions == 2


def test_only_a_run_that_succeeded_is_registered(ana: Seat, run_page: Run) -> None:
    task = ana.client.train({"experiment_name": "waits"})
    page = run_page("models", ana, register=task.task_id)
    assert not page.exception
    assert "succeeded" in page.warning[0].value
    ana.client.cancel(task.task_id)


def test_others_read_a_team_model_and_change_nothing(ana: Seat, bo: Seat, films: str, run_page: Run) -> None:
    page = run_page("models", bo, name=films)
    assert words("shell.not_there", "en") in [one.value for one in page.info]
    assert not page.error
    assert not page.dataframe

    ana.client.change_model(films, visibility="team")
    page = run_page("models", bo, name=films, version="1")
    assert not page.exception
    assert page.dataframe
    keys = {one.key for one in page.button}
    assert not keys & {"rollback_champion", "drop_champion", "version_promote", "promote_plan", "model_delete_yes"}


def test_a_model_is_changed_and_deleted(ana: Seat, films: str, run_page: Run) -> None:
    page = run_page("models", ana, name=films)
    page.text_area(key=f"model_description_{films}").set_value("For films.")
    page.radio(key=f"model_visibility_{films}").set_value("team")
    page = pressed(page, "model_save")
    assert not page.exception
    assert (ana.client.model(films).description, ana.client.model(films).visibility) == ("For films.", "team")

    assert page.button(key="model_delete_yes").disabled
    page = page.text_input(key=f"model_delete_name_{films}").set_value(films).run()
    page = pressed(page, "model_delete_yes")
    assert not page.exception
    assert list(ana.client.models(owner="me")) == []
    assert page.title[0].value == "Models"


def test_a_version_in_use_is_not_taken_away(ana: Seat, films: str, run_page: Run) -> None:
    page = pressed(run_page("models", ana, name=films, version="2"), "version_delete_yes")
    assert page.error
    assert ana.client.model(films).versions == 2
    page = pressed(run_page("models", ana, name=films, version="1"), "version_delete_yes")
    assert not page.exception
    assert ana.client.model(films).versions == 1


def test_an_api_that_is_down_is_told_calmly(cut_off: Seat, run_page: Run) -> None:
    for query in ({}, {"name": "films"}, {"register": "first_20260101_000000"}):
        page = run_page("models", cut_off, **query)
        assert not page.exception
        assert "Nothing is lost" in page.warning[0].value


def test_in_chinese(ana: Seat, films: str, run_of: Trained, run_page: Run) -> None:
    ana.language = "zh-TW"
    run = run_of(ana)
    for query in ({}, {"name": films, "version": "1"}, {"register": run}):
        assert not run_page("models", ana, **query).exception
    page = pressed(run_page("models", ana, name=films, version="1"), "version_promote")
    assert any("目前指向版本 2" in one.value for one in page.markdown)
