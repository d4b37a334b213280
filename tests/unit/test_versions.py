"""Versions of data: named by their content, stored once, found again, never lost while used."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.data_cases import balanced, configured, jsonl
from tests.version_cases import ODD, again, frozen, plain, splits_of, unused

from finetune30.data import Splits, load
from finetune30.data.versions import VersionStore
from finetune30.errors import BadInput, DataError, NotFound

ODD_ROWS = [(text, "ab"[at % 2]) for at, text in enumerate(ODD)]
HELD_OUT = [("one", "a"), ("two", "b")]


@pytest.fixture
def store(tmp_path: Path) -> VersionStore:
    return VersionStore(tmp_path / "data")


def files(store: VersionStore) -> dict[str, tuple[int, bytes]]:
    """Every file below the data folder, with its inode: one that is written again is another."""
    found = [path for path in store.datasets.parent.rglob("*") if path.is_file() and path.name != ".lock"]
    return {str(path): (path.stat().st_ino, path.read_bytes()) for path in found}


# The id -----------------------------------------------------------------------------------------


def test_the_same_rows_from_another_file_have_the_same_id(tmp_path: Path) -> None:
    rows = balanced(40)
    (tmp_path / "rows.csv").write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in rows))
    (tmp_path / "other.jsonl").write_text(jsonl(*({"label": label, "sentence": text} for text, label in rows)))

    one, other = (load(configured(tmp_path / name)) for name in ("rows.csv", "other.jsonl"))

    assert one.fingerprint == other.fingerprint


def test_labels_in_lists_and_in_columns_of_flags_have_the_same_id(tmp_path: Path) -> None:
    rows = [(f"text {at}", at % 2, at % 3 == 0) for at in range(24)]
    flags = "".join(f"{text},{int(a)},{int(b)}\n" for text, b, a in rows)
    (tmp_path / "flags.csv").write_text("text,zoo,art\n" + flags)
    lists = ({"text": text, "label": [*["art"] * b, *["zoo"] * a]} for text, b, a in rows)
    (tmp_path / "lists.jsonl").write_text(jsonl(*lists))

    one = load(configured(tmp_path / "flags.csv", label_columns=["zoo", "art"]))
    other = load(configured(tmp_path / "lists.jsonl"))

    assert one.label_names == ("zoo", "art")
    assert other.label_names == ("art", "zoo")
    assert one.fingerprint == other.fingerprint


@pytest.mark.parametrize(
    "changed",
    [
        splits_of([("one", "a"), ("two", "B"), ("three", "a")], [("four", "a")], [("five", "a")], names="aBb"),
        splits_of([("one", "a"), ("two ", "b"), ("three", "a")], [("four", "a")], [("five", "a")]),
        splits_of([("two", "b"), ("one", "a"), ("three", "a")], [("four", "a")], [("five", "a")]),
        splits_of([("one", "a"), ("two", "b")], [("three", "a"), ("four", "a")], [("five", "a")]),
        splits_of([("one", "a"), ("two", "b"), ("three", "a")], [("four", "a"), ("five", "a")]),
        splits_of([("one", ["a"]), ("two", ["b"]), ("three", ["a"])], [("four", ["a"])], [("five", ["a"])]),
        splits_of([("one", "a", ""), ("two", "b", ""), ("three", "a", "")], [("four", "a", "")], [("five", "a", "")]),
    ],
    ids=["label", "text", "order", "split", "no test", "several labels", "pair"],
)
def test_any_change_of_the_rows_is_another_id(changed: Splits) -> None:
    rows = splits_of([("one", "a"), ("two", "b"), ("three", "a")], [("four", "a")], [("five", "a")])

    assert changed.fingerprint != rows.fingerprint


TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=6)
ROWS = st.lists(st.tuples(TEXTS, st.sampled_from("abc"), TEXTS), min_size=1, max_size=4)


@given(ROWS, ROWS, ROWS, ROWS)
def test_two_sets_of_rows_share_an_id_only_when_they_are_the_same(a: list, b: list, c: list, d: list) -> None:
    one, other = splits_of(a, b, names="abc"), splits_of(c, d, names="abc")

    assert (one.fingerprint == other.fingerprint) == ((a, b) == (c, d))


# Storing ----------------------------------------------------------------------------------------


def test_a_version_is_a_folder_of_parquet_files_and_a_card(store: VersionStore) -> None:
    splits = splits_of(ODD_ROWS, HELD_OUT, HELD_OUT[:1], source="rows.csv")

    version = store.freeze(splits, {"max_length": 64}, {"status": "PASS"})

    assert version.id == splits.fingerprint
    folder = store.datasets / version.id
    assert sorted(path.name for path in folder.iterdir()) == ["test.parquet", "train.parquet", "validation.parquet"]
    assert pq.read_table(folder / "train.parquet").to_pydict() == {
        "row": [*range(len(ODD))], "text": ODD, "label": [label for _, label in ODD_ROWS],
    }  # fmt: skip
    card = json.loads((store.metadata / f"{version.id}.json").read_text(encoding="utf-8"))
    assert (card["source"], card["data"], card["quality"]) == ("rows.csv", {"max_length": 64}, {"status": "PASS"})
    sizes = {name: (folder / f"{name}.parquet").stat().st_size for name in card["splits"]}
    assert {name: part["bytes"] for name, part in card["splits"].items()} == sizes
    assert (version.rows, version.size_bytes) == (len(ODD) + 3, sum(sizes.values()))
    assert store.find(version.id) == version


def test_freezing_twice_writes_once(store: VersionStore) -> None:
    first = frozen(store, plain())
    before = files(store)

    second = store.freeze(replace(plain(), source="elsewhere"), {"other": 1}, {"status": "WARN"})

    assert second == first
    assert files(store) == before


def test_rows_that_cannot_be_written_leave_nothing(store: VersionStore) -> None:
    splits = plain()
    broken = replace(splits, train=replace(splits.train, texts=[*splits.train.texts[:-1], "\ud800"]))
    id_of = broken.fingerprint

    with pytest.raises(UnicodeEncodeError):
        frozen(store, broken)

    assert files(store) == {}
    assert [*store.datasets.iterdir()] == []
    with pytest.raises(NotFound):
        store.find(id_of)


# Training on a version --------------------------------------------------------------------------

SEVERAL = [(text, [["a"], ["b", "a"], []][at % 3]) for at, text in enumerate(ODD)]
PAIRS = [(text, "ab"[at % 2], ODD[at - 1]) for at, text in enumerate(ODD)]
KINDS = {
    "single": splits_of(ODD_ROWS, HELD_OUT, HELD_OUT),
    "several": splits_of(SEVERAL, [("one", ["b", "a"]), ("two", [])]),
    "several, ordered": splits_of(SEVERAL, [("one", ["b", "a"]), ("two", [])], names=["b", "c", "a"]),
    "pairs": splits_of(PAIRS, [("one", "a", "NA"), ("two", "b", "")]),
    "ordered": splits_of(ODD_ROWS, HELD_OUT, names=["b", "a"]),
    "numbers": splits_of([(text, ["29", "10", "9"][at % 3]) for at, text in enumerate(ODD)], [("one", "9")]),
    "no row": splits_of(ODD_ROWS, HELD_OUT, names=["b", "c", "a"]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_version_can_be_trained_on_as_folder_and_by_id(store: VersionStore, kind: str) -> None:
    splits = KINDS[kind]
    version = frozen(store, splits)

    pair = {"text_pair_column": "text_pair"} if version.pairs else {}
    folder = again(store, store.folder(version.id), **pair)
    named = again(store, f"version:{version.id}")

    for read in (folder, named):
        assert read.fingerprint == version.id
        assert [*read.train.texts] == [*splits.train.texts]
        assert read.multi_label == splits.multi_label
        assert (read.test is None) == (splits.test is None)
    assert named.label_names == splits.label_names
    assert named.train.labels.tolist() == splits.train.labels.tolist()
    assert named.source == f"version:{version.short}"


def test_a_version_can_be_trained_on_by_prefix_and_tag(store: VersionStore) -> None:
    version = frozen(store, plain())
    frozen(store, plain(word="other"))
    store.tag(version.id, "gold")

    for name in (version.short, "gold"):
        assert again(store, f"version:{name}").fingerprint == version.id


def test_a_label_that_has_lost_its_train_rows_stays_known_in_a_version(store: VersionStore) -> None:
    version = frozen(store, splits_of(ODD_ROWS, [*HELD_OUT, ("three", "c")]))

    assert again(store, f"version:{version.id}").fingerprint == version.id
    with pytest.raises(DataError, match="labels that the train split does not have: 'c'"):
        again(store, store.folder(version.id))


def test_columns_that_the_source_had_do_not_matter_to_its_version(store: VersionStore, tmp_path: Path) -> None:
    rows = [{"a": f"first {at}", "b": f"second {at}", "gold": "x|y" if at % 2 else "x"} for at in range(30)]
    (tmp_path / "rows.jsonl").write_text(jsonl(*rows))
    told = {"text_column": "a", "text_pair_column": "b", "label_column": "gold", "label_separator": "|"}
    version = frozen(store, load(configured(tmp_path / "rows.jsonl", **told)))

    assert again(store, f"version:{version.id}", **told).fingerprint == version.id
    assert again(store, f"version:{version.id}").fingerprint == version.id


def test_html_is_stripped_once_not_again_from_a_version(store: VersionStore, tmp_path: Path) -> None:
    rows = [{"text": f"&lt;b&gt;{at}&amp;amp;lt;", "label": "ab"[at % 2]} for at in range(30)]
    (tmp_path / "rows.jsonl").write_text(jsonl(*rows))
    rules = {"remove_html": True}
    splits = load(configured(tmp_path / "rows.jsonl", rules=rules))
    assert splits.train.texts[0] == f"<b>{splits.train.rows[0]}&amp;lt;"
    version = frozen(store, splits)

    assert load(configured(f"version:{version.id}", rules=rules), store).fingerprint == version.id


def test_other_rules_make_another_version_of_a_version(store: VersionStore) -> None:
    version = frozen(store, KINDS["single"])

    read = load(configured(f"version:{version.id}", rules={"min_text_length": 3}), store)

    assert len(read.train) == len(ODD) - 1  # NA
    assert read.fingerprint != version.id


# Finding and naming -----------------------------------------------------------------------------


def test_a_tag_moves_to_another_version_and_is_taken_away(store: VersionStore) -> None:
    one, other = frozen(store, plain()), frozen(store, plain(word="other"))

    store.tag(one.short, "gold")
    store.tag(one.id, "first")
    store.tag(other.id, "gold")

    assert store.tags() == {"first": one.id, "gold": other.id}
    assert store.find("gold") == other
    store.untag("gold")
    assert store.tags_of(other.id) == []
    with pytest.raises(NotFound, match="no version has the tag 'gold'"):
        store.untag("gold")


@pytest.mark.parametrize(
    "name", ["", " ", "a b", "-x", ".x", "../x", "a/b", "x\n", "x" * 65, "金", "abcdef", "0" * 64, "version:x", "a,b"]
)
def test_a_bad_name_is_no_tag(store: VersionStore, name: str) -> None:
    version = frozen(store, plain())

    with pytest.raises(BadInput, match="is no tag"):
        store.tag(version.id, name)

    assert store.tags() == {}


def test_a_prefix_finds_one_version_and_an_ambiguous_one_is_refused(store: VersionStore) -> None:
    made = [frozen(store, plain(word=f"word {at}")) for at in range(17)]  # of 16 first digits one comes twice
    digits = [version.id[0] for version in made]
    double = next(digit for digit in digits if digits.count(digit) > 1)

    with pytest.raises(BadInput, match=f"versions begin with '{double}'"):
        store.find(double)
    for version in made:
        assert store.find(version.short) == version
    assert [version.id for version in store.list()] == [version.id for version in reversed(made)]


@pytest.mark.parametrize("reference", ["", "f" * 64, "gold", "..", "*", "[a-f]", "tags", "\0", "A"])
def test_what_no_version_is_called_is_not_found(store: VersionStore, reference: str) -> None:
    frozen(store, plain())
    store.tag(store.list()[0].id, "gold-2026")

    with pytest.raises(NotFound, match="no version of data"):
        store.find(reference)


def test_a_look_and_a_refusal_make_no_folder(store: VersionStore, tmp_path: Path) -> None:
    assert [*store.list()] == []
    assert store.tags() == {}
    assert store.gc(unused, dry_run=False) == []
    refused: list[Callable[[], object]] = [
        lambda: store.find("gold"),
        lambda: store.tag("gold", "name"),
        lambda: store.untag("gold"),
        lambda: store.delete("gold", unused),
    ]
    for ask in refused:
        with pytest.raises(NotFound):
            ask()
    assert [*tmp_path.iterdir()] == []


def test_a_near_tag_is_suggested(store: VersionStore) -> None:
    store.tag(frozen(store, plain()).id, "gold-2026")

    with pytest.raises(NotFound) as missing:
        store.find("gold-2062")
    assert "did you mean 'gold-2026'?" in str(missing.value)
