"""Filters in words: what they find is what plain Python finds in the same rows, on both databases.

The reference below knows nothing of the parser: it evaluates what the words were made from.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert

from finetune30 import database
from finetune30.errors import FilterError
from finetune30.experiments import ExperimentStore, Status
from finetune30.experiments.record import search_key
from finetune30.experiments.tables import experiments
from finetune30.experiments.where import parse

ALIKE = settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
Row = dict[str, Any]
# What was asked in words, and what plain Python says of a row.
Asked = tuple[str, Callable[[Row], bool]]

TEXTS = ["a", "A", "bert-base", "BERT/large", "100%", "a_b", "it's", 'say "x"', "back\\slash", "é", "e\u0301", "É", "İ",
         "ß", "情感", "🙂", "and", "null", "9", ""]  # fmt: skip
NUMBERS = [0.0, 0.25, 0.5, 0.9, 1.0, -1.5, 3.0, 1e-5, 1e12, 0.1 + 0.2]
DAY = 1_769_817_600.0  # 2026-01-31
MOMENTS = [DAY - 0.5, DAY, DAY + 43_200.0, DAY + 86_399.5, DAY + 86_400.0]

text, number, moment = st.sampled_from(TEXTS), st.sampled_from(NUMBERS), st.sampled_from(MOMENTS)
anything = st.one_of(number, text, st.booleans(), st.none(), st.just([1, "a"]), st.integers(-3, 9))
rows = st.fixed_dictionaries(
    {
        "name": text,
        "owner": text,
        "base_model": text,
        "dataset_hash": st.none() | text,
        "status": st.sampled_from(list(map(str, Status))),
        "paused": st.booleans(),
        "attempt": st.integers(0, 4),
        "created_at": moment,
        "finished_at": st.none() | moment,
        "eval_accuracy": st.none() | number,
        "train_runtime": st.none() | number,
        "error": st.none() | st.fixed_dictionaries({"code": st.sampled_from(["killed", "lost", None])}) | st.just({}),
        "config": st.fixed_dictionaries({}, optional={"lora": st.fixed_dictionaries({}, optional={"r": anything}),
                                                      "training": st.fixed_dictionaries({"bf16": anything})}),
        "metrics": st.none() | st.fixed_dictionaries({"eval": st.fixed_dictionaries({"f1": anything})}),
    }
)  # fmt: skip


def lower(value: str) -> str:
    return re.sub("[A-Z]", lambda found: found[0].lower(), value)


def quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def at(row: Row, *path: str) -> Any:
    found: Any = row
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found


SIGNS: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "~": lambda a, b: b in a,
    "!~": lambda a, b: b not in a,
}


def compared(
    name: str, get: Callable[[Row], Any], sign: str, word: str, value: Any, like: type | tuple[type, ...]
) -> Asked:
    """With what is not there, or is something else, every comparison is false; ``!=`` wants something there."""

    def holds(row: Row) -> bool:
        found = get(row)
        if found is None:
            return False
        if not isinstance(found, like) or (
            isinstance(found, bool) and bool not in (like if isinstance(like, tuple) else (like,))
        ):
            return sign in ("!=", "!~")
        return SIGNS[sign](found, value)

    return f"{name} {sign} {word}", holds


@st.composite
def comparisons(draw: st.DrawFn) -> Asked:
    kind = draw(
        st.sampled_from(
            ["text", "name", "number", "whole", "status", "flag", "moment", "day", "error", "r", "f1", "null", "in"]
        )
    )
    text_sign = draw(st.sampled_from(["=", "!=", "~", "!~"]))
    sign = draw(st.sampled_from(["=", "!=", "<", "<=", ">", ">="]))
    equal = draw(st.sampled_from(["=", "!="]))
    if kind == "text":
        field, word = draw(st.sampled_from(["owner", "base_model", "dataset_hash"])), draw(text)
        assume(word or "~" not in text_sign)
        change = lower if "~" in text_sign else str
        return compared(
            field,
            lambda row: None if row[field] is None else change(row[field]),
            text_sign,
            quoted(word),
            change(word),
            str,
        )
    if kind == "name":
        word = draw(text)
        assume(word or "~" not in text_sign)
        return compared("name", lambda row: search_key(row["name"]), text_sign, quoted(word), search_key(word), str)
    if kind == "number":
        words = {"accuracy": "eval_accuracy", "eval_accuracy": "eval_accuracy", "runtime": "train_runtime"}
        field, value = draw(st.sampled_from(sorted(words))), draw(number)
        return compared(field, lambda row: row[words[field]], sign, repr(value), value, float)
    if kind == "whole":
        value = draw(st.integers(-1, 5))
        return compared("attempt", lambda row: row["attempt"], sign, str(value), value, int)
    if kind == "status":
        value = draw(st.sampled_from(list(Status)))
        return compared("status", lambda row: row["status"], equal, value.lower(), str(value), str)
    if kind == "flag":
        flag = draw(st.booleans())
        return compared("paused", lambda row: row["paused"], equal, str(flag), flag, bool)
    if kind == "moment":
        value = draw(moment)
        word = draw(st.sampled_from([repr(value), datetime.fromtimestamp(value, UTC).isoformat()]))
        return compared("finished_at", lambda row: row["finished_at"], sign, word, value, float)
    if kind == "day":
        # As days: how many after the one in question.
        return compared("created_at", lambda row: (row["created_at"] - DAY) // 86_400, sign, "2026-01-31", 0, float)
    if kind == "error":
        word = draw(st.sampled_from(["killed", "LOST"]))
        change = lower if "~" in text_sign else str
        return compared("error.code", lambda row: at(row, "error", "code"), text_sign, word, change(word), str)
    if kind == "r":
        value = draw(number | st.integers(-3, 9))
        return compared(
            "config.lora.r", lambda row: at(row, "config", "lora", "r"), sign, repr(value), value, (int, float)
        )
    if kind == "f1":
        value = draw(number)
        return compared(
            "metrics.eval.f1", lambda row: at(row, "metrics", "eval", "f1"), sign, repr(value), value, (int, float)
        )
    if kind == "null":
        path = draw(
            st.sampled_from(
                [
                    ("dataset_hash",),
                    ("finished_at",),
                    ("config", "lora", "r"),
                    ("error", "code"),
                    ("metrics", "eval", "f1"),
                ]
            )
        )
        no = draw(st.booleans())
        return f"{'.'.join(path)} is {'not ' if no else ''}null", lambda row: (at(row, *path) is not None) is no
    some, no = draw(st.lists(text, min_size=1, max_size=3)), draw(st.booleans())
    words = f"dataset_hash {'NOT ' if no else ''}IN ({', '.join(map(quoted, some))})"
    return words, lambda row: row["dataset_hash"] is not None and (row["dataset_hash"] in some) is not no


def joined(parts: list[Asked], word: str, every: Callable[[Any], bool]) -> Asked:
    return f"({f' {word} '.join(words for words, _ in parts)})", lambda row: every(holds(row) for _, holds in parts)


expressions: st.SearchStrategy[Asked] = st.recursive(
    comparisons(),
    lambda inner: st.one_of(
        st.tuples(st.lists(inner, min_size=2, max_size=3), st.just("AND"), st.just(all)).map(lambda a: joined(*a)),
        st.tuples(st.lists(inner, min_size=2, max_size=3), st.just("or"), st.just(any)).map(lambda a: joined(*a)),
        inner.map(lambda one: (f"NOT ({one[0]})", lambda row: not one[1](row))),
    ),
    max_leaves=6,
)


def fill(store: ExperimentStore, made: list[Row]) -> None:
    same = {"fingerprint": "f", "dataset": "d"}
    with database.write(store.engine) as connection:
        connection.execute(delete(experiments))
        for number, row in enumerate(made):
            values = {**row, "name_key": search_key(row["name"])}
            connection.execute(insert(experiments).values(id=f"run{number}", **same, **values))


@ALIKE
@given(st.lists(rows, min_size=1, max_size=8), st.lists(expressions, min_size=1, max_size=4))
def test_what_is_found_is_what_plain_python_finds(store: ExperimentStore, made: list[Row], asked: list[Asked]) -> None:
    fill(store, made)
    for words, holds in asked:
        where = parse(words)

        found = {one.id for one in store.overview(where=where)}

        assert found == {f"run{number}" for number, row in enumerate(made) if holds(row)}, words
        assert store.count(where=where) == len(found)


@pytest.mark.parametrize(
    "value", [*TEXTS[:-1], "%", "_", "?", ":x", "$1", "'; DROP TABLE experiments; --", "\\'", "a\tb"]
)
def test_s85_a_text_means_itself(store: ExperimentStore, value: str) -> None:
    other = {
        "name": "other",
        "owner": "other",
        "base_model": "other",
        "status": "PENDING",
        "created_at": 1.0,
        "config": {},
        "attempt": 0,
    }
    fill(store, [other, {**other, "name": f"<{value}>", "owner": value, "base_model": f"-{value}-"}])

    for words in (f"owner = {quoted(value)}", f"base_model ~ {quoted(value)}", f"name ~ {quoted(value)}"):
        assert [one.id for one in store.overview(where=parse(words))] == ["run1"], words


def test_s85_a_name_is_found_however_it_was_composed(store: ExperimentStore) -> None:
    other = {"owner": "ana", "base_model": "x", "status": "PENDING", "created_at": 1.0, "config": {}, "attempt": 0}
    fill(store, [{**other, "name": unicodedata.normalize(form, "Café ÄPFEL")} for form in ("NFC", "NFD")])

    for form in ("NFC", "NFD", "NFKD"):
        words = unicodedata.normalize(form, 'name ~ "CAFÉ äpfel"')
        assert store.count(where=parse(words)) == 2


def test_case_is_passed_over_alike(store: ExperimentStore) -> None:
    """LIKE and lower() would not agree."""
    same = {"name": "x", "status": "PENDING", "created_at": 1.0, "attempt": 0}
    texts = ("BERT-É", "bert-é", "Bert-e", "İstanbul", "istanbul")
    fill(store, [{**same, "owner": one, "base_model": one, "config": {"model": {"name": one}}} for one in texts])

    def found(words: str) -> list[str]:
        return [texts[int(one.id.removeprefix("run"))] for one in store.overview(where=parse(words), desc=False)]

    for field in ("owner", "base_model", "config.model.name"):
        assert found(f"{field} ~ bErT") == ["BERT-É", "bert-é", "Bert-e"]
        assert found(f"{field} ~ T-É") == ["BERT-É"]
        assert found(f"{field} ~ ISTANBUL") == ["istanbul"]
        assert found(f"{field} = bert-é") == ["bert-é"]


def test_s80_what_is_no_field_is_never_a_column(store: ExperimentStore) -> None:
    for name in ("password_hash", "name_key", "lease_owner", "idempotency_key", "1", "config", "metrics", "config.x",
                 "metrics.eval", "metrics.secret.x", "experiments.owner", "owner;--", "Ｏwner"):  # fmt: skip
        with pytest.raises(FilterError):
            parse(f"{name} = 1")


@pytest.mark.parametrize(
    ("words", "place", "expected"),
    [
        ("", 1, "a field, NOT or ("),
        ("(", 2, "a field, NOT or ("),
        ("accuracy", 9, "=, !=, <, <=, >, >=, ~, !~, IN, NOT IN or IS"),
        ("accuracy >", 11, "a value"),
        ("accuracy > high", 12, "a number"),
        ("accuracy > NaN", 12, "a number"),
        ("accuracy > 1e999", 12, "a number"),
        ("accuracy > ９", 12, "a number"),
        ("accuracy ~ 3", 10, "=, !=, <, <=, >, >= or IN"),
        ("acuracy > 1", 1, "no such field"),
        ("accuracy > 0.5 OR", 18, "a field, NOT or ("),
        ("accuracy > 0.5)", 15, "the end"),
        ("accuracy > 0.5 owner = a", 16, "AND, OR or the end"),
        ("status = SUCESS", 10, "one of PENDING, STARTED, SUCCESS, FAILURE, REVOKED"),
        ("status < SUCCESS", 8, "=, != or IN"),
        ("name > a", 6, "=, !=, ~, !~ or IN"),
        ("name ~ ''", 8, "some text"),
        ("name = 'abc", 12, "a closing '"),
        ('name = "a\\n"', 10, "behind a backslash"),
        ("name = and", 8, "stands in quotes"),
        ("owner IN (a,", 13, "a value"),
        ("owner IN (a b)", 13, ", or )"),
        ("owner IS", 9, "NULL or NOT NULL"),
        ("owner IS a", 10, "NULL or NOT NULL"),
        ("attempt = 1.5", 11, "a whole number"),
        ("attempt = 9999999999", 11, "a whole number"),
        ("paused = yes", 10, "true or false"),
        ("created_at > 2026-13-01", 14, "a date that exists"),
        ("created_at > yesterday", 14, "a date such as"),
        ("created_at > 99999999999999", 14, "Unix seconds"),
        ("config.lora.exclude_modules = x", 31, "only be compared with NULL"),
        ("config.lora.use_dora = 1", 24, "true or false"),
        ("owner = a\0b", 10, "text"),
        ("owner = \ud800", 9, "text"),
        ("x" * 1001, 1001, "at most 1000"),
        (" OR ".join(["attempt=1"] * 51), 1, "at most 50"),
        (" OR ".join(["config.seed=1"] * 9), 1, "at most 8"),
        ("NOT " * 16 + "attempt=1", 1, "at most 16"),
    ],
)
def test_a_fault_says_where_and_what_was_expected(words: str, place: int, expected: str) -> None:
    with pytest.raises(FilterError) as caught:
        parse(words)

    assert (caught.value.at, expected in caught.value.message) == (place, True), caught.value.message


@pytest.mark.parametrize(
    ("words", "meant"),
    [("acuracy > 1", "accuracy"), ("lora.r = 8", "config.lora.r"), ("Status = SUCCESS", "status"),
     ("status = SUCESS", "SUCCESS"), ("seed = 1", "config.seed"), ("zzzz = 1", "there is ")],
)  # fmt: skip
def test_a_fault_names_what_was_probably_meant(words: str, meant: str) -> None:
    with pytest.raises(FilterError) as caught:
        parse(words)

    assert meant in (caught.value.hint or "")


PIECES = r"""accuracy name config.lora.r = != > ~ ( ) , AND or NOT in is null 1 'a' " """.split()  # noqa: SIM905


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.text(max_size=60) | st.lists(st.sampled_from(PIECES), max_size=14).map(" ".join))
def test_any_text_is_a_tree_or_one_fault(words: str) -> None:
    try:
        parse(words)
    except FilterError as fault:
        place = fault.at
    else:
        place = 1
    assert 1 <= place <= len(words) + 1


def test_the_deepest_and_the_longest_are_taken(store: ExperimentStore) -> None:
    fill(
        store,
        [
            {
                "name": "a",
                "owner": "a",
                "base_model": "a",
                "status": "PENDING",
                "created_at": 1.0,
                "config": {},
                "attempt": 1,
            }
        ],
    )

    for words in (
        "(" * 400 + "attempt = 1" + ")" * 400,
        " OR ".join(["attempt = 1"] * 50),
        "NOT " * 14 + "attempt = 1",
        " AND ".join(["config.seed IS NULL"] * 8),
        f"attempt IN ({','.join(['1'] * 50)})",
    ):
        assert store.count(where=parse(words)) == 1, words[:40]
