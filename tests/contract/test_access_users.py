"""Users and logins: S33, S37, S39 and G26 of the reliability plan, on both databases."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from pwdlib.hashers.argon2 import ARGON2_ENCODED_HASH_REGEX
from sqlalchemy import Engine, select

from finetune30 import database
from finetune30.access import Role, Tokens, User, Users, passwords
from finetune30.access.tables import users as table
from finetune30.errors import Busy, LoginRefused, NotFound, StateError, TokenRefused, UserInvalid

PASSWORD = "correct horse battery"


def stored(engine: Engine) -> list[str]:
    with database.read(engine) as connection:
        return list(connection.scalars(select(table.c.password_hash)))


def refusal(users: Users, name: str, password: str) -> dict[str, str | None]:
    with pytest.raises(LoginRefused) as refused:
        users.verify(name, password)
    return {**refused.value.to_dict(), "cause": repr(refused.value.__cause__)}


def test_there_is_nobody_before_somebody_is_made(users: Users) -> None:
    assert (users.all(), users.any_admin(), users.find("admin")) == ([], False, None)
    for guess in ("admin", "password", "changeme", ""):
        refusal(users, "admin", guess)


def test_a_user_is_found_by_name_and_by_id_and_logs_in(users: Users) -> None:
    ana = users.add("ana@example.org", Role.ADMIN, PASSWORD)

    assert re.fullmatch(r"u_[0-9a-f]{16}", ana.id)
    assert (ana.name, ana.role, ana.is_admin, ana.disabled) == ("ana@example.org", Role.ADMIN, True, False)
    assert users.find("ana@example.org") == users.get(ana.id) == users.verify("ana@example.org", PASSWORD) == ana
    assert users.any_admin()
    with pytest.raises(NotFound):
        users.get("u_0000000000000000")


def test_the_first_admin_is_made_once_with_a_password_nobody_else_knows(users: Users) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = [one for one in pool.map(lambda _: users.make_first_admin(), range(4)) if one]

    ((admin, password),) = made
    assert users.verify("admin", password) == admin
    assert admin.is_admin
    assert len(password) == 24
    assert users.make_first_admin() is None


def test_a_flood_of_logins_is_turned_away_and_not_computed(users: Users, monkeypatch: pytest.MonkeyPatch) -> None:
    ana = users.add("ana", Role.USER, PASSWORD)
    monkeypatch.setattr(passwords, "WAIT_S", 0.01)

    for _ in range(passwords.AT_ONCE):
        passwords.lanes.acquire()
    try:
        for name in ("ana", "nobody"):
            with pytest.raises(Busy):
                users.verify(name, PASSWORD)
            refusal(users, name, "x" * 1025)  # takes no place: it is not hashed
    finally:
        passwords.lanes.release(passwords.AT_ONCE)
    assert users.verify("ana", PASSWORD) == ana


def test_a_name_is_given_once_even_to_two_at_once(users: Users) -> None:
    def add(_: int) -> bool:
        try:
            users.add("ana", Role.USER, PASSWORD)
        except StateError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(add, range(4))) == [False, False, False, True]


def test_s33_wrong_password_unknown_and_disabled_users_are_refused_alike(users: Users) -> None:
    users.add("ana", Role.USER, PASSWORD)
    users.disable(users.add("ben", Role.USER, PASSWORD).id)

    wrong = refusal(users, "ana", "wrong horse battery")

    assert wrong == refusal(users, "nobody", PASSWORD) == refusal(users, "ben", PASSWORD)
    assert wrong == refusal(users, "ben", "wrong horse battery") == refusal(users, "ana", "")
    assert wrong["code"] == "login_refused"


def test_s33_an_unknown_user_costs_the_work_of_a_known_one(users: Users, engine: Engine) -> None:
    users.add("ana", Role.USER, PASSWORD)

    shape = re.compile(r"m=19456,t=2,p=1")  # OWASP's minimum for argon2id
    costs = []
    for hashed in (*stored(engine), passwords.NOBODY):
        parts = ARGON2_ENCODED_HASH_REGEX.fullmatch(hashed)
        assert parts is not None
        costs.append((parts["variant"], len(parts["salt"]), len(parts["digest"])))
        assert shape.search(hashed)
    assert costs[0] == costs[1]
    assert costs[0][0] == "argon2id"


def test_s33_each_login_checks_one_hash_whoever_it_is_for(
    users: Users, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    users.add("ana", Role.USER, PASSWORD)
    users.disable(users.add("ben", Role.USER, PASSWORD).id)
    checked: list[str] = []
    real = passwords.is_password

    def watched(password: str, hashed: str) -> bool:
        checked.append(hashed)
        return real(password, hashed)

    monkeypatch.setattr(passwords, "is_password", watched)
    for name in ("ana", "ben", "nobody", "no name"):
        refusal(users, name, "wrong horse battery")

    assert sorted(checked[:2]) == sorted(stored(engine))
    assert checked[2:] == [passwords.NOBODY] * 2


def test_s37_long_passwords_unicode_and_spaces_work(users: Users, engine: Engine) -> None:
    for number, password in enumerate(("x" * 73, "長" * 1024, " leading and trailing ", "a\0b" * 4, "🐎" * 12)):
        users.add(f"user{number}", Role.USER, password)
        assert users.verify(f"user{number}", password).name == f"user{number}"
        refusal(users, f"user{number}", password[:-1] + "?")
        refusal(users, f"user{number}", password[: min(72, len(password) - 1)])
    assert len(set(stored(engine))) == 5


def test_s37_what_a_keyboard_writes_in_two_ways_is_one_password(users: Users) -> None:
    users.add("ana", Role.USER, "café ｈｏｒｓｅ battery")

    assert users.verify("ana", "cafe\u0301 horse battery").name == "ana"


def test_s37_other_passwords_are_refused_unhashed(users: Users) -> None:
    ana = users.add("ana", Role.USER, PASSWORD)

    for password in ("", "elevenchars", "x" * 1025, "\ud800" * 12):
        with pytest.raises(UserInvalid) as refused:
            users.add("ben", Role.USER, password)
        with pytest.raises(UserInvalid):
            users.set_password(ana.id, password)
        assert not password or password not in str(refused.value)
        refusal(users, "ana", password)

    assert users.all() == [ana]
    assert users.verify("ana", PASSWORD) == ana


NAMES = (
    *("", "a\0na", "ana\r\nX: y", "ana\n", "\x1b[31mana", "ana\u202egnp", "a\u200bna", "аna", "ana ", " ana", "Ana"),
    *("ana/../ben", "-ana", "=cmd()", "a" * 65, "\ud800", "u_0123456789abcdef"),
)


def test_s39_names_that_could_pass_for_others_are_refused_and_never_log_in(users: Users) -> None:
    ana = users.add("ana", Role.USER, PASSWORD)

    for name in NAMES:
        with pytest.raises(UserInvalid):
            users.add(name, Role.USER, PASSWORD)
        refusal(users, name, PASSWORD)
        assert users.find(name) is None

    assert users.all() == [ana]


CHANGES: tuple[Callable[[Users, User], object], ...] = (
    lambda users, user: users.disable(user.id),
    lambda users, user: users.set_password(user.id, "another horse battery"),
    lambda users, user: users.set_role(user.id, Role.ADMIN),
    lambda users, user: (users.disable(user.id), users.enable(user.id)),
)


def test_g26_what_ends_sessions_ends_them_at_once(users: Users, tokens: Tokens) -> None:
    ben = users.add("ben", Role.USER, PASSWORD)
    other = tokens.issue(ben)
    for number, change in enumerate(CHANGES):
        ana = users.add(f"ana{number}", Role.USER, PASSWORD)
        first, second = tokens.issue(ana), tokens.issue(ana)
        assert tokens.read(first.token) == ana

        change(users, ana)

        for pair in (first, second):
            with pytest.raises(TokenRefused):
                tokens.read(pair.token)
            with pytest.raises(TokenRefused):
                tokens.refresh(pair.refresh_token)
        with pytest.raises(LoginRefused):  # a password that was checked before the change
            tokens.issue(ana)
    assert tokens.read(other.token) == ben


def test_g26_a_new_password_replaces_the_old_one(users: Users) -> None:
    ana = users.add("ana", Role.USER, PASSWORD)

    users.set_password(ana.id, "another horse battery")

    refusal(users, "ana", PASSWORD)
    assert users.verify("ana", "another horse battery").id == ana.id


def test_the_last_admin_cannot_be_shut_out_even_by_two_at_once(users: Users, engine: Engine) -> None:
    ana, ben = (users.add(name, Role.ADMIN, PASSWORD) for name in ("ana", "ben"))

    with ThreadPoolExecutor(1) as pool:
        with database.write(engine):
            users.set_role(ana.id, Role.USER)
            other = pool.submit(users.disable, ben.id)
            time.sleep(0.3)  # it waits for us, or it would see two admins still
        with pytest.raises(StateError, match="ben is the last admin"):
            other.result()

    assert users.any_admin()
    with pytest.raises(NotFound):
        users.disable("u_0000000000000000")
