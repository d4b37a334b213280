"""``finetune30 models``, and ``runs`` where a model is made of one, as an operator sees them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.cli_cases import Cli, run_here
from tests.registered import HASH, trained

from finetune30.cli.user import local_user
from finetune30.experiments import ExperimentFolder, ExperimentStore, open_store
from finetune30.settings import Settings, get_settings


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("TZ", "UTC")
    return run_here(monkeypatch, capsys, tmp_path)


@pytest.fixture
def store(cli: Cli) -> Iterator[ExperimentStore]:
    found = open_store(get_settings())
    yield found
    found.close()


@pytest.fixture
def run(store: ExperimentStore) -> Callable[[], str]:
    """The id of another run that has succeeded."""
    return lambda: trained(store, get_settings().results_dir, owner="ana")


def actions(cli: Cli) -> list[tuple[str, str]]:
    """What the audit log says was done, the first one first."""
    return [(row["action"], row["target"]) for row in reversed(cli("audit", "list", "--json").json["rows"])]


def test_a_mere_look_and_a_refusal_make_nothing(cli: Cli, tmp_path: Path) -> None:
    assert cli("models", "list", "--json").json == {"models": []}
    assert "finetune30 models register" in cli("models", "list").err
    for verb in (
        ("show", "spam"),
        ("show", "spam/1"),
        ("history", "spam"),
        ("register", "spam", "films_20260101_000000"),
        ("change", "spam", "--description", "x"),
        ("alias", "spam@champion", "1"),
        ("alias", "spam@champion", "--drop"),
        ("rollback", "spam@champion"),
        ("unregister", "spam/1"),
        ("delete", "spam"),
    ):
        assert cli("models", *verb, "--json").json["error"]["code"] == "not_found", verb
    assert list(tmp_path.iterdir()) == []


def test_from_a_run_to_a_champion_and_back(cli: Cli, run: Callable[[], str]) -> None:
    first, second = run(), run()

    made = cli("models", "register", "spam", first, "--alias", "champion", "--note", "baseline", "--json").json
    assert (made["model"], made["number"], made["registered_by"], made["aliases"]) == (
        "spam",
        1,
        local_user(),
        ["champion"],
    )
    assert cli("models", "register", "spam", second, "--visibility", "team").out.startswith(f"spam/2  is {second}")
    moved = cli("models", "alias", "spam@champion", "2", "--note", "better", "--json").json
    assert (moved["number"], moved["previous"]) == (2, 1)
    back = cli("models", "rollback", "spam@champion")
    assert back.out == "spam@champion  is back at version 1\n"
    again = cli("models", "rollback", "spam@champion")
    assert (again.code, "has been at no other version" in again.err) == (2, True)

    moves = cli("models", "history", "spam@champion", "--json").json["moves"]
    assert [(one["kind"], one["from_number"], one["to_number"], one["note"]) for one in moves] == [
        ("rollback", 2, 1, ""),
        ("point", 1, 2, "better"),
        ("point", None, 1, "baseline"),
    ]
    shown = cli("models", "show", "spam", "--json").json
    assert (shown["visibility"], shown["latest"], [one["number"] for one in shown["versions"]]) == ("team", 2, [2, 1])
    assert actions(cli) == [
        ("model.register", "spam/1"),
        ("model.register", "spam/2"),
        ("model.alias", "spam@champion"),
        ("model.alias.rollback", "spam@champion"),
    ]
    assert cli("audit", "verify").code == 0


def test_tables_show_what_people_look_for(cli: Cli, run: Callable[[], str]) -> None:
    id = run()
    cli("models", "register", "spam", id, "--alias", "champion", "--note", "[red]baseline", "--description", "Spam?")

    assert "champion → 1" in cli("models", "list").out
    model = cli("models", "show", "spam").out
    assert "Spam?" in model
    assert "[red]baseline" in model
    assert "version 1, moved" in model
    version = cli("models", "show", "spam@champion").out
    assert f"{id} of ana" in version
    assert HASH in version
    assert "(whole)" in version
    assert "[red]baseline" in cli("models", "history", "spam").out


def test_a_version_whose_files_changed_says_which(cli: Cli, run: Callable[[], str]) -> None:
    id = run()
    cli("models", "register", "spam", id)
    weights = ExperimentFolder(get_settings().results_dir, id).final_model / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")

    assert "adapter_model.safetensors has changed" in cli("models", "show", "spam/1").out
    assert cli("models", "show", "spam/1", "--json").json["fault"].endswith("(sha256 differs)")
    used = cli("predict", "--exp", "spam/1", "a text")
    assert (used.code, "spam/1 is not what was registered" in used.err) == (2, True)


def test_versions_are_named_by_number_by_alias_and_as_latest(cli: Cli, run: Callable[[], str]) -> None:
    cli("models", "register", "spam", run(), "--alias", "champion"), cli("models", "register", "spam", run())

    def number(*arguments: str) -> int:
        return int(cli("models", "alias", *arguments, "--json").json["number"])

    assert number("spam@a", "latest") == 2
    assert number("spam@b", "champion") == 1
    assert number("models:/spam@Production", "1") == 1
    assert cli("models", "alias", "spam@a", "--drop").out == "spam@a  dropped\n"
    assert cli("models", "show", "spam", "--json").json["versions"][1]["aliases"] == ["b", "champion", "production"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("alias", "spam", "1"), "usage"),
        (("alias", "spam@champion"), "usage"),
        (("alias", "spam@champion", "1", "--drop"), "usage"),
        (("alias", "spam@latest", "1"), "bad_input"),
        (("alias", "spam@champion", "9"), "not_found"),
        (("alias", "spam@champion", "nobody"), "not_found"),
        (("alias", "spam@champion", "x/y"), "bad_input"),
        (("alias", "spam@champion", "1", "--expected", "2"), "state_conflict"),
        (("rollback", "spam/1"), "usage"),
        (("rollback", "spam@nobody"), "not_found"),
        (("unregister", "spam@champion"), "usage"),
        (("unregister", "spam/1"), "state_conflict"),
        (("unregister", "spam/9"), "not_found"),
        (("delete", "spam"), "state_conflict"),
        (("register", "Spam", "{run}"), "bad_input"),
        (("register", "spam", "{run}"), "state_conflict"),
        (("register", "spam", "{run}", "--visibility", "public"), "usage"),
        (("register", "spam", "nobody"), "not_found"),
        (("show", "../x"), "bad_input"),
    ],
)
def test_what_is_refused_changes_nothing(
    cli: Cli, run: Callable[[], str], arguments: tuple[str, ...], code: str
) -> None:
    id = run()
    cli("models", "register", "spam", id, "--alias", "champion")
    before = cli("models", "show", "spam", "--json").json

    refused = cli("models", *(one.format(run=id) for one in arguments), "--json")

    assert (refused.code, refused.json["error"]["code"]) == (2, code)
    assert cli("models", "show", "spam", "--json").json == before
    assert len(actions(cli)) == 1


def test_names_that_look_alike_are_suggested(cli: Cli, run: Callable[[], str]) -> None:
    cli("models", "register", "sentiment", run(), "--alias", "champion")

    assert "did you mean sentiment?" in cli("models", "show", "sentimnet").err
    assert "did you mean sentiment@champion?" in cli("models", "show", "sentiment@champoin").err
    assert "did you mean sentiment?" in cli("predict", "--exp", "sentimet@champion", "a text").err


def test_a_registered_run_is_kept_by_delete_and_by_gc(cli: Cli, run: Callable[[], str]) -> None:
    id = run()
    cli("models", "register", "spam", id, "--alias", "champion")

    refused = cli("runs", "delete", id, "--yes")
    assert refused.code == 2
    assert f"{id} is registered as spam/1" in refused.err
    assert "finetune30 models unregister spam/1" in refused.err
    assert cli("runs", "gc", "--yes", "--json").json["garbage"] == []
    assert ExperimentFolder(get_settings().results_dir, id).final_model.is_dir()

    cli("models", "alias", "spam@champion", "--drop")
    cli("models", "unregister", "spam/1")
    assert cli("runs", "delete", id, "--yes").code == 0


def test_a_model_is_changed_and_deleted(cli: Cli, run: Callable[[], str]) -> None:
    id = run()
    cli("models", "register", "spam", id, "--alias", "champion")

    changed = cli("models", "change", "spam", "--visibility", "team", "--description", "Is it spam?", "--json").json
    assert (changed["visibility"], changed["description"]) == ("team", "Is it spam?")
    assert cli("models", "delete", "spam").code == 2
    assert cli("models", "delete", "spam", "--force").out == "spam  deleted; its runs stay\n"
    assert cli("runs", "show", id, "--json").json["status"] == "SUCCESS"
    assert actions(cli)[-1] == ("model.delete", "spam")


def test_without_the_parts_of_the_api_models_are_changed_all_the_same(
    cli: Cli, run: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    id = run()
    monkeypatch.setitem(sys.modules, "finetune30.access", None)  # as where what it imports is not installed

    assert cli("models", "register", "spam", id).code == 0
    assert cli("models", "show", "spam", "--json").json["latest"] == 1
