"""The page for admins, against the real API."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from finetune30.client import Client
from finetune30.errors import Denied
from finetune30.ui.seats import Seat
from tests.api.service import PASSWORD, Service

Run = Callable[..., Any]
NEW = "four other words again"


def person_of(root: Seat, name: str) -> Any:
    return next(one for one in root.client.users() if one.name == name)


def chosen(page: Any, user_id: str) -> Any:
    page.session_state["user_chosen"] = user_id
    return page.run()


def test_a_user_finds_no_such_page(ana: Seat, run_page: Run) -> None:
    page = run_page("admin", ana)
    assert not page.exception
    assert not page.metric
    with pytest.raises(Denied):
        ana.client.workers()


def test_health_workers_and_what_waits(root: Seat, ana: Seat, service: Service, run_page: Run) -> None:
    queue, store = service.services.jobs.queue, service.services.jobs.store
    page = run_page("admin", root)
    assert not page.exception
    assert [one.value for one in page.metric[:2]] == ["✓ ready", "✓ good"]
    assert page.metric[4].value == "✕ away"  # nothing serves predictions here
    runs, waits = (ana.client.train({"experiment_name": name}).task_id for name in ("runs", "waits"))
    queue.seen("host-1:7", host="host-1", slots=2, busy=1, queues=[store.get(runs).queue])
    store.claim(runs, "host-1:7")

    page = run_page("admin", root)

    assert not page.exception
    workers = next(one.value for one in page.dataframe if "busy" in one.value)
    assert list(workers["busy"]) == ["1 / 2"]
    assert f"runs ({ana.person.name})" in workers["tasks"][0]
    waiting = next(one.value for one in page.dataframe if "place" in one.value)
    assert waits in list(waiting["id"])
    assert runs not in list(waiting["id"])
    starts = waiting["starts"][list(waiting["id"]).index(waits)]
    # Never 0.0 s; what other tests' runs took makes it more.
    assert starts in {"in a moment", "within minutes", "–"} or starts.startswith("in about ")
    queue.gone("host-1:7")
    page = run_page("admin", root)
    assert any("No worker" in one.value for one in page.warning)


def test_a_user_is_made_and_a_refusal_keeps_what_was_typed(root: Seat, service: Service, run_page: Run) -> None:
    page = run_page("admin", root, part="users")
    name = f"new-{root.person.name}"
    page.text_input(key="user_name_0").set_value("No Name!")
    page.text_input(key="user_password_0").set_value(PASSWORD)
    page = page.button(key="user_make").click().run()
    assert page.error
    assert page.text_input(key="user_name_0").value == "No Name!"
    page.text_input(key="user_name_0").set_value(name)
    page = page.button(key="user_make").click().run()

    assert not page.exception
    assert person_of(root, name).role == "user"
    assert not any(PASSWORD in str(one.value) for one in page.text_input)
    with Client(service.url) as client:
        client.login(name, PASSWORD)


def test_a_user_is_disabled_enabled_promoted_and_given_a_password(root: Seat, service: Service, run_page: Run) -> None:
    user = service.person().user
    page = chosen(run_page("admin", root, part="users"), user.id)
    page = page.button(key="user_disable_yes").click().run()
    assert person_of(root, user.name).disabled
    page = page.button(key="user_enable").click().run()
    assert not person_of(root, user.name).disabled
    page = page.button(key="user_role_yes").click().run()
    assert person_of(root, user.name).role == "admin"
    page.text_input(key=f"user_new_password_{user.id}_{page.session_state['user_forms']}").set_value("short").run()
    page = page.button(key="user_password_yes").click().run()
    assert page.error
    page.text_input(key=f"user_new_password_{user.id}_{page.session_state['user_forms']}").set_value(NEW).run()
    page = page.button(key="user_password_yes").click().run()
    assert not page.exception
    with Client(service.url) as client:
        client.login(user.name, NEW)


def test_the_audit_log_is_filtered_and_turned_over(root: Seat, ana: Seat, run_page: Run) -> None:
    for _ in range(120):
        with pytest.raises(Denied):
            ana.client.users()
    page = run_page("admin", root, part="audit")
    assert not page.exception
    assert page.button(key="audit_newer").disabled
    page = page.selectbox(key="audit_who").set_value(ana.person.user_id).run()
    first = page.dataframe[0].value
    assert set(first["who"]) == {ana.person.name}
    assert len(first) == 100
    page = page.button(key="audit_older").click().run()
    second = page.dataframe[0].value
    assert max(second["seq"]) < min(first["seq"])
    page = page.button(key="audit_newer").click().run()
    assert list(page.dataframe[0].value["seq"]) == list(first["seq"])
    page.button(key="audit_older").click().run()
    tomorrow = (datetime.now(UTC) + timedelta(days=2)).date()
    page = page.date_input(key="audit_days").set_value([tomorrow, tomorrow]).run()
    assert not page.exception
    assert "No row fits" in page.info[0].value
    page = page.date_input(key="audit_days").set_value([]).run()
    page = page.text_input(key="audit_action").set_value("task.cancel").run()
    assert "No row fits" in page.info[0].value


def test_an_api_that_is_down_is_told_calmly(cut_off: Seat, run_page: Run) -> None:
    object.__setattr__(cut_off, "person", cut_off.person.model_copy(update={"role": "admin"}))
    for part in ("system", "users", "audit"):
        page = run_page("admin", cut_off, part=part)
        assert not page.exception
        assert any("Nothing is lost" in one.value for one in page.warning)


def test_in_chinese(root: Seat, run_page: Run) -> None:
    root.language = "zh-TW"
    for part in ("system", "users", "audit"):
        page = run_page("admin", root, part=part)
        assert not page.exception
        assert page.title[0].value == "系統管理"
