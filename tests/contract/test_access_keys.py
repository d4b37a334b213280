"""API keys, on both databases: told once, kept as a hash, good while their user is."""

from __future__ import annotations

import hashlib
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, select, update

from finetune30 import database
from finetune30.access import Keys, Role, Tokens, Users
from finetune30.access.keys import MOST
from finetune30.access.tables import api_keys as table
from finetune30.errors import BadInput, NotFound, StateError, TokenRefused

PASSWORD = "correct horse battery"


def ana(users: Users) -> str:
    return users.add("ana", Role.USER, PASSWORD).id


def test_a_key_says_who_holds_it_and_is_nowhere_in_the_database(engine: Engine, users: Users, keys: Keys) -> None:
    key, secret = keys.make(ana(users), "shop")

    assert re.fullmatch(r"ft30-[A-Za-z0-9_-]{43}", secret)
    assert re.fullmatch(r"k_[0-9a-f]{16}", key.id)
    assert keys.read(secret).name == "ana"
    with database.read(engine) as connection:
        (row,) = connection.execute(select(table)).all()
    assert row.hash == hashlib.sha256(secret.encode()).hexdigest()
    assert secret not in repr(row)
    assert secret[5:] not in repr((row, key))


@pytest.mark.parametrize("change", [lambda s: s[:-1], lambda s: s + "A", str.lower, lambda s: s[5:], lambda _: ""])
def test_what_is_not_quite_a_key_is_none(users: Users, keys: Keys, change: object) -> None:
    _, secret = keys.make(ana(users), "shop")

    with pytest.raises(TokenRefused) as refused:
        keys.read(change(secret))  # type: ignore[operator]
    assert secret[:20] not in str(refused.value)


def test_a_hash_is_no_key(users: Users, keys: Keys) -> None:
    _, secret = keys.make(ana(users), "shop")

    for guess in (hashlib.sha256(secret.encode()).hexdigest(), "ft30-%", "ft30-" + "_" * 43, "ft30-\0"):
        with pytest.raises(TokenRefused):
            keys.read(guess)


def test_a_revoked_key_is_refused_for_good(users: Users, keys: Keys) -> None:
    key, secret = keys.make(ana(users), "shop")
    _, other = keys.make(key.user_id, "other")

    first = keys.revoke(key.id)

    assert first.revoked_at is not None
    assert keys.revoke(key.id) == first
    with pytest.raises(TokenRefused):
        keys.read(secret)
    assert keys.read(other).name == "ana"
    with pytest.raises(NotFound):
        keys.revoke("k_0000000000000000")


def test_a_key_expires(engine: Engine, users: Users, keys: Keys) -> None:
    key, secret = keys.make(ana(users), "shop", 60)
    assert keys.read(secret).name == "ana"

    with database.write(engine) as connection:
        connection.execute(update(table).values(expires_at=database.now() - 1))

    with pytest.raises(TokenRefused):
        keys.read(secret)
    assert keys.find(key.id) is not None


def test_g26_a_disabled_user_and_a_changed_role_count_at_the_next_look(users: Users, keys: Keys) -> None:
    users.add("boss", Role.ADMIN, PASSWORD)
    key, secret = keys.make(ana(users), "shop")

    users.set_role(key.user_id, Role.ADMIN)
    assert keys.read(secret).is_admin
    users.disable(key.user_id)
    with pytest.raises(TokenRefused):
        keys.read(secret)
    with pytest.raises(StateError):
        keys.make(key.user_id, "another")
    users.enable(key.user_id)
    assert keys.read(secret).name == "ana"


def test_when_it_was_used_is_known_to_the_hour(engine: Engine, users: Users, keys: Keys) -> None:
    key, secret = keys.make(ana(users), "shop")
    assert key.last_used_at is None

    def used() -> float | None:
        found = keys.find(key.id)
        return None if found is None else found.last_used_at

    keys.read(secret)
    first = used()
    keys.read(secret)
    assert first is not None
    assert used() == first
    with database.write(engine) as connection:
        connection.execute(update(table).values(last_used_at=first - 3700))
    keys.read(secret)
    assert (used() or 0) >= first


def test_a_user_has_so_many_keys_however_many_ask_at_once(users: Users, keys: Keys) -> None:
    user = ana(users)

    def make(number: int) -> str | None:
        try:
            return keys.make(user, f"key {number}")[0].id
        except StateError:
            return None

    with ThreadPoolExecutor(6) as pool:
        made = [one for one in pool.map(make, range(MOST + 5)) if one]
    assert len(made) == MOST == len(keys.of_user(user))
    keys.revoke(made[0])
    keys.make(user, "one more")
    assert len(keys.all()) == MOST + 1


@pytest.mark.parametrize(("name", "life_s"), [("", None), ("a" * 65, None), ("a\nb", None), ("  ", None), ("a", 1.0)])
def test_what_cannot_be_a_key_is_refused(users: Users, keys: Keys, name: str, life_s: float | None) -> None:
    with pytest.raises(BadInput):
        keys.make(ana(users), name, life_s)
    with pytest.raises(NotFound):
        keys.make("u_0000000000000000", "name")


def test_a_key_is_no_token(users: Users, keys: Keys, tokens: Tokens) -> None:
    _, secret = keys.make(ana(users), "shop")

    with pytest.raises(TokenRefused):
        tokens.read(secret)
    with pytest.raises(TokenRefused):
        tokens.refresh(secret)
