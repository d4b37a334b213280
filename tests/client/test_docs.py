"""``docs/client.md`` says what is: its snippets run in their order, and it and the client know every endpoint."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from finetune30.access import Role
from finetune30.cli import app
from finetune30.client import Client
from tests.api.service import PASSWORD, serving
from tests.api.test_authorisation import every_route
from tests.serving.desk import serving as serving_predictions

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "client.md"
# For machines that watch, for OpenAI's clients, and what the session does by itself.
_OTHERS = ("/metrics", "/openapi.json", "/docs", "/token/refresh", "/v1/")


def test_the_snippets_of_the_page_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Callable[[str], Path]
) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "default.yaml").write_text((ROOT / "config" / "default.yaml").read_text())
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    with serving(tmp_path, {}) as service:
        monkeypatch.chdir(tmp_path)
        service.services.access.users.add("ana", Role.USER, PASSWORD)
        (tmp_path / "reviews.txt").write_text("This movie was great!\nI left after ten minutes.\n", encoding="utf-8")
        with serving_predictions(tmp_path / "serving", tiny_model("bert"), {}) as desk:
            desk.alias("films", "champion", desk.run())
            names = {"URL": service.url, "PASSWORD": PASSWORD, "SERVING": desk.url}
            exec("\n".join(blocks), names)  # noqa: S102
        names["client"].close()

    assert len(blocks) >= 6


def test_the_verbs_of_the_page_are_there() -> None:
    blocks = "".join(re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL))
    said = set(re.findall(r"^finetune30 (\w+)", blocks, re.MULTILINE))
    there = {command.name for command in app.registered_commands} | {group.name for group in app.registered_groups}

    assert said == {"login", "submit", "tasks", "watch", "cancel", "logout"}
    assert said <= there


def test_the_page_names_no_method_that_is_not_there() -> None:
    page = PAGE.read_text(encoding="utf-8")
    (listed,) = re.findall(r"Everything else of the API has its method: (.*?)\. An answer", page, re.DOTALL)

    assert [name for name in re.findall(r"`(\w+)`", listed) if not callable(getattr(Client, name, None))] == []


def test_the_client_asks_every_endpoint() -> None:
    source = "".join(path.read_text() for path in (ROOT / "src" / "finetune30" / "client").glob("*.py"))
    unknown = []
    for _, path in every_route():
        if path.startswith(_OTHERS):
            continue
        words = [part for part in path.split("/") if part and not part.startswith("{")]
        if [word for word in words if not re.search(rf'["/]{re.escape(word)}["/?]', source)]:
            unknown.append(path)
    assert unknown == []
