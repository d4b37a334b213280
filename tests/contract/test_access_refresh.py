"""Refresh tokens: S41 to S43 of the reliability plan, on both databases. Time passes in the database alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Connection, Engine, func, select, update

from finetune30 import database
from finetune30.access import Pair, Role, Tokens, User, Users
from finetune30.access.tables import refresh_tokens, sessions
from finetune30.errors import TokenRefused

PASSWORD = "correct horse battery"


@pytest.fixture
def ana(users: Users) -> User:
    return users.add("ana", Role.USER, PASSWORD)


@pytest.fixture
def pair(tokens: Tokens, ana: User) -> Pair:
    return tokens.issue(ana)


def refused(tokens: Tokens, refresh_token: str) -> TokenRefused:
    with pytest.raises(TokenRefused) as error:
        tokens.refresh(refresh_token)
    return error.value


def let_pass(engine: Engine, seconds: float) -> None:
    """What happened in the database happened so much earlier."""
    with database.write(engine) as connection:
        connection.execute(update(refresh_tokens).values(used_at=refresh_tokens.c.used_at - seconds))
        connection.execute(update(sessions).values(expires_at=sessions.c.expires_at - seconds))


def count(engine: Engine) -> int:
    with database.read(engine) as connection:
        return connection.scalar(select(func.count()).select_from(refresh_tokens)) or 0


def test_a_refresh_hands_out_a_new_pair_again_and_again(tokens: Tokens, pair: Pair, ana: User) -> None:
    seen = {pair.refresh_token}
    for _ in range(5):
        pair = tokens.refresh(pair.refresh_token)
        seen.add(pair.refresh_token)
        assert tokens.read(pair.token) == pair.user == ana
    assert len(seen) == 6
    assert {len(token) for token in seen} == {43}  # 256 bits


def test_s41_a_replay_after_the_grace_ends_the_whole_family(
    tokens: Tokens, pair: Pair, ana: User, engine: Engine
) -> None:
    other = tokens.issue(ana)
    second = tokens.refresh(pair.refresh_token)
    let_pass(engine, 11)

    assert refused(tokens, pair.refresh_token).user_id == ana.id

    for token in (pair.token, second.token):
        with pytest.raises(TokenRefused):
            tokens.read(token)
    assert refused(tokens, second.refresh_token).user_id is None
    assert tokens.read(tokens.refresh(other.refresh_token).token) == ana


def test_s41_within_the_grace_the_same_successor_is_handed_out(tokens: Tokens, pair: Pair, engine: Engine) -> None:
    second = tokens.refresh(pair.refresh_token)
    let_pass(engine, 8)

    assert tokens.refresh(pair.refresh_token).refresh_token == second.refresh_token
    assert tokens.read(second.token)
    assert tokens.refresh(second.refresh_token)


def test_s41_once_the_successor_was_used_there_is_no_grace(tokens: Tokens, pair: Pair, ana: User) -> None:
    second = tokens.refresh(pair.refresh_token)
    third = tokens.refresh(second.refresh_token)

    assert refused(tokens, pair.refresh_token).user_id == ana.id
    refused(tokens, third.refresh_token)


def test_s41_what_happened_is_noted_in_the_same_transaction(tokens: Tokens, pair: Pair, ana: User) -> None:
    noted: list[tuple[User, bool]] = []

    def note(_: Connection, user: User, replayed: bool) -> None:
        noted.append((user, replayed))

    def fail(_: Connection, user: User, replayed: bool) -> None:
        raise OSError

    with pytest.raises(OSError):
        tokens.refresh(pair.refresh_token, fail)
    second = tokens.refresh(pair.refresh_token, note)  # the first one was taken back
    tokens.refresh(second.refresh_token, note)
    with pytest.raises(TokenRefused):
        tokens.refresh(pair.refresh_token, note)
    with pytest.raises(TokenRefused):
        tokens.refresh("unknown", note)

    assert noted == [(ana, False), (ana, False), (ana, True)]


def test_s41_the_end_of_a_family_cannot_be_rolled_back_by_who_calls(tokens: Tokens, pair: Pair, engine: Engine) -> None:
    with database.write(engine), pytest.raises(RuntimeError, match="transaction of its own"):
        tokens.refresh(pair.refresh_token)


def test_s42_twenty_at_once_get_one_successor(tokens: Tokens, pair: Pair, engine: Engine) -> None:
    with ThreadPoolExecutor(20) as pool:
        pairs = list(pool.map(lambda _: tokens.refresh(pair.refresh_token), range(20)))

    assert len({one.refresh_token for one in pairs}) == 1
    assert count(engine) == 2
    assert tokens.read(pairs[-1].token)


def test_s43_expired_unknown_and_cut_ones_are_refused_alike(
    tokens: Tokens, pair: Pair, ana: User, engine: Engine
) -> None:
    whole = pair.refresh_token
    told = {
        str(refused(tokens, token).to_dict())
        for token in ("", whole[:-1], whole + "A", whole + "\n", whole.swapcase(), "A" * 43, "\0", "\ud800", "é" * 43)
    }
    let_pass(engine, 15 * 86_400)
    told.add(str(refused(tokens, whole).to_dict()))

    assert len(told) == 1
    assert refused(tokens, whole).user_id is None
    with pytest.raises(TokenRefused):
        tokens.read(pair.token)

    fresh = tokens.issue(ana)  # sweeps the ended session away
    assert (tokens.read(fresh.token), count(engine)) == (ana, 1)


def test_who_has_another_secret_gets_no_successor(tokens: Tokens, pair: Pair, engine: Engine) -> None:
    tokens.refresh(pair.refresh_token)

    refused(Tokens(engine, b"k2" * 32), pair.refresh_token)
