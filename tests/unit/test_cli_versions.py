"""``finetune30 data versions``: what is kept, which runs used it, what changed; a mere look makes nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli_cases import Cli, run_here
from tests.version_cases import frozen, listed, plain, splits_of

from finetune30.config import ExperimentConfig, from_mapping
from finetune30.data.versions import DatasetVersion, VersionStore
from finetune30.experiments import ExperimentStore, open_store
from finetune30.settings import get_settings

UNKNOWN = [["show", "gold"], ["diff", "gold", "silver"], ["tag", "gold", "x"], ["untag", "gold"], ["delete", "gold"]]


@pytest.fixture
def versions(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    """Runs ``finetune30 data versions ARGUMENTS`` in an empty folder."""
    return run_here(monkeypatch, capsys, tmp_path, "data", "versions")


@pytest.fixture
def store(versions: Cli) -> VersionStore:
    return VersionStore(Path("data"))


@pytest.fixture
def runs(versions: Cli) -> Iterator[ExperimentStore]:
    store = open_store(get_settings())
    yield store
    store.close()


def a_run_on(runs: ExperimentStore, version: DatasetVersion, config: ExperimentConfig | None = None) -> str:
    id = runs.create(config or ExperimentConfig(experiment_name="reviews"), owner="ana", tz="Asia/Taipei").id
    attempt = runs.claim(id, "w1")
    runs.record_plan(id, attempt, "w1", config={}, fingerprint="", dataset_hash=version.id)
    return id


# Looking ----------------------------------------------------------------------------------------


def test_looking_where_nothing_is_helps_and_makes_nothing(versions: Cli, tmp_path: Path) -> None:
    told = versions("list")

    assert (told.code, told.out) == (0, "no versions yet: every run keeps the rows it used, see: finetune30 train\n")
    assert versions("list", "--json").json == {"versions": []}
    assert versions("gc").out == "removed 0 versions, 0 B\n"
    assert versions("gc", "--json").json == {"dry_run": False, "versions": [], "bytes": 0}
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("arguments", UNKNOWN)
def test_what_is_not_there_is_exit_code_2_and_makes_nothing(versions: Cli, tmp_path: Path, arguments: list) -> None:
    ended = versions(*arguments, "--json")

    assert (ended.code, ended.json["error"]["code"]) == (2, "not_found")
    assert "finetune30 data versions list" in ended.err
    assert [*tmp_path.iterdir()] == []


def test_the_list_shows_tags_sizes_and_runs_the_newest_first(
    versions: Cli, store: VersionStore, runs: ExperimentStore
) -> None:
    old, new = frozen(store, plain()), frozen(store, plain(8, word="[bold]new[/bold] 評論"))
    store.tag(old.id, "gold")
    ids = [a_run_on(runs, old), a_run_on(runs, old)]

    first, *lines = versions("list").out.splitlines()
    listed = versions("list", "--json").json["versions"]

    assert first.split() == ["version", "tags", "rows", "labels", "size", "runs", "made", "source"]
    assert [line.split()[0] for line in lines] == [new.short, old.short]
    assert lines[1].split()[1:4] == ["gold", "22", "2"]
    assert [one["id"] for one in listed] == [new.id, old.id]
    assert sorted(listed[1].pop("runs")) == sorted(ids)
    assert listed[1] == {
        "id": old.id, "tags": ["gold"], "created_at": old.created_at, "source": "made by the test", "rows": 22,
        "splits": {"train": 20, "validation": 2}, "label_names": ["a", "b"], "bytes": old.size_bytes,
    }  # fmt: skip


def test_one_version_is_shown_with_all_that_is_known(versions: Cli, store: VersionStore, runs: ExperimentStore) -> None:
    quality = {"status": "WARN", "checks": [{"name": "duplicate", "status": "WARN", "count": 2}]}
    version = store.freeze(plain(), {"dataset_name": "rows.csv"}, quality)
    store.tag(version.id, "gold")
    run = a_run_on(runs, version)

    told = versions("show", "gold").out
    shown = versions("show", version.short, "--json").json

    for words in (version.id, "gold", "made by the test", "20 rows", "WARN: duplicate WARN", run, "version:"):
        assert words in told
    assert shown["card"] == json.loads((store.metadata / f"{version.id}.json").read_text())
    assert (shown["runs"], shown["tags"]) == ([run], ["gold"])


def test_a_look_at_versions_makes_no_database(versions: Cli, store: VersionStore, tmp_path: Path) -> None:
    version = frozen(store, plain())

    assert versions("show", version.id, "--json").json["runs"] == []
    assert versions("list").code == 0
    assert listed(tmp_path) == ["data"]


def test_a_difference_is_shown_row_by_row(versions: Cli, store: VersionStore) -> None:
    held = [("held", "a")]
    one = frozen(store, splits_of([("same", "a"), ("gone", "b"), ("other", "a"), ("far", "b")], held))
    other = frozen(store, splits_of([("same", "a"), ("new\nline", "b"), ("other", "b")], [*held, ("far", "b")]))

    told = versions("diff", one.short, other.short).out.splitlines()
    found = versions("diff", one.id, other.id, "--json").json

    assert told[0] == f"{one.short} -> {other.short}: 2 rows unchanged"
    assert told[1:] == [
        "added: 1", "  train:1  b  new line", "removed: 1", "  train:1  b  gone", "relabelled: 1",
        "  train:2  a -> b  other", "moved: 1", "  train:3 -> validation:1  b  far",
    ]  # fmt: skip
    assert (found["before"], found["after"], found["unchanged"]) == (one.id, other.id, 2)
    assert found["added"] == [{"place": "train:1", "text": "new\nline", "label": "b", "pair": None}]
    assert [[row["label"] for row in pair] for pair in found["relabelled"]] == [["a", "b"]]


@pytest.mark.parametrize(("rows", "shown"), [("0", 0), ("3", 3), ("99", 20)])
def test_a_long_difference_is_cut(versions: Cli, store: VersionStore, rows: str, shown: int) -> None:
    one, other = frozen(store, plain()), frozen(store, plain(word="other"))

    told = versions("diff", one.id, other.id, "--rows", rows).out

    assert told.count("  train:") == 2 * shown
    assert (f"... and {20 - shown} more" in told) == (shown < 20)
    assert versions("diff", one.id, other.id, "--rows", "-1").code == 2


# Naming and removing ----------------------------------------------------------------------------


def test_a_tag_is_given_moved_and_taken_away(versions: Cli, store: VersionStore) -> None:
    one, other = frozen(store, plain()), frozen(store, plain(word="other"))

    assert versions("tag", one.short, "gold").out == f"gold is {one.short}\n"
    assert versions("tag", other.id, "gold", "--json").json == {"id": other.id, "tags": ["gold"]}
    assert versions("untag", "gold", "--json").json == {"untagged": "gold"}
    versions("tag", one.short, "gold")
    assert versions("untag", "gold").out == "gold is gone\n"
    assert store.tags() == {}
    refused = versions("tag", one.id, "not a name", "--json")
    assert (refused.code, refused.json["error"]["code"]) == (2, "bad_input")


def test_a_version_is_deleted_only_while_no_run_uses_it(
    versions: Cli, store: VersionStore, runs: ExperimentStore
) -> None:
    version = frozen(store, plain())
    run = a_run_on(runs, version)

    refused = versions("delete", version.short, "--yes", "--json")
    assert (refused.code, refused.json["error"]["code"]) == (2, "state_conflict")
    assert run in refused.err
    assert versions("gc", "--json").json["versions"] == []
    attempt = runs.get(run)
    runs.pause(run, attempt.attempt, "w1")
    runs.delete(run)

    assert versions("gc", "--dry-run").out.splitlines()[-1].startswith("would remove 1 versions")
    assert store.find(version.id)
    assert versions("delete", version.short, "-y", "--json").json == {"deleted": version.id}
    assert versions("list", "--json").json == {"versions": []}


def test_a_version_that_a_run_took_a_sample_of_is_in_use(
    versions: Cli, store: VersionStore, runs: ExperimentStore
) -> None:
    """Its own rows are another version, but it cannot be resumed without the one it names."""
    whole, sample = frozen(store, plain()), frozen(store, plain(8))
    config = from_mapping({"experiment_name": "x", "data": {"dataset_name": f"version:{whole.id}"}})
    run = a_run_on(runs, sample, config)

    assert versions("gc", "--json").json["versions"] == []
    assert versions("show", whole.id, "--json").json["runs"] == [run]


def test_gc_says_what_it_removed(versions: Cli, store: VersionStore) -> None:
    kept, gone = frozen(store, plain(word="kept")), frozen(store, plain())
    versions("tag", kept.id, "gold")

    assert versions("gc", "--dry-run", "--json").json == {
        "dry_run": True, "versions": [gone.id], "bytes": gone.size_bytes,
    }  # fmt: skip
    told = versions("gc").out

    assert f"removed {gone.short}: 22 rows of made by the test" in told
    assert "removed 1 versions" in told
    assert listed(store.datasets) == [kept.id]


def test_gc_leaves_the_rows_of_an_upload(versions: Cli, store: VersionStore, tmp_path: Path) -> None:
    from finetune30.data.uploads import UploadStore

    version = frozen(store, plain())
    uploads = UploadStore(tmp_path / "data")
    limits = {"limit_bytes": 0, "quota_bytes": 0, "quota_files": 0}
    with uploads.receive("ana", "a.csv", "csv", purpose="dataset", **limits) as arriving:
        arriving.write(b"text,label\n")
        upload = arriving.finish(version=version.id)

    versions("gc")
    refused = versions("delete", version.id, "--yes")

    assert listed(store.datasets) == [version.id]
    assert refused.code == 2
    assert f"upload:{upload.id}" in refused.err


def test_deleting_asks_unless_told_not_to(versions: Cli, store: VersionStore) -> None:
    version = frozen(store, plain())
    command = [sys.executable, "-m", "finetune30", "data", "versions", "delete", version.short]

    for answer, kept in (("n\n", True), ("y\n", False)):
        done = subprocess.run(command, input=answer, capture_output=True, text=True)
        assert f"Delete version {version.short} (22 rows)?" in done.stderr
        assert store.folder(version.id).exists() is kept
        assert (done.returncode == 0) is not kept


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("card", ["list"]), ("card", ["show"]), ("tags", ["list"]), ("rows", ["diff"]), ("tags", ["gc"])],
)
def test_damage_is_one_clear_error(versions: Cli, store: VersionStore, name: str, arguments: list[str]) -> None:
    version, other = frozen(store, plain()), frozen(store, plain(word="other"))
    store.tag(version.id, "gold")
    damaged = {
        "card": store.metadata / f"{version.id}.json",
        "tags": store.metadata / "tags.json",
        "rows": store.folder(version.id) / "train.parquet",
    }[name]
    damaged.write_bytes(b"[]")
    named = {"show": [version.id], "diff": [version.id, other.id]}.get(arguments[0], [])

    ended = versions(*arguments, *named, "--json")

    assert (ended.code, ended.json["error"]["code"]) == (2, "storage_unusable")
    assert str(damaged) in ended.json["error"]["where"]


@pytest.mark.parametrize("place", ["taken", "taken/below"])
@pytest.mark.parametrize("arguments", [["list"], ["gc"], *UNKNOWN])
def test_a_data_folder_that_is_a_file_is_one_clear_error(
    versions: Cli, monkeypatch: pytest.MonkeyPatch, arguments: list[str], place: str
) -> None:
    Path("taken").write_text("a file")
    monkeypatch.setenv("DATA_DIR", place)

    ended = versions(*arguments, "--json")

    assert (ended.code, ended.json["error"]["code"]) == (2, "storage_unusable")
    assert str(ended.json["error"]["where"]).endswith("taken")
    assert "DATA_DIR" in ended.err


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys; sys.argv = ['finetune30', 'data', 'versions', '--help']; from finetune30 import cli\n"
        "try: cli.main()\nexcept SystemExit: pass\n"
        "print([n for n in ('torch', 'numpy', 'pyarrow', 'sqlalchemy', 'transformers') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "[]"
