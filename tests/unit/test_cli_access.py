"""``finetune30 user`` and ``finetune30 audit``, as an operator sees them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli_cases import Cli, run_here

from finetune30 import database
from finetune30.access import AuditRow, open_access
from finetune30.cli.audit import write_csv
from finetune30.cli.user import local_user
from finetune30.errors import LoginRefused, TokenRefused
from finetune30.settings import Settings, get_settings

PASSWORD = "correct horse battery"


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("TZ", "UTC")
    return run_here(monkeypatch, capsys, tmp_path)


@pytest.fixture
def typed(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, object]]:
    """Runs a verb with ``--json`` and a password on standard input; its answer."""

    def call(*arguments: str, password: str = PASSWORD) -> dict[str, object]:
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{password}\n"))
        return cli(*arguments, "--json").json

    return call


def test_a_mere_look_makes_nothing(cli: Cli, tmp_path: Path) -> None:
    assert cli("user", "list", "--json").json == {"users": []}
    assert "finetune30 user add" in cli("user", "list").err
    assert cli("audit", "list", "--json").json == {"rows": []}
    assert cli("audit", "verify").code == 0
    assert cli("audit", "export").out.startswith("seq,at,")
    assert list(tmp_path.iterdir()) == []


def test_users_are_added_changed_and_each_change_is_in_the_audit_log(
    cli: Cli, typed: Callable[..., dict[str, object]]
) -> None:
    made = typed("user", "add", "ana", "--role", "admin")
    assert (made["name"], made["role"], made["disabled"]) == ("ana", "admin", False)
    assert typed("user", "add", "ben")["role"] == "user"

    assert cli("user", "role", "ben", "admin").out.startswith("ben  is now admin")
    assert cli("user", "disable", "ben", "--json").json["disabled"] is True
    assert cli("user", "enable", str(made["id"]), "--json").json["disabled"] is False
    assert typed("user", "password", "ana", password="another horse battery")["token_version"] == 2

    listed = cli("user", "list", "--json").json["users"]
    assert [(one["name"], one["role"], one["disabled"]) for one in listed] == [
        ("ana", "admin", False),
        ("ben", "admin", True),
    ]
    access = open_access(get_settings())
    assert access.users.verify("ana", "another horse battery").id == made["id"]
    with pytest.raises(LoginRefused):
        access.users.verify("ana", PASSWORD)

    rows = cli("audit", "list", "--json").json["rows"]
    actions = ["user.password", "user.enable", "user.disable", "user.role", "user.add", "user.add"]
    assert [row["action"] for row in rows] == actions
    assert {(row["actor_name"], row["role"], row["outcome"]) for row in rows} == {(local_user(), "operator", "ok")}
    assert rows[-1]["target"] == made["id"]
    assert cli("audit", "verify", "--json").json == {
        "ok": True,
        "rows": 6,
        "first_bad": None,
        "reason": "6 rows, the chain is whole",
    }
    kept = "".join(path.read_bytes().decode("latin1") for path in Path("results").rglob("*") if path.is_file())
    assert PASSWORD not in kept + json.dumps(rows)


def test_what_is_refused_leaves_no_user_and_no_row(cli: Cli, typed: Callable[..., dict[str, object]]) -> None:
    typed("user", "add", "ana", "--role", "admin")

    def code(*arguments: str, password: str = PASSWORD) -> object:
        error = typed(*arguments, password=password)["error"]
        assert isinstance(error, dict)
        assert password not in str(error)
        return error["code"]

    assert code("user", "add", "Ana B") == "user_invalid"
    assert code("user", "add", "ben", password="short") == "user_invalid"
    assert code("user", "add", "ana") == "state_conflict"
    assert code("user", "add", "ben", "--role", "root") == "usage"
    assert code("user", "disable", "ana") == "state_conflict"
    assert code("user", "disable", "nobody") == "not_found"

    assert len(cli("user", "list", "--json").json["users"]) == 1
    assert len(cli("audit", "list", "--json").json["rows"]) == 1
    assert cli("audit", "verify").code == 0


def test_a_log_that_was_tampered_with_is_told_with_its_first_bad_row(
    cli: Cli, typed: Callable[..., dict[str, object]]
) -> None:
    for name in ("ana", "ben", "cem"):
        typed("user", "add", name)
    with database.write(open_access(get_settings()).engine) as connection:
        connection.exec_driver_sql("DROP TRIGGER audit_update")
        connection.exec_driver_sql("UPDATE audit SET actor_name = 'nobody' WHERE seq = 2")

    done = cli("audit", "verify")
    assert (done.code, done.err.strip()) == (1, "NOT WHOLE: row 2 was changed, put in or moved")
    told = cli("audit", "verify", "--json")
    assert (told.code, told.json["ok"], told.json["first_bad"]) == (1, False, 2)


def test_the_log_is_exported_whole_and_only_into_a_new_file(
    cli: Cli, typed: Callable[..., dict[str, object]], tmp_path: Path
) -> None:
    typed("user", "add", "ana")
    typed("user", "add", "ben")

    rows = [json.loads(line) for line in cli("audit", "export", "--format", "jsonl").out.splitlines()]
    assert rows == cli("audit", "list", "--json").json["rows"][::-1]

    assert cli("audit", "export", "--out", "audit.csv").code == 0
    with (tmp_path / "audit.csv").open(newline="") as file:
        read = list(csv.DictReader(file))
    assert [row["target"] for row in read] == [row["target"] for row in rows]
    assert json.loads(read[0]["detail"]) == rows[0]["detail"]
    assert cli("audit", "export", "--out", "audit.csv").code == 2
    assert cli("audit", "export", "--format", "xlsx").code == 2


def test_s108_no_cell_of_a_csv_is_a_formula_and_no_row_leaves_its_line() -> None:
    formulas = ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(1)", "  =1", "＝1"]
    texts = [*formulas, "\t=1", "\r=1", 'a\r\nb,"c"', "\x1b[2J\u202e"]
    rows = [
        AuditRow(seq, 1.5, None, text, "user", text, text, "ok", text, text, {"x": text})
        for seq, text in enumerate(texts)
    ]
    target = io.StringIO()

    write_csv(rows, target)

    lines = target.getvalue().split("\n")
    assert (len(lines), lines[-1]) == (len(texts) + 2, "")
    assert not any(control in target.getvalue() for control in "\t\r\x1b\u202e")
    cells = [line[3] for line in csv.reader(lines[1:-1])]
    assert cells == [*(f"'{text}" for text in formulas), "\\t=1", "\\r=1", 'a\\r\\nb,"c"', "\\x1b[2J\\u202e"]


def test_s108_what_others_wrote_cannot_steer_the_terminal(cli: Cli) -> None:
    access = open_access(get_settings())
    audit = access.audit
    with database.write(access.engine) as connection:
        audit.record(
            connection,
            actor_id=None,
            actor_name="ana\x1b[2J\r\n[bold]x\u202e",
            role="",
            action="login",
            target="",
            outcome="failed",
            address="",
            request_id="",
        )

    shown = cli("audit", "list").out
    assert "ana\\x1b[2J\\r\\n[bold]x\\u202e" in shown
    assert len(shown.splitlines()) == 2
    assert cli("audit", "list", "--json").json["rows"][0]["actor_name"] == "ana\x1b[2J\r\n[bold]x\u202e"


def test_a_key_is_told_once_listed_and_revoked(cli: Cli, typed: Callable[..., dict[str, object]]) -> None:
    assert cli("user", "key", "list", "--json").json == {"keys": []}
    typed("user", "add", "ana")

    secret = cli("user", "key", "add", "ana", "--name", "shop", "--expires", "30d").out.strip()

    assert open_access(get_settings()).keys.read(secret).name == "ana"
    (key,) = cli("user", "key", "list", "ana", "--json").json["keys"]
    assert (key["name"], key["revoked_at"]) == ("shop", None)
    assert key["expires_at"] - key["created_at"] == pytest.approx(30 * 86_400)
    shown = cli("user", "key", "list")
    assert "shop" in shown.out
    assert secret not in shown.out
    assert cli("user", "key", "revoke", key["id"]).out == f"{key['id']}  revoked\n"
    with pytest.raises(TokenRefused):
        open_access(get_settings()).keys.read(secret)
    rows = cli("audit", "list", "--json").json["rows"]
    assert [row["action"] for row in rows] == ["key.revoke", "key.add", "user.add"]
    assert secret not in json.dumps(rows)


@pytest.mark.parametrize(
    "words",
    [
        ("add", "nobody"),
        ("add", "ana", "--expires", "soon"),
        ("add", "ana", "--name", ""),
        ("revoke", "k_0"),
        ("list", "x"),
    ],
)
def test_keys_that_cannot_be_are_refused(
    cli: Cli, typed: Callable[..., dict[str, object]], words: tuple[str, ...]
) -> None:
    typed("user", "add", "ana")

    assert cli("user", "key", *words).code == 2
    assert cli("user", "key", "list", "--json").json == {"keys": []}
