"""What a model, an alias and an address may look like, and where a rollback leads."""

from __future__ import annotations

import pytest

from finetune30.errors import BadInput
from finetune30.registry import trail
from finetune30.registry.addresses import Address, is_of_model, parse
from finetune30.registry.record import checked_alias, checked_name


@pytest.mark.parametrize("name", ["spam", "a", "0", "film-reviews_v1.2", "a" * 64])
def test_plain_names_are_names(name: str) -> None:
    assert checked_name(name) == name


@pytest.mark.parametrize("name", ["", "Spam", "-a", ".a", "a/1", "a@x", "a" * 65, "a b", "späm", "a\n", "resolve"])
def test_names_that_no_address_could_hold_are_refused(name: str) -> None:
    with pytest.raises(BadInput, match="no name for a model"):
        checked_name(name)


@pytest.mark.parametrize("alias", ["", "latest", "3", "007", "Champion", "a b", "x" * 65, "PRODUCTION", "a\n", "٣"])
def test_words_that_are_no_alias_are_refused(alias: str) -> None:
    with pytest.raises(BadInput, match="no alias"):
        checked_alias(alias)


def test_stages_of_other_registries_are_written_in_lower_case() -> None:
    assert [checked_alias(one) for one in ("Staging", "Production", "Archived", "v3")] == [
        "staging",
        "production",
        "archived",
        "v3",
    ]


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("spam@champion", Address("spam", alias="champion")),
        ("spam@Production", Address("spam", alias="production")),
        ("spam/Staging", Address("spam", alias="staging")),
        ("spam/latest", Address("spam", alias="latest")),
        ("spam@latest", Address("spam", alias="latest")),
        ("spam/3", Address("spam", version=3)),
        ("models:/spam/12", Address("spam", version=12)),
        ("models:/spam@champion", Address("spam", alias="champion")),
        ("films_20260101_000000", Address(experiment_id="films_20260101_000000")),
    ],
)
def test_an_address_says_one_thing(address: str, said: Address) -> None:
    assert parse(address) == said
    assert is_of_model(address) == (said.experiment_id is None)


@pytest.mark.parametrize(
    "address",
    [
        *("", "@", "spam@", "@champion", "spam/", "/3", "spam/0", "spam/-1", "spam/03", "spam/9999999999"),
        *("spam/99999999999", "spam/x", "a/b/c", "models:/", "models:/spam", "Spam@champion", "../x", "spam/../x"),
        *("spam@champion\n", "spam@3", "spam @champion", "runs:/x", "é", "a" * 81, "spam@champion/3", "spam/٣"),
    ],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(BadInput):
        parse(address)


def test_the_trail_of_an_alias_is_what_a_person_remembers() -> None:
    moves = [("point", 1), ("point", 2), ("point", 3)]

    assert trail.trail_of(moves) == [1, 2, 3]
    assert trail.trail_of([*moves, ("rollback", 2)]) == [1, 2]
    assert trail.trail_of([*moves, ("rollback", 2), ("point", 4)]) == [1, 2, 4]
    assert trail.trail_of([*moves, ("drop", None)]) == [1, 2, 3, None]
    assert trail.trail_of([*moves, ("drop", None), ("rollback", 3)]) == [1, 2, 3]


def test_back_is_the_last_other_version_that_still_exists() -> None:
    assert trail.before([1, 2, 3], {1, 2, 3}) == 2
    assert trail.before([1, 2, 3], {1, 3}) == 1
    assert trail.before([3, 1, 2, 1], {1, 3}) == 3
    assert trail.before([1, None, 2], {1, 2}) == 1
    assert trail.before([1, None], {1}) == 1
    assert trail.before([1, 2, 1], {1}) is None
    assert trail.before([1], {1}) is None
    assert trail.before([], set()) is None
