"""The catalog of a database: when a name must be looked up again, files included."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from finetune30.experiments import ExperimentStore, open_store
from finetune30.registry import Actor, Models, seal
from finetune30.serving.books import Books
from finetune30.settings import Settings
from tests.serving.desk import succeeded


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ExperimentStore]:
    values = {"results_dir": tmp_path / "results", "data_dir": tmp_path / "data", "tz": "UTC"}
    store = open_store(Settings(_env_file=None, **values))
    yield store
    store.close()


def test_files_that_changed_change_the_mark_of_what_means_them(
    store: ExperimentStore, tmp_path: Path, tiny_model: Callable[[str], Path]
) -> None:
    results = tmp_path / "results"
    run, other = (succeeded(store, results, tiny_model("bert"), seed=seed) for seed in (1, 2))
    models = Models(store.engine, results)
    models.register("films", models.candidate(run), Actor("ana"), alias="champion")
    books = Books(store, models)
    folder = books.find(run).folder
    asked = [(run, folder), ("films@champion", folder), (other, books.find(other).folder)]

    def moved(change: Callable[[], object]) -> list[bool]:
        before = books.marks(asked)
        change()
        return [was != now for was, now in zip(before, books.marks(asked), strict=True)]

    assert None not in books.marks(asked)
    assert moved(lambda: None) == [False, False, False]
    assert moved(lambda: (folder / "config.json").write_text((folder / "config.json").read_text() + " ")) == [
        True,
        True,
        False,
    ]
    assert moved(lambda: seal(folder)) == [True, True, False]
    environment = folder.parents[1] / "environment.json"
    assert moved(lambda: environment.write_text('{"base_model_sha256": "0"}')) == [True, True, False]
    assert books.find(run).base_sha256 == "0"
    # Never sealed, or not there: only a look can tell.
    assert moved(lambda: (folder / "manifest.json").unlink()) == [True, True, False]
    assert books.marks(asked)[:2] == [None, None]
    assert moved(lambda: shutil.rmtree(asked[2][1])) == [False, False, True]
    assert books.marks([(other, folder), ("nobody@champion", folder)]) == [None, None]
