"""What the page is for, from the login to the logout, in a real browser before real processes; in both languages.

Nothing is replaced: the file is checked, three trainings run, predictions come from ``finetune30 serve``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests import tiny
from tests.ui.browser import Visit, launched
from tests.ui.world import World

pytest.importorskip("streamlit", reason="the page is not installed: pip install 'finetune30[ui]'")

pytestmark = pytest.mark.timeout(600)
_ROWS = tiny.rows(80)
_OTHER = {"positive": "negative", "negative": "positive"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as found:
        yield found


@pytest.fixture(scope="module")
def world(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    found = World(tmp_path_factory.mktemp("world"))
    try:
        for name in ("ana", "mei"):
            found.person(name)
        found.start("api", "worker", "page", "serving")
        yield found
    finally:
        found.close()


@pytest.mark.parametrize(("language", "name"), [("en", "ana"), ("zh-TW", "mei")])
def test_from_the_login_to_the_logout(browser: Any, world: World, language: str, name: str) -> None:
    visit = Visit(browser, world.url, language)
    visit.log_in(name)

    _sends_faulty_data(visit)
    _sends_mended_data(visit)
    first = _trains_on_it(visit)
    _watches_it(visit, first)
    second = _trains_again(visit, first, epochs=2)
    visit.link("run.register").wait_for()
    _cancels_another(visit, second)
    _compares_two(visit)
    _tries_a_sentence(visit, first)
    _registers(visit, first, f"films-{name}", version=1)
    _registers(visit, second, f"films-{name}", version=2)
    _promotes_and_rolls_back(visit, f"films-{name}")
    _leaves(visit, first)

    assert visit.elsewhere == []
    assert visit.faults == []
    visit.close()


def _csv(*more: tuple[str, str]) -> bytes:
    return "\n".join(["text,label", *(f"{text},{label}" for text, label in [*_ROWS, *more])]).encode()


def _send(visit: Visit, name: str, content: bytes) -> None:
    file = {"name": name, "mimeType": "text/csv", "buffer": content}
    visit.tab.get_by_test_id("stFileUploader").locator("input[type=file]").set_input_files(file)
    visit.press("data_send")
    visit.heading(name).wait_for()


def _sends_faulty_data(visit: Visit) -> None:
    visit.menu("data")
    _send(visit, "faulty.csv", _csv(("  ", "positive"), *((text, _OTHER[label]) for text, label in _ROWS[:5])))

    checks = visit.key("data_quality-contradictory_label")
    checks.get_by_text(visit.say("quality.check_contradictory_label")).first.wait_for()
    assert visit.say("quality.FAIL") in checks.inner_text()
    assert visit.say("quality.rows_named", count=10) in checks.inner_text()
    assert visit.say("quality.check_empty") in visit.key("data_quality-empty").inner_text()


def _sends_mended_data(visit: Visit) -> None:
    visit.press("data_back")
    visit.heading(visit.say("shell.data")).wait_for()
    _send(visit, "films.csv", _csv())
    visit.key("data_train").wait_for()
    assert visit.key("data_quality-contradictory_label").count() == 0


def _trains_on_it(visit: Visit) -> str:
    visit.press("data_train")
    visit.heading(visit.say("submit.title")).wait_for()
    visit.sees("submit.good")
    return _start(visit)


def _watches_it(visit: Visit, run: str) -> None:
    other = visit.open_tab()
    other.goto(visit.tab.url)
    visit.key("stepper", other).wait_for()
    visit.tab.reload()
    visit.tab.locator(".st-key-cancel, .st-key-delete").first.wait_for()
    assert visit.key("cancel").count(), "the training has ended before it was looked at again"

    for tab in (visit.tab, other):
        visit.link("run.register", tab).wait_for()
        assert run in tab.url
    visit.sees("run.per_class")
    other.close()


def _trains_again(visit: Visit, run: str, epochs: int) -> str:
    visit.go(f"/run?id={run}")
    visit.link("run.again").click()
    visit.heading(visit.say("submit.title")).wait_for()
    field = visit.tab.locator("[class*=st-key-field-training-num_train_epochs] input")
    field.fill(str(epochs))
    field.press("Enter")
    visit.sees("submit.changed", count=1)
    visit.sees("submit.good")
    return _start(visit)


def _start(visit: Visit) -> str:
    visit.tab.locator(".st-key-start button:enabled").click()
    visit.key("stepper").wait_for()
    return str(visit.tab.url).split("id=")[1]


def _cancels_another(visit: Visit, run: str) -> None:
    _trains_again(visit, run, epochs=900)
    visit.sees("run.axis_loss")  # it trains
    visit.press("cancel")
    visit.press("cancel_yes")
    visit.key("afresh").wait_for()


def _compares_two(visit: Visit) -> None:
    visit.menu("experiments")
    for row in (1, 2):  # below the one that was cancelled
        visit.mark("runs_table", row)
        visit.tab.get_by_text(visit.say("experiments.chosen", count=row, names="|").split("|")[0]).first.wait_for()
    visit.tab.locator(".st-key-runs_compare_chosen button:enabled").first.click()
    visit.heading(visit.say("compare.title")).wait_for()
    visit.key("compare_card_A").wait_for()
    visit.key("compare_card_B").wait_for()
    visit.sees("compare.flips")


def _tries_a_sentence(visit: Visit, run: str) -> None:
    visit.go(f"/run?id={run}")
    visit.link("run.try").click()
    visit.heading(visit.say("shell.try")).wait_for()
    visit.tab.get_by_label(visit.say("tryout.text")).fill("the film was superb and lovely")
    visit.press("try_ask")
    answer = visit.key("try_answer_0")
    answer.wait_for()
    assert run in visit.tab.url
    assert any(label in answer.inner_text() for label in ("positive", "negative"))


def _registers(visit: Visit, run: str, model: str, version: int) -> None:
    visit.go(f"/run?id={run}")
    visit.link("run.register").click()
    field = visit.key("register_name").locator("input").first
    field.fill(model)
    field.press("Enter")
    visit.press("register_yes")
    visit.key("model_version").get_by_role("heading", name=visit.say("models.details", version=version)).wait_for()


def _promotes_and_rolls_back(visit: Visit, model: str) -> None:
    for version in (1, 2):
        visit.go(f"/models?name={model}&version={version}")
        visit.press("version_promote")
        visit.press("plan_yes")
        _points_at(visit, version)
    visit.press("rollback_champion")
    visit.press("plan_yes")
    _points_at(visit, 1)


def _points_at(visit: Visit, version: int) -> None:
    visit.key("alias_champion").get_by_text(visit.say("models.points_at", version=version)).wait_for()


def _leaves(visit: Visit, run: str) -> None:
    visit.press("logout")
    visit.tab.get_by_text(visit.say("door.left")).wait_for()
    visit.tab.goto(f"/run?id={run}")
    visit.tab.get_by_label(visit.say("door.password"), exact=True).wait_for()
    assert run not in visit.tab.content().replace(f"id%3D{run}", "").replace(f"id={run}", "")
