"""The page about oneself, against the real API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from finetune30 import errors
from finetune30.client import Client
from finetune30.ui.seats import Seat
from tests.api.service import PASSWORD, Service

Run = Callable[..., Any]
MARKUP = "**b** ![x](http://evil/p.png) <script>"
NEW = "four other words again"


def changes(page: Any, current: str, new: str, again: str) -> Any:
    for name, value in (("current", current), ("new", new), ("again", again)):
        page.text_input(key=f"password_{name}_{page.session_state['password_forms']}").set_value(value)
    return page.button(key="password_change").click().run()


def test_one_sees_who_one_is(ana: Seat, run_page: Run) -> None:
    page = run_page("account", ana)
    assert not page.exception
    assert any(ana.person.user_id in one.value.replace("\\", "") for one in page.markdown)


def test_a_password_is_changed_and_one_goes_on_here_only(ana: Seat, service: Service, run_page: Run) -> None:
    with Client(service.url, session=ana.client.session) as elsewhere:
        page = run_page("account", ana)
        page = changes(page, PASSWORD, NEW, "another one than that")
        assert "differ" in page.warning[0].value
        page = changes(page, PASSWORD, "short", "short")
        assert "shorter" in page.warning[0].value
        page = changes(page, "not the password", NEW, NEW)
        assert "current password is wrong" in page.error[0].value

        page = changes(page, PASSWORD, NEW, NEW)

        assert not page.exception
        assert "is changed" in page.success[0].value
        assert not any(NEW in str(one.value) for one in page.text_input)
        assert ana.client.me().name == ana.person.name
        with pytest.raises(errors.LoginNeeded):
            elsewhere.me()


def test_a_key_is_told_once_and_revoked(ana: Seat, run_page: Run) -> None:
    page = run_page("account", ana, part="keys")
    assert "No key yet" in page.info[0].value
    page = page.button(key="key_make").click().run()
    assert "what the key is for" in page.warning[0].value
    page.text_input(key="key_name").set_value(MARKUP)
    page.radio(key="key_life").set_value(0)
    page = page.button(key="key_make").click().run()

    assert not page.exception
    (key,) = ana.client.api_keys()
    assert (key.name, key.expires_at) == (MARKUP, None)
    assert page.code[0].value.startswith("ft30-")
    assert not [one for one in page.markdown if "![x]" in one.value]
    page = page.button(key="key_kept").click().run()
    assert not page.code
    assert list(page.dataframe[0].value["name"]) == [MARKUP]

    page = page.button(key="key_revoke_yes").click().run()
    assert not page.exception
    assert ana.client.api_keys()[0].revoked_at is not None
    assert "revoked" in page.dataframe[0].value["state"][0]


def test_a_webhook_is_made_tried_turned_off_and_deleted(ana: Seat, run_page: Run) -> None:
    page = run_page("account", ana, part="webhooks")
    assert "No webhook yet" in page.info[0].value
    page.text_input(key="hook_url").set_value("no address")
    page = page.button(key="hook_make").click().run()
    assert page.error
    assert page.text_input(key="hook_url").value == "no address"
    page.text_input(key="hook_url").set_value("http://127.0.0.1:9999/![x](y)")
    page = page.button(key="hook_make").click().run()

    assert not page.exception
    (hook,) = ana.client.webhooks()
    assert page.code[0].value
    page = page.button(key="hook_test").click().run()
    assert next(ana.client.deliveries(hook.webhook_id)).kind == "ping"
    page = page.button(key="hook_disable").click().run()
    assert ana.client.webhook(hook.webhook_id).disabled_at is not None
    page = page.button(key="hook_enable").click().run()
    assert ana.client.webhook(hook.webhook_id).disabled_at is None
    page = page.button(key="hook_delete_yes").click().run()
    assert not page.exception
    assert ana.client.webhooks() == []


def test_an_admin_sees_only_their_own_webhooks_here(ana: Seat, root: Seat, run_page: Run) -> None:
    ana.client.add_webhook("http://127.0.0.1:9999/of-ana")
    page = run_page("account", root, part="webhooks")
    assert not page.exception
    assert not page.dataframe


def test_an_api_that_is_down_is_told_calmly(cut_off: Seat, run_page: Run) -> None:
    for part in ("person", "keys", "webhooks"):
        page = run_page("account", cut_off, part=part)
        assert not page.exception
        assert "Nothing is lost" in page.warning[0].value


def test_in_chinese(ana: Seat, run_page: Run) -> None:
    ana.language = "zh-TW"
    ana.client.add_key("shop")
    ana.client.add_webhook("http://127.0.0.1:9999/")
    for part in ("person", "keys", "webhooks"):
        page = run_page("account", ana, part=part)
        assert not page.exception
        assert page.title[0].value == "帳號"
